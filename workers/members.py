"""The engine-owning actors of a pool: asked for, placed by Ray, started, lost and asked for anew.

None waits for another: work begins when the first engine is up, and the others join as they come,
on nodes that may themselves join later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayTaskError

from configs.asking import Engine as EngineConfig
from workers.actor import EngineActor, EngineInfo
from workers.engines.interface import EngineSpec
from workers.losses import LOST, last_line, raise_ours, with_its_node
from workers.nodes import NodeReport
from workers.problems import WorkProblem
from workers.waiting import RoomWait

FAILED_STARTS = 3
"""Tries of one actor to start its engine."""
LOST_STARTS = 5
"""Starts of one actor that may be lost in a row with their nodes, as spot machines are, before it
is taken for the engine's doing: one that takes all memory may bring its node down each time."""
START_S = 1800.0
"""Seconds that a start may take before it counts as hung; raised with `engine.shard_timeout_s`.
Large weights come from a slow disk in minutes, and a start that hangs never ends by itself."""


@dataclass(slots=True, eq=False)
class Member:
    """One actor, and how far it has come."""

    index: int
    actor: Any
    spec: EngineSpec | None
    """What it runs, or is to run; None where no engine is needed."""
    placing: Any
    """Reference to the report of its node; None once it is there."""
    starting: Any
    """Reference to its engine's start; None once it is up."""
    node: NodeReport | None = None
    held: int = 0
    """Parts that it was given and has not done."""
    failed: int = 0
    """Starts in a row that failed."""
    lost: int = 0
    """Starts in a row that were lost with their nodes."""
    began: float | None = None
    """When its engine's start began; None while it is up or waits for room."""

    @property
    def ready(self) -> bool:
        """Whether it can work."""
        return self.placing is None and self.starting is None


@dataclass(frozen=True, slots=True)
class Terms:
    """What every node of a pool must fulfil, and whom to tell how it goes."""

    probe: str | None = None
    """A file in the home that the nodes share; None if they share none."""
    check: Callable[[NodeReport], None] = lambda node: None
    """Raises if a node is not fit; nodes may join in the middle of a run."""
    say: Callable[[str], None] = lambda what: None


class Members:
    """Up to `engine.actors` actors, spread over the nodes."""

    def __init__(self, config: EngineConfig, terms: Terms) -> None:
        """Take what each actor reserves, and what its node must fulfil."""
        self.info: EngineInfo | None = None
        """Of the engine that started last."""
        self._config = config
        self._terms = terms
        self._members: dict[int, Member] = {}
        self._given_up: set[int] = set()
        self._wait = RoomWait(
            config.threads,
            config.gpus_per_actor,
            "engine.threads or engine.gpus_per_actor",
            config.wait_s,
            terms.say,
        )

    def ask_for(self, spec: EngineSpec | None, count: int) -> None:
        """See to it that `count` actors run an engine of this spec, or are on their way to.

        Raises:
            WorkProblem: every actor was given up.
        """
        # One that is given up is stood in for by the next.
        left = [i for i in range(self._config.actors) if i not in self._given_up]
        if not left:
            raise WorkProblem("no engine starts any more. Finished shards are kept.")
        for index in left[:count]:
            member = self._members.get(index)
            if member is None:
                self._members[index] = self._new(index, spec)
            elif spec is not None and member.spec != spec and not member.held:
                if member.ready:
                    member.spec, member.starting = spec, member.actor.start.remote(spec)
                    member.began = time.monotonic()
                else:
                    # It would start the engine that is no longer wanted first.
                    self.renew(member, spec)

    def ready(self) -> list[Member]:
        """Those that can work."""
        return [member for member in self._members.values() if member.ready]

    def pending(self) -> list[Any]:
        """References to wait on: each is something that `heard` deals with."""
        return [r for m in self._members.values() for r in (m.placing, m.starting) if r is not None]

    def heard(self, reference: Any) -> None:
        """Note what came of one of the pending references.

        Raises:
            InputProblem: the node is not fit, or the engine is not installed there.
            WorkProblem: no engine starts, however often it is tried.
        """
        found = [m for m in self._members.values() if reference in (m.placing, m.starting)]
        if not found:
            return  # Of an actor that was asked for anew meanwhile.
        member = found[0]
        try:
            said: Any = ray.get(reference)
        except (*LOST, RayTaskError) as error:
            raise_ours(error, again=member.failed + 1 < FAILED_STARTS)
            self._not_started(member, error)
            return
        if reference == member.placing:
            self._terms.check(said)
            member.node, member.placing = said, None
            member.began = time.monotonic() if member.starting is not None else None
        else:
            self.info, member.starting, member.began = said, None, None
            member.failed = member.lost = 0
            if said.note:
                self._terms.say(f"  engine: {said.note}; going on without")

    def renew(self, member: Member, spec: EngineSpec | None = None) -> None:
        """Ask for an actor afresh: an engine that failed once may be dead or spoiled."""
        ray.kill(member.actor)
        fresh = self._new(member.index, spec or member.spec)
        fresh.failed, fresh.lost = member.failed, member.lost
        self._members[member.index] = fresh

    def watch(self) -> None:
        """Say so when there is no node to work on, and stop waiting in the end; end hung starts.

        Raises:
            WorkProblem: no node came in `engine.wait_s`, or no engine starts.
        """
        limit = max(START_S, self._config.shard_timeout_s)
        for member in list(self._members.values()):
            if member.began is not None and time.monotonic() - member.began > limit:
                self._not_started(member, TimeoutError(f"its start took over {limit:.0f} s"))
        if any(member.placing is None for member in self._members.values()):
            self._wait.over()
        else:
            self._wait.still()

    def stop(self) -> None:
        """End every actor."""
        for member in self._members.values():
            ray.kill(member.actor)
        self._members = {}
        self._given_up.clear()

    def _new(self, index: int, spec: EngineSpec | None) -> Member:
        options: dict[str, Any] = {
            "num_cpus": self._config.threads,
            "num_gpus": self._config.gpus_per_actor,
            "scheduling_strategy": "SPREAD",
        }
        made: Any = ray.remote(EngineActor).options(**options)
        actor = made.remote(index, self._config.threads)
        placing = actor.report.remote(self._terms.probe)
        starting = actor.start.remote(spec) if spec is not None else None
        return Member(index, actor, spec, placing, starting)

    def _not_started(self, member: Member, error: Exception) -> None:
        """Ask for an actor anew whose engine did not come up; give it up after some tries."""
        node_id = member.node.node_id if member.node else None
        if isinstance(error, RayTaskError) or not with_its_node(error, node_id):
            member.failed += 1
        else:
            member.lost += 1
        spec, where = member.spec, member.node.name if member.node else "an unknown node"
        name = f"engine {spec.kind}" if spec else "an actor"
        if member.failed < FAILED_STARTS and member.lost < LOST_STARTS:
            self._terms.say(f"  {name} did not start on {where}: {last_line(error)[:300]}")
            self.renew(member)
            return
        told = f"{name} did not start in {member.failed + member.lost} tries"
        told += f" on checkpoint {spec.checkpoint_id[:12]}" if spec else ""
        others = [m for m in self._members.values() if m is not member and m.starting is None]
        if not any(each.placing is None for each in others):
            raise WorkProblem(
                f"{told}, last on {where}. Finished shards are kept. `palimpsest doctor` checks "
                f"the installation; the last error was: {last_line(error)}"
            ) from error
        ray.kill(member.actor)
        del self._members[member.index]
        self._given_up.add(member.index)
        self._terms.say(f"  {told}, last on {where} ({last_line(error)}); going on without it")
