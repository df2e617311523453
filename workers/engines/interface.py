"""The one interface that rating and revising know of an engine."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

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
    draft_tokens: int = 0
    """Most tokens of a reply's source that are guessed ahead in one step."""
    answers: str = ""
    """File on the node's own disk in which answers are kept; none are where it is empty."""
    answers_gb: float = 1.0
    """Its size at which the oldest answers go."""
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
    reused: int = 0
    """Questions that were answered before, and so took no call."""
    drafted_tokens: int = 0
    """Guessed ahead from sources."""
    accepted_tokens: int = 0
    """Output tokens that were guessed ahead, and so took no step of their own."""
    engine_s: float = field(default=0.0, compare=False)
    """Seconds inside the engine; all the rest of a job's time is ours."""

    def since(self, before: Usage) -> Usage:
        """Return what was added after `before` was copied."""
        return Usage(
            **{name: value - getattr(before, name) for name, value in asdict(self).items()}
        )

    def add(self, more: Usage) -> None:
        """Count what another total holds as well."""
        for name, value in asdict(more).items():
            setattr(self, name, getattr(self, name) + value)

    def copy(self) -> Usage:
        """Return the totals as they are now."""
        return replace(self)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a reply is drawn; temperature 0 takes the likeliest token each time."""

    max_tokens: int
    temperature: float = 0.0
    stop_ids: tuple[int, ...] = ()
    seeds: tuple[int, ...] = field(default=())
    """One seed a prompt; needed when the temperature is above 0."""
    sources: tuple[tuple[int, ...], ...] = field(default=())
    """What each reply is expected to copy for the most part, one for each prompt. An engine that
    drafts may write such a reply in fewer steps; the reply is the same without."""


P = ParamSpec("P")
R = TypeVar("R")


def timed(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Count an engine method's seconds as spent inside the engine."""

    @functools.wraps(method)
    def counted(self: Any, *args: P.args, **more: P.kwargs) -> R:
        began = time.perf_counter()
        try:
            return method(self, *args, **more)
        finally:
            self.usage.engine_s += time.perf_counter() - began

    return counted


class Engine(Protocol):
    """Answers token-id prompts with one set of weights."""

    name: str
    version: str
    usage: Usage
    note: str
    """What of its settings it could not be had with, and why; empty as a rule."""

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
