"""Rewriting whole: decoding drafted from the source, beside plain decoding of the same replies.

The replies are what generation 0 writes after the openings of documents, the same bytes with every
engine. The source of each is its reply with edits at a known rate, a third of them substitutions,
insertions and deletions each, so that the reply is what a reviser makes of that source.
"""

from __future__ import annotations

import multiprocessing
import os
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from benchmarks.targets import Figure, Report
from benchmarks.throughput.rounds import rounds_of
from workers.engines.interface import EngineSpec, Sampling, Usage
from workers.engines.start import start_engine
from workers.microworld.build import SHIPPED
from workers.microworld.generator import generate_documents
from workers.microworld.tokenizer import build_tokenizer
from workers.microworld.world import WorldParams

OF = "drafting"
RATES = (0.01, 0.05, 0.2, 0.5)
BATCHES = {1: 6, 32: 96}
"""Requests at once, and how many are made in a round."""
LEAST = {1: 3.0, 32: 1.4}
"""Times plain decoding, at up to 20% of edits."""
LEAST_HEAVY = 0.95
"""At 50%."""
MOST_STEPS = 0.15
"""Steps a token, at 5%."""
OPENING, REPLY, LONGEST = 12, 96, 240
SEED = 4_000_000
"""Far from those of experiments."""
DRAFT = 16
KINDS = ("plain", "from the source")


def measure(report: Report, rounds: int) -> None:
    """Time every kind at every rate, one batch size after the other."""
    for batch, count in BATCHES.items():
        with _engines(batch) as engines:
            openings = _openings(count)
            replies = engines["plain"].write(openings)
            for rate in RATES:
                _at_rate(report, engines, _tasks(openings, replies, rate), rate, batch, rounds)


@dataclass(frozen=True)
class Task:
    """A prompt, and the source that its reply will mostly copy."""

    prompt: tuple[int, ...]
    source: tuple[int, ...]


def _at_rate(
    report: Report,
    engines: dict[str, _Engine],
    tasks: Sequence[Task],
    rate: float,
    batch: int,
    rounds: int,
) -> None:
    written = {kind: engine.rewrite(tasks) for kind, engine in engines.items()}
    if len({tuple(replies) for replies, _ in written.values()}) > 1:
        raise RuntimeError("the engines write different replies, so that nothing can be compared")
    found = rounds_of({kind: engine.job(tasks) for kind, engine in engines.items()}, rounds)
    name = f"batch {batch}, {rate:.0%} edits"
    usage = {kind: used for kind, (_, used) in written.items()}
    report.details[f"{OF}, {name}"] = found.figures() | {
        "usage": {kind: asdict(used) for kind, used in usage.items()}
    }
    tokens = usage["plain"].output_tokens
    for kind in KINDS:
        report.add(found.rate(OF, f"{kind}, {name}", kind, tokens, "tokens/s"))
    least = LEAST_HEAVY if rate == max(RATES) else LEAST[batch]
    report.add(found.ratio(OF, f"to plain, {name}", "from the source", "plain", least))
    ours = usage["from the source"]
    steps = 1 - ours.accepted_tokens / ours.output_tokens
    bound = MOST_STEPS if rate == 0.05 else None
    report.add(Figure(OF, f"steps a token, {name}", steps, "steps", at_most=bound))


def edited(reply: Sequence[int], rate: float, draw: random.Random, most: int) -> list[int]:
    """A share of the tokens replaced, dropped or followed by a new one, as often each."""
    made: list[int] = []
    for token in reply:
        if draw.random() >= rate:
            made.append(token)
            continue
        kind = draw.randrange(3)
        if kind == 0:
            made.append(draw.randrange(most))
        elif kind == 1:
            made += [token, draw.randrange(most)]
    return made


def _openings(count: int) -> list[tuple[int, ...]]:
    tokenizer = build_tokenizer()
    texts = [each.text for each in generate_documents(WorldParams(), SEED, count)]
    return [tuple(tokenizer(text)["input_ids"][:OPENING]) for text in texts]


def _tasks(
    openings: Sequence[tuple[int, ...]], replies: Sequence[tuple[int, ...]], rate: float
) -> list[Task]:
    draw = random.Random(f"{rate}")
    return [
        Task(opening, tuple(edited(reply, rate, draw, 260)))
        for opening, reply in zip(openings, replies, strict=True)
    ]


class _Engine:
    """An engine in a process of its own: what vLLM sets holds for a whole process."""

    def __init__(self, kind: str, batch: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(
            1, mp_context=context, initializer=_start, initargs=(kind, batch)
        )

    def write(self, prompts: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
        return self.rewrite([Task(prompt, ()) for prompt in prompts])[0]

    def rewrite(self, tasks: Sequence[Task]) -> tuple[list[tuple[int, ...]], Usage]:
        return self._pool.submit(_rewrite, list(tasks)).result()

    def job(self, tasks: Sequence[Task]) -> Callable[[], None]:
        """Rewrite, for the time it takes."""

        def job() -> None:
            self.rewrite(tasks)

        return job

    def close(self) -> None:
        self._pool.shutdown()


@contextmanager
def _engines(batch: int) -> Iterator[dict[str, _Engine]]:
    engines = {kind: _Engine(kind, batch) for kind in KINDS}
    try:
        yield engines
    finally:
        for engine in engines.values():
            engine.close()


_engine: Any = None


def _start(kind: str, batch: int) -> None:
    global _engine
    # One core for both, so that neither has another's caches or a thread more.
    core = min(os.sched_getaffinity(0))
    draft = DRAFT if kind == "from the source" else 0
    spec = EngineSpec("vllm", str(SHIPPED), "", "float32", LONGEST, batch=batch, draft_tokens=draft)
    _engine = start_engine(spec, (core,))
    if _engine.note:
        raise RuntimeError(_engine.note)


def _rewrite(tasks: Sequence[Task]) -> tuple[list[tuple[int, ...]], Usage]:
    before = _engine.usage.copy()
    greedy = Sampling(max_tokens=REPLY, sources=tuple(task.source for task in tasks))
    if not any(greedy.sources):
        greedy = replace(greedy, sources=())
    replies = _engine.generate([task.prompt for task in tasks], greedy)
    return [reply.token_ids for reply in replies], _engine.usage.since(before)
