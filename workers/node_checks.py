"""Whether a cluster's nodes are fit for one run, those that join later included."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from configs.asking import Engine as EngineConfig
from workers.engines.packages import ENGINES
from workers.interrupting import stop_if_asked
from workers.nodes import (
    PACKAGES,
    NodeReport,
    alive_nodes,
    ask_nodes,
    no_answer,
    probed,
    report,
)
from workers.problems import InputProblem
from workers.waiting import RoomWait

# The driver may have another build of the engine's packages, or none: it asks no model. It reads
# and writes the same files.
LIKE_DRIVER = ("python", "ray", "palimpsest", "algorithms", "pyarrow")
REMEDY = (
    "Make every node from one image or one requirements file (docker/, requirements/), restart "
    "Ray on the nodes that changed, and run again: finished stages are kept."
)


class ClusterNodes:
    """The nodes that a run found when it joined, and what later ones must be like."""

    def __init__(
        self, engine: EngineConfig, home: Path, *, shared: bool, say: Callable[[str], None]
    ) -> None:
        """Ask every node that can work, and wait for one with room for an engine if there is none.

        Args:
            engine: what an engine reserves.
            home: the run's home folder.
            shared: whether nodes are to see that very folder.
            say: called with what a person should know meanwhile.

        Raises:
            InputProblem: the nodes are not fit.
            WorkProblem: a node does not answer, or none has room for an engine.
        """
        self._closing = ExitStack()
        self.probe = self._closing.enter_context(probed(home)) if shared else None
        self._engine, self._home = engine, home
        self._here = report(None)
        try:
            self.nodes = ask_nodes(self.probe, engine.threads, engine.gpus_per_actor)
            if not any(node.takes_engines for node in self.nodes):
                self.nodes.append(self._first_to_come(engine, say))
            check_nodes(self._here, self.nodes, engine.kind, home)
        except BaseException:
            self.close()
            raise
        # What stages record; nodes that join later are held to it.
        self._versions = next(node.versions for node in self.nodes if node.takes_engines)
        self._devices = frozenset(node.device for node in self.nodes)

    @property
    def versions(self) -> Mapping[str, str]:
        """What is installed where engines run."""
        return self._versions

    @property
    def device(self) -> str:
        """Kinds of processor among the nodes; results are equal within one."""
        return " or ".join(sorted(self._devices))

    def check(self, node: NodeReport) -> None:
        """Check a node on which an engine was placed; it may have joined a moment ago.

        Raises:
            InputProblem: it is not fit.
            WorkProblem: it does not say what it has.
        """
        alive = {each["NodeID"] for each in alive_nodes()}
        known = [each for each in self.nodes if each.node_id in alive]
        others = [each for each in known if each.node_id != node.node_id]
        check_nodes(self._here, [*others, node], self._engine.kind, self._home)
        if len(others) == len(known):
            known += self._asked(node)
        self.nodes = known

    def _asked(self, node: NodeReport) -> list[NodeReport]:
        """A later node's report with its kind of processor; none if it has left meanwhile.

        Asked like those found at first: an engine's own process is not to take up a GPU for it.
        """
        engine = self._engine
        found = ask_nodes(self.probe, engine.threads, engine.gpus_per_actor, node.node_id)
        for each in found:
            if each.device not in self._devices:
                raise InputProblem(
                    f"node {each.host} joined with another kind of processor, {each.device}, than "
                    f"the run has recorded, {self.device}: results are equal within one kind. Run "
                    "the same command again to go on with both, and have both recorded, or take "
                    "the node out first; finished stages are kept."
                )
        return found

    def close(self) -> None:
        """Remove what the nodes were asked by."""
        self._closing.close()

    def _first_to_come(self, engine: EngineConfig, say: Callable[[str], None]) -> NodeReport:
        """Ask for room for an engine, so that a cluster that grows by itself does so."""
        ask: Any = ray.remote(report).options(
            num_cpus=engine.threads, num_gpus=engine.gpus_per_actor
        )
        reference = ask.remote(self.probe, True, True)
        wait = RoomWait(
            engine.threads,
            engine.gpus_per_actor,
            "engine.threads or engine.gpus_per_actor",
            engine.wait_s,
            say,
        )
        while not ray.wait([reference], timeout=1.0)[0]:
            stop_if_asked()
            wait.still()
        try:
            found: Any = ray.get(reference)
        except RayError as error:
            raise no_answer("a node", error) from error
        return found


def check_nodes(here: NodeReport, nodes: Sequence[NodeReport], engine: str, home: Path) -> None:
    """Refuse a cluster whose nodes are not fit for one run.

    Args:
        here: report on the driver.
        nodes: reports on those that work.
        engine: kind of the engine that they need.
        home: the folder that they share, for the message.

    Raises:
        InputProblem: a node differs from the driver in what must be equal, nodes differ from each
            other in what decides results, one lacks the engine, or one does not share the home.
    """
    for node in nodes:
        if node.home_fault:
            raise InputProblem(
                f"node {node.host} {node.home_fault} placement.home, {home}. Put the home on a "
                "file system that every node mounts at the same path, or name a store that every "
                "node reaches in placement.storage (PALIMPSEST_STORAGE)."
            )
        for name in LIKE_DRIVER:
            ours, theirs = here.versions.get(name), node.versions.get(name)
            if ours != theirs:
                raise InputProblem(
                    f"node {node.host} has {name} {theirs or 'not installed'}, and the process "
                    f"that starts the run, on {here.host}, has {ours or 'none'}. {REMEDY}"
                )
        if node.takes_engines and not any(name in node.versions for name in ENGINES[engine]):
            raise InputProblem(f"engine.kind: {engine} is not installed on {node.host}. {REMEDY}")
    _check_equal(nodes)


def _check_equal(nodes: Sequence[NodeReport]) -> None:
    for name in PACKAGES:
        found: dict[str, list[str]] = {}
        for node in nodes:
            # A node without room for an engine needs none.
            if node.takes_engines or name not in ENGINES["vllm"]:
                found.setdefault(node.versions.get(name, "not installed"), []).append(node.host)
        if len(found) > 1:
            said = "; ".join(f"{what} on {', '.join(on)}" for what, on in sorted(found.items()))
            raise InputProblem(f"the cluster's nodes differ in {name}: {said}. {REMEDY}")
