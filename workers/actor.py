"""The actor that owns an engine; it lives in a Ray worker process, on whichever node has room."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workers.cores import ClaimedCores
from workers.engines.interface import Engine, EngineSpec, Usage
from workers.engines.start import start_engine
from workers.jobs import Job, Part
from workers.nodes import NodeReport, report
from workers.storage import write_table


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an actor started."""

    name: str
    version: str
    start_s: float
    pid: int
    note: str = ""
    """What of its settings the engine could not be had with, and why."""


class EngineActor:
    """Owns one engine at a time; lives in a Ray worker process."""

    def __init__(self, index: int, threads: int) -> None:
        """`index` says where to look first for the CPU cores that the engine is bound to."""
        self._claimed = ClaimedCores(index, threads)
        self._node = ""
        self._engine: Engine | None = None
        self._spec: EngineSpec | None = None
        self._job: Job | None = None
        self._failed = False

    def report(self, probe: str | None) -> NodeReport:
        """Say which node this is, and what is installed there."""
        found = report(probe)
        self._node = found.name
        return found

    def start(self, spec: EngineSpec) -> EngineInfo:
        """Load the weights, unless they are loaded already."""
        began = time.perf_counter()
        if self._engine is None or self._spec != spec:
            if self._engine is not None:
                self._engine.close()
                self._engine = None
            self._engine = start_engine(spec, self._claimed.cores)
            self._spec = spec
        took = time.perf_counter() - began
        engine = self._engine
        return EngineInfo(engine.name, engine.version, took, os.getpid(), engine.note)

    def work(self, job: Job, part: Part, path: str) -> dict[str, Any]:
        """Do a part, write its output to `path`, and leave it where every node can have it."""
        if self._failed:
            raise RuntimeError("the part before failed here, and the engine may be spoiled")
        self._failed = True
        began = time.perf_counter()
        # A job comes anew with each part; the one that is held has its tokenizer loaded.
        if self._job is not None and self._job == job:
            job = self._job
        self._job = job
        engine = self._engine if job.spec is not None else None
        before = engine.usage.copy() if engine else Usage()
        table = job.run(engine, part)
        digest = write_table(Path(path), table)
        job.store.publish_file(path)
        used = engine.usage.since(before) if engine else Usage()
        seconds = time.perf_counter() - began
        self._failed = False
        return {"digest": digest, "seconds": seconds, "usage": asdict(used), "node": self._node}
