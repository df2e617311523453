"""The pool: Ray actors that own an engine each, fed with parts of shards.

A part that fails is tried again on a fresh actor, then split in two, and a single document that
still fails is given up. What a shard holds depends on its documents alone: not on who worked on it,
in which order, or after how many failures.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
from ray.exceptions import RayActorError, RayTaskError

from configs.experiment import Engine as EngineConfig
from workers.actor import EngineActor, EngineInfo
from workers.engines.interface import EngineSpec, Usage
from workers.interrupting import stop_if_asked
from workers.jobs import Job, Part, shard_file
from workers.problems import InputProblem, WorkProblem
from workers.storage import read_table, write_table

POLL_S = 1.0
FAILED_STARTS = 3


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


@dataclass(slots=True)
class _Member:
    index: int
    actor: Any
    spec: EngineSpec | None = None


@dataclass(slots=True)
class _Running:
    member: _Member
    part: Part
    began: float


@dataclass(slots=True)
class _Shard:
    """Parts of a shard that are done, and what they took together."""

    documents: int
    done: dict[int, tuple[int, Path, str]] = field(default_factory=dict)
    """By first row: the row after the last, the file, and its digest."""
    result: ShardResult | None = None

    def complete(self) -> bool:
        """Whether every row is covered."""
        return sum(stop - start for start, (stop, _, _) in self.done.items()) == self.documents


class EnginePool:
    """Runs jobs on a fixed number of actors; actors are started when first needed."""

    def __init__(self, config: EngineConfig) -> None:
        """Take the number of actors, their threads and GPUs, and the limits on failure."""
        self.config = config
        self.info: EngineInfo | None = None
        self.start_s = 0.0
        """Seconds that engines took to start since `take_start_s` was last called."""
        self._members: list[_Member] = []

    def run(self, job: Job, shards: Sequence[int]) -> Iterator[ShardResult]:
        """Yield the shards' results as they finish, in any order.

        Raises:
            WorkProblem: engines fail to start again and again, or the disk is full.
            InputProblem: the engine is not installed.
        """
        waiting = deque(Part(s, 0, job.corpus.shards[s].documents) for s in shards)
        state = {s: _Shard(job.corpus.shards[s].documents) for s in shards}
        for part in waiting:
            state[part.shard].result = ShardResult(part.shard, "", "", part.documents)
        idle = self._ready(job.spec, min(self.config.actors, len(waiting)))
        running: dict[Any, _Running] = {}
        while waiting or running:
            while waiting and idle:
                member, part = idle.pop(), waiting.popleft()
                reference = member.actor.work.remote(job, part, str(_part_file(job, part)))
                running[reference] = _Running(member, part, time.monotonic())
            stop_if_asked()
            done, _ = ray.wait(list(running), num_returns=1, timeout=POLL_S)
            for reference in done:
                now = running.pop(reference)
                failure = self._collect(reference, job, now, state)
                if failure is None:
                    idle.append(now.member)
                else:
                    idle.append(self._replace(now.member, job.spec))
                    self._again(now.part, failure, job, state, waiting)
                if state[now.part.shard].complete():
                    yield _finish(job, state.pop(now.part.shard))
            self._stop_overdue(running)

    def take_start_s(self) -> float:
        """Return the seconds spent on starting engines since the last call."""
        seconds, self.start_s = self.start_s, 0.0
        return seconds

    def stop(self) -> None:
        """End every actor."""
        for member in self._members:
            ray.kill(member.actor)
        self._members = []

    def _ready(self, spec: EngineSpec | None, count: int) -> list[_Member]:
        while len(self._members) < count:
            index = len(self._members)
            self._members.append(_Member(index, self._new_actor(index)))
        members = self._members[:count]
        began = time.perf_counter()
        if spec is not None:
            starting = [(m, m.actor.start.remote(spec)) for m in members if m.spec != spec]
            for member, reference in starting:
                try:
                    self.info = _started(reference)
                    member.spec = spec
                except (RayActorError, RayTaskError) as error:
                    raise_ours(error)
                    self._replace(member, spec)
            if starting:
                self.start_s += time.perf_counter() - began
        return list(members)

    def _new_actor(self, index: int) -> Any:
        options: dict[str, Any] = {
            "num_cpus": self.config.threads,
            "num_gpus": self.config.gpus_per_actor,
        }
        return ray.remote(EngineActor).options(**options).remote(index, self.config.threads)

    def _replace(self, member: _Member, spec: EngineSpec | None) -> _Member:
        """Start the actor afresh: an engine that failed once may be dead or spoiled."""
        why: Exception | None = None
        for _ in range(FAILED_STARTS):
            ray.kill(member.actor)
            member.actor, member.spec = self._new_actor(member.index), None
            if spec is None:
                return member
            try:
                self.info = _started(member.actor.start.remote(spec))
                member.spec = spec
                return member
            except (RayActorError, RayTaskError) as error:
                raise_ours(error)
                why = error
        raise WorkProblem(
            f"engine {spec.kind if spec else ''} did not start in {FAILED_STARTS} tries on "
            f"checkpoint {spec.checkpoint_id[:12] if spec else ''}. Finished shards are kept. "
            f"`palimpsest doctor` checks the installation; the last error was: {last_line(why)}"
        ) from why

    def _collect(
        self, reference: Any, job: Job, now: _Running, state: dict[int, _Shard]
    ) -> str | None:
        """Note a finished part, or return why it failed."""
        try:
            found: Any = ray.get(reference)
        except (RayActorError, RayTaskError) as error:
            raise_ours(error)
            return last_line(error)
        shard, part = state[now.part.shard], now.part
        shard.done[part.start] = (part.stop, _part_file(job, part), found["digest"])
        result = shard.result
        if result is not None:
            result.seconds += found["seconds"]
            result.attempts = max(result.attempts, part.attempt)
            _add(result.usage, Usage(**found["usage"]))
        return None

    def _again(
        self, part: Part, why: str, job: Job, state: dict[int, _Shard], waiting: deque[Part]
    ) -> None:
        """Try a failed part again, split it, or give its one document up."""
        shard = state[part.shard]
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
            digest = write_table(path, job.give_up(part, f"engine_error: {why}"[:200]))
            job.store.publish_file(path)
            shard.done[part.start] = (part.stop, path, digest)
            if shard.result is not None:
                shard.result.errors += 1

    def _stop_overdue(self, running: dict[Any, _Running]) -> None:
        for now in running.values():
            if time.monotonic() - now.began > self.config.shard_timeout_s:
                ray.kill(now.member.actor)
                now.began = time.monotonic()


def _started(reference: Any) -> EngineInfo:
    """What an engine says when it is up; Ctrl-C does not wait for it."""
    while not ray.wait([reference], timeout=POLL_S)[0]:
        stop_if_asked()
    info: Any = ray.get(reference)
    return info


def raise_ours(error: Exception) -> None:
    """Raise the cause of a remote error where it is a problem that no retry can mend."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, InputProblem | WorkProblem):
        raise cause from error


def last_line(error: Exception | None) -> str:
    """The last line of an error's text, which names it; a traceback may quote documents."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


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


def _add(total: Usage, more: Usage) -> None:
    total.calls += more.calls
    total.prompt_tokens += more.prompt_tokens
    total.cached_tokens += more.cached_tokens
    total.output_tokens += more.output_tokens
