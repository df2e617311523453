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
        self.usage.calls += len(prompts)
        return [list(self._choice(prompt)) for prompt in prompts]

    def generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Reply]:
        """Follow the script for replies."""
        self.usage.calls += len(prompts)
        return [self._answer(prompt) for prompt in prompts]

    def close(self) -> None:
        """Nothing is held."""
