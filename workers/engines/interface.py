"""The one interface that rating and revising know of an engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from workers.sharing import MOUNTED, SharedStore


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """Everything an engine is started from; equal specs are served by one running engine."""

    kind: str
    checkpoint_uri: str
    checkpoint_id: str
    dtype: str
    max_length: int
    """Longest prompt and reply together, in tokens."""
    threads: int = 1
    tensor_parallel: int = 1
    memory_gb: float = 1.0
    gpu_memory_share: float = 0.9
    enforce_eager: bool = True
    batch: int = 256
    store: SharedStore = MOUNTED
    """Where the checkpoint is fetched from, on a node that lacks it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A generated reply, without the token that ended it."""

    token_ids: tuple[int, ...]
    finished: bool
    """Whether the model ended it; False where it was cut off at the token limit."""


@dataclass(slots=True)
class Usage:
    """Running totals of what an engine was asked."""

    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0

    def since(self, before: Usage) -> Usage:
        """Return what was added after `before` was copied."""
        return Usage(
            self.calls - before.calls,
            self.prompt_tokens - before.prompt_tokens,
            self.cached_tokens - before.cached_tokens,
            self.output_tokens - before.output_tokens,
        )

    def copy(self) -> Usage:
        """Return the totals as they are now."""
        return Usage(self.calls, self.prompt_tokens, self.cached_tokens, self.output_tokens)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a reply is drawn; temperature 0 takes the likeliest token each time."""

    max_tokens: int
    temperature: float = 0.0
    stop_ids: tuple[int, ...] = ()
    seeds: tuple[int, ...] = field(default=())
    """One seed a prompt; needed when the temperature is above 0."""


class Engine(Protocol):
    """Answers token-id prompts with one set of weights."""

    name: str
    version: str
    usage: Usage

    def choices(
        self, prompts: Sequence[Sequence[int]], answer_ids: Sequence[int]
    ) -> list[list[float]]:
        """Log-probabilities of each answer token as the next token, a row for each prompt."""
        ...

    def generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Reply]:
        """Replies in the prompts' order."""
        ...

    def close(self) -> None:
        """Give back the memory."""
        ...
