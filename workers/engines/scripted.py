"""An engine that follows a script, for unit tests. No config can name it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from workers.engines.interface import Reply, Sampling, Usage

Choice = Callable[[Sequence[int]], Sequence[float]]
Answer = Callable[[Sequence[int]], Reply]


class ScriptedEngine:
    """Answers with functions of the prompt's token ids."""

    name = "scripted"
    version = "1"
    note = ""

    def __init__(self, choice: Choice, answer: Answer) -> None:
        """`choice` gives log-probabilities in the order of the answers, `answer` a reply."""
        self.usage = Usage()
        self._choice = choice
        self._answer = answer

    def choices(
        self, prompts: Sequence[Sequence[int]], answer_ids: Sequence[int]
    ) -> list[list[float]]:
        """Follow the script for ratings."""
        self._count(prompts)
        return [list(self._choice(prompt)) for prompt in prompts]

    def generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Reply]:
        """Follow the script for replies."""
        self._count(prompts)
        replies = [self._answer(prompt) for prompt in prompts]
        self.usage.output_tokens += sum(len(reply.token_ids) for reply in replies)
        return replies

    def _count(self, prompts: Sequence[Sequence[int]]) -> None:
        self.usage.calls += len(prompts)
        self.usage.prompt_tokens += sum(map(len, prompts))

    def close(self) -> None:
        """Nothing is held."""
