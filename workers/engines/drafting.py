"""Source-aligned drafting: the draft of a revision is its source, from the aligned position on.

A model that revises mostly copies. Speculative decoding (Leviathan et al., 2023, "Fast inference
from transformers via speculative decoding", ICML) verifies several guessed tokens in one step, and
prompt lookup guesses what followed the same words earlier in the prompt. Here the source is known,
so that the guess is what follows the place that the reply has come to: after an edit it is found
again by the reply's last tokens. What is guessed changes how many steps a greedy reply takes, and
never the reply.

Nothing here imports vLLM: it is given the class by name (`speculative_config`, method
`custom_class`), and calls `propose` after each step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

PROPOSER = "workers.engines.drafting.SourceAligned"
LONGEST_MATCH = 4
"""Tokens of the reply that are looked for in the source, at most."""
ENOUGH = 3
"""A longer match is no surer."""
NEAR = 8
"""Source tokens that are looked through after a first surprise; each further one doubles them."""
FAR = 256
MEMORY = 0.5
"""Weight of the past in the running mean of accepted tokens."""
HOPELESS = 0.3
"""Under so many accepted tokens a draft costs more than it brings, and drafting pauses."""
LONGEST_PAUSE = 32


class Alignment:
    """Where in its source a reply has come to, and how much of what follows is worth a guess."""

    def __init__(self, source: Sequence[int], most: int) -> None:
        """Begin at the source's first token.

        Args:
            source: token ids that the reply is expected to copy for the most part.
            most: longest draft.
        """
        self._source = list(source)
        self._most = most
        self._at = 0
        self._tail: list[int] = []
        self._surprises = 0
        self._accepted = float(most)
        self._drafted = 0
        self._pause = 0
        self._next_pause = 1
        self.read = 0
        """Number of the reply's tokens taken in."""

    def follow(self, tokens: Sequence[int]) -> int:
        """Take in what the model has written since: what it accepted of the draft, and one more.

        Returns:
            How many tokens of the draft it accepted.
        """
        for token in tokens:
            self._tail = [*self._tail[1 - LONGEST_MATCH :], token]
            if self._at < len(self._source) and self._source[self._at] == token:
                self._at += 1
                self._surprises = 0
            else:
                self._surprises += 1
                self._at = self._found()
        self.read += len(tokens)
        accepted = min(len(tokens) - 1, self._drafted)
        self._learn(accepted)
        return accepted

    def draft(self, room: int) -> list[int]:
        """The tokens that the source goes on with; none while drafts are not worth their price.

        Args:
            room: most tokens to draft.
        """
        self._drafted = 0
        if self._pause:
            self._pause -= 1
            return []
        length = min(self._most, room, 1 + round(1.5 * self._accepted))
        guess = self._source[self._at : self._at + length]
        self._drafted = len(guess)
        return guess

    def _found(self) -> int:
        """Where the source goes on after a token that it did not foretell.

        The longest match of the reply's last tokens wins, of equals the one nearest to where the
        token would stand had it replaced one; without any it has replaced one. A single token is
        believed only one place off: common ones recur everywhere.
        """
        replaced = min(self._at + 1, len(self._source))
        reach = min(FAR, NEAR << min(self._surprises - 1, 8))
        # After one surprise, going back would take a recurring word for an insertion.
        first = self._at if self._surprises == 1 else max(0, self._at - reach)
        last = min(len(self._source), self._at + reach)
        found = [(self._matching(end), end) for end in range(first + 1, last + 1)]
        likely = [
            (min(length, ENOUGH), -abs(end - replaced), end)
            for length, end in found
            if length > 1 or (length == 1 and abs(end - replaced) <= 1)
        ]
        return max(likely, default=(0, 0, replaced))[2]

    def _matching(self, end: int) -> int:
        """How many of the reply's last tokens stand in the source before a place."""
        length = 0
        for token, known in zip(
            reversed(self._tail),
            reversed(self._source[max(0, end - LONGEST_MATCH) : end]),
            strict=False,
        ):
            if token != known:
                break
            length += 1
        return length

    def _learn(self, accepted: int) -> None:
        """Adapt the length of drafts to what the model takes of them."""
        if not self._drafted:
            return
        # A draft that was taken whole might have been longer.
        worth = 2 * accepted if accepted == self._drafted else accepted
        self._accepted = MEMORY * self._accepted + (1 - MEMORY) * min(worth, self._most)
        if self._accepted >= HOPELESS:
            self._next_pause = 1
            return
        self._pause = self._next_pause
        self._next_pause = min(2 * self._next_pause, LONGEST_PAUSE)


@dataclass(slots=True)
class _Hint:
    """A prompt, the source of its reply, and how far the reply has come."""

    prompt: np.ndarray
    source: Sequence[int]
    alignment: Alignment | None = None
    tail: int = -1
    """The reply's last token when it was looked at last."""


@dataclass(slots=True)
class Hints:
    """The sources of the prompts that are answered now, and what came of drafting from them."""

    width: int = 0
    """Hints are found by so many of their prompts' first tokens: all of the shortest prompt's."""
    by_start: dict[bytes, list[_Hint]] = field(default_factory=dict)
    drafted: int = 0
    """Tokens guessed."""
    accepted: int = 0
    """Of them, those that the model wrote."""


_hints = Hints()


@contextmanager
def hinted(prompts: Sequence[Sequence[int]], sources: Sequence[Sequence[int]]) -> Iterator[Hints]:
    """Let the proposer of this process know the sources of these prompts' replies meanwhile."""
    global _hints
    _hints = Hints(width=min(map(len, prompts), default=0))
    for prompt, source in zip(prompts, sources, strict=True):
        ids = np.asarray(prompt, dtype=np.int32)
        start = ids[: _hints.width].tobytes()
        _hints.by_start.setdefault(start, []).append(_Hint(ids, source))
    try:
        yield _hints
    finally:
        _hints = Hints()


class SourceAligned:
    """The proposer; vLLM makes one for an engine."""

    def __init__(self, vllm_config: Any) -> None:
        """Take the longest draft from the speculative settings."""
        self._most: int = vllm_config.speculative_config.num_speculative_tokens
        self._longest: int = vllm_config.model_config.max_model_len

    def load_model(self, *_args: Any, **_more: Any) -> None:
        """There is none."""

    def propose(
        self,
        sampled: Sequence[Sequence[int]],
        num_tokens: np.ndarray,
        token_ids: np.ndarray,
        slot_mappings: object = None,
    ) -> list[list[int]]:
        """Draft the next tokens of every running request.

        Args:
            sampled: tokens that each request got in the last step; none while it is prefilled.
            num_tokens: tokens of each request so far, shape (requests,) or more.
            token_ids: prompt and reply of each request, shape (requests or more, longest).
            slot_mappings: unused.
        """
        return [
            self._draft(token_ids[row, : num_tokens[row]]) if new else []
            for row, new in enumerate(sampled)
        ]

    def _draft(self, ids: np.ndarray) -> list[int]:
        hint = _hint_of(ids)
        if hint is None:
            return []
        reply = ids[len(hint.prompt) :]
        alignment = hint.alignment
        # Equal prompts share a hint, and a request may begin anew.
        if alignment is None or len(reply) <= alignment.read or (
            alignment.read and reply[alignment.read - 1] != hint.tail
        ):  # fmt: skip
            alignment = hint.alignment = Alignment(hint.source, self._most)
        _hints.accepted += alignment.follow(reply[alignment.read :].tolist())
        hint.tail = int(reply[-1])
        draft = alignment.draft(max(0, self._longest - len(ids) - 1))
        _hints.drafted += len(draft)
        return draft


def _hint_of(ids: np.ndarray) -> _Hint | None:
    for hint in _hints.by_start.get(ids[: _hints.width].tobytes(), ()):
        length = len(hint.prompt)
        if len(ids) > length and np.array_equal(ids[:length], hint.prompt):
            return hint
    return None
