"""The pool: Ray actors that own an engine each, fed with parts of shards.

A part that fails is tried again on a fresh actor, then split in two, and a single document that
still fails is given up. What a shard holds depends on its documents alone: not on who worked on it,
in which order, or after how many failures.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
from ray.exceptions import RayTaskError

from configs.asking import Engine as EngineConfig
from workers.actor import EngineInfo
from workers.engines.interface import Usage
from workers.holding import HELD, Holding
from workers.interrupting import stop_if_asked
from workers.jobs import Job, Part, shard_file
from workers.losses import LOST, last_line, raise_ours, with_its_node
from workers.members import Members, Terms
from workers.problems import WorkProblem
from workers.storage import read_table, write_table

POLL_S = 1.0
# An actor that is lost in the middle of a shard is a fault of the machine as a rule: the shard
# goes to another one, and nothing is held against its documents. But a document may itself bring
# the engine's process down, or a node's memory, so that this ends: after one loss of a process,
# and after some of whole nodes, which spot machines may lose in a row.
LOST_ALONE = 1
LOST_WITH_NODE = 5


@dataclass(slots=True)
class ShardResult:
    """A shard's finished output and what it took."""

    shard: int
    uri: str
    digest: str
    documents: int
    attempts: int = 1
    errors: int = 0
    """Documents given up."""
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)
    nodes: set[str] = field(default_factory=set)
    """Names of those that worked on it."""


@dataclass(frozen=True, slots=True)
class _Failure:
    why: str
    lost: bool = False
    """The actor is gone, and not because it took too long."""
    with_node: bool = False
    """Its node is gone too."""


@dataclass(slots=True)
class _Shard:
    """Parts of a shard that are done, and what they took together."""

    documents: int
    done: dict[int, tuple[int, Path, str]] = field(default_factory=dict)
    """By first row: the row after the last, the file, and its digest."""
    result: ShardResult | None = None
    losses: int = 0
    """Actors lost while they worked on it."""

    def complete(self) -> bool:
        """Whether every row is covered."""
        return sum(stop - start for start, (stop, _, _) in self.done.items()) == self.documents


class EnginePool:
    """Runs jobs on as many actors as there is work and room for; they are started when needed."""

    def __init__(self, config: EngineConfig, terms: Terms | None = None) -> None:
        """Take the number of actors, their threads and GPUs, and the limits on failure."""
        self.config = config
        self.start_s = 0.0
        """Seconds spent waiting for engines since `take_start_s` was last called."""
        terms = terms or Terms()
        self._say = terms.say
        self._members = Members(config, terms)

    @property
    def info(self) -> EngineInfo | None:
        """The engine that started last."""
        return self._members.info

    def run(
        self,
        job: Job,
        shards: Sequence[int],
        *,
        stage: str = "this stage",
        errors: int = 0,
        go_on: Callable[[], bool] = lambda: True,
    ) -> Iterator[ShardResult]:
        """Yield the shards' results as they finish, in any order.

        Args:
            job: what is done.
            shards: those of the job's corpus that are to be done.
            stage: what the job is called.
            errors: documents of the job's other shards that were given up.
            go_on: once it says no, nothing more is begun, and what is under way is finished.

        Raises:
            WorkProblem: engines fail to start again and again, or on more documents than
                `engine.error_budget` allows; no node has room for one; or the disk is full.
            InputProblem: the engine is not installed, or a node is not fit.
        """
        waiting = deque(Part(s, 0, job.corpus.shards[s].documents) for s in shards)
        state = {s: _Shard(job.corpus.shards[s].documents) for s in shards}
        for part in waiting:
            state[part.shard].result = ShardResult(part.shard, "", "", part.documents)
        holding = Holding()
        try:
            while waiting or holding:
                if not go_on():
                    waiting.clear()
                self._members.ask_for(
                    job.spec, min(self.config.actors, len(waiting) + holding.actors)
                )
                self._hand_out(job, waiting, holding)
                for reference in self._wait(holding):
                    if reference not in holding:
                        self._members.heard(reference)
                        continue
                    part, failure = self._collect(reference, job, holding, waiting, state)
                    if failure is not None:
                        errors += self._again(part, failure, job, state, waiting)
                        self._check_budget(errors, job, stage)
                    if state[part.shard].complete():
                        yield _finish(job, state.pop(part.shard))
                holding.stop_overdue(self.config.shard_timeout_s)
                self._members.watch()
        finally:
            holding.clear()

    def take_start_s(self) -> float:
        """Return the seconds spent on starting engines since the last call."""
        seconds, self.start_s = self.start_s, 0.0
        return seconds

    def stop(self) -> None:
        """End every actor; the next job starts them anew."""
        self._members.stop()

    def _hand_out(self, job: Job, waiting: deque[Part], holding: Holding) -> None:
        """Give every actor a part, and one more each while more are left than there are actors."""
        able = [each for each in self._members.ready() if job.spec in (None, each.spec)]
        for most in range(1, HELD + 1):
            for member in able:
                # Towards the end a part waits for whichever actor is free first.
                if len(waiting) <= (len(able) if most > 1 else 0):
                    return
                if member.held < most:
                    part = waiting.popleft()
                    work = member.actor.work.remote(job, part, str(_part_file(job, part)))
                    holding.add(work, member, part)

    def _wait(self, holding: Holding) -> list[Any]:
        """Wait for what is done next, a part or a step of an engine's start."""
        stop_if_asked()
        began = time.perf_counter()
        references = [*holding, *self._members.pending()]
        done, _ = ray.wait(references, num_returns=1, timeout=POLL_S)
        if not holding:
            self.start_s += time.perf_counter() - began
        return done

    def _collect(
        self,
        reference: Any,
        job: Job,
        holding: Holding,
        waiting: deque[Part],
        state: dict[int, _Shard],
    ) -> tuple[Part, _Failure | None]:
        """Note a part as finished, or ask for its actor anew and return why it failed."""
        reference = holding.first_of(reference)
        now = holding.pop(reference)
        try:
            found: Any = ray.get(reference)
        except RayTaskError as error:
            raise_ours(error, again=now.part.attempt < self.config.attempts)
            failure = _Failure(last_line(error))
        except LOST as error:
            node = now.member.node
            with_node = with_its_node(error, node.node_id if node else None)
            failure = _Failure(last_line(error), not now.overdue, with_node and not now.overdue)
        else:
            _note(found, now.part, job, state[now.part.shard])
            return now.part, None
        self._members.renew(now.member)
        waiting.extendleft(reversed(holding.take_back(now.member)))
        return now.part, failure

    def _again(
        self,
        part: Part,
        failure: _Failure,
        job: Job,
        state: dict[int, _Shard],
        waiting: deque[Part],
    ) -> int:
        """Try a failed part again, split it, or give its one document up; how many were."""
        shard = state[part.shard]
        rows = f"shard {part.shard}, documents {part.start} to {part.stop - 1}"
        self._say(f"  {rows}: try {part.attempt} failed: {failure.why[:300]}")
        if failure.lost:
            shard.losses += 1
            if shard.losses <= (LOST_WITH_NODE if failure.with_node else LOST_ALONE):
                waiting.appendleft(part)
                return 0
        if part.attempt < self.config.attempts:
            waiting.append(replace(part, attempt=part.attempt + 1))
        elif part.documents > 1:
            # The halves have one try each: a document that fails the engine is found in
            # log2(shard) steps, and only a fault that comes and goes needs more.
            middle = (part.start + part.stop) // 2
            waiting.append(replace(part, stop=middle))
            waiting.append(replace(part, start=middle))
        else:
            path = _part_file(job, part)
            digest = write_table(path, job.give_up(part, f"engine_error: {failure.why}"[:200]))
            job.store.publish_file(path)
            shard.done[part.start] = (part.stop, path, digest)
            if shard.result is not None:
                shard.result.errors += 1
            return 1
        return 0

    def _check_budget(self, errors: int, job: Job, stage: str) -> None:
        """Stop when it shows, and not after every document of a broken engine was tried alone."""
        documents, budget = job.corpus.documents, self.config.error_budget
        if errors > budget * documents:
            raise WorkProblem(
                f"{stage}: the engine failed on {errors} of {documents} documents, over "
                f"engine.error_budget ({budget:.0%}). Finished shards are kept. Look at the engine "
                "with `palimpsest doctor`, or raise the budget."
            )


def _note(found: dict[str, Any], part: Part, job: Job, shard: _Shard) -> None:
    """Note what an actor says of a part that it has done."""
    shard.done[part.start] = (part.stop, _part_file(job, part), found["digest"])
    result = shard.result
    if result is not None:
        result.seconds += found["seconds"]
        result.nodes.add(found["node"])
        result.attempts = max(result.attempts, part.attempt)
        result.usage.add(Usage(**found["usage"]))


def _part_file(job: Job, part: Part) -> Path:
    whole = shard_file(job.out, part.shard)
    if part.start == 0 and part.stop == job.corpus.shards[part.shard].documents:
        return whole
    return whole.with_suffix(f".{part.start}-{part.stop}.parquet")


def _finish(job: Job, shard: _Shard) -> ShardResult:
    result = shard.result
    if result is None:
        raise RuntimeError("a shard without a result was finished")
    path = shard_file(job.out, result.shard)
    parts = [shard.done[start] for start in sorted(shard.done)]
    if len(parts) == 1:
        digest = parts[0][2]
    else:
        # Each part may have been worked on by another node.
        tables = [read_table(job.store.fetch_file(file, made)) for _, file, made in parts]
        digest = write_table(path, pa.concat_tables(tables))
        job.store.publish_file(path)
        for _, file, _ in parts:
            file.unlink()
            job.store.remove(file)
    result.uri, result.digest = str(path), digest
    return result
