"""The actor that owns an engine; it lives in a Ray worker process, on whichever node has room."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workers.engines.interface import Engine, EngineSpec, Usage
from workers.engines.start import start_engine
from workers.jobs import Job, Part
from workers.storage import write_table


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an actor started."""

    name: str
    version: str
    start_s: float
    pid: int


class EngineActor:
    """Owns one engine at a time; lives in a Ray worker process."""

    def __init__(self, index: int, threads: int) -> None:
        """`index` picks the CPU cores that this actor's engine is bound to."""
        cores = sorted(os.sched_getaffinity(0))
        self._cores = [cores[(index * threads + i) % len(cores)] for i in range(threads)]
        self._engine: Engine | None = None
        self._spec: EngineSpec | None = None

    def start(self, spec: EngineSpec) -> EngineInfo:
        """Load the weights, unless they are loaded already."""
        began = time.perf_counter()
        if self._engine is None or self._spec != spec:
            if self._engine is not None:
                self._engine.close()
                self._engine = None
            self._engine = start_engine(spec, self._cores)
            self._spec = spec
        took = time.perf_counter() - began
        return EngineInfo(self._engine.name, self._engine.version, took, os.getpid())

    def work(self, job: Job, part: Part, path: str) -> dict[str, Any]:
        """Do a part, write its output to `path`, and leave it where every node can have it."""
        began = time.perf_counter()
        engine = self._engine if job.spec is not None else None
        before = engine.usage.copy() if engine else Usage()
        table = job.run(engine, part)
        digest = write_table(Path(path), table)
        job.store.publish_file(path)
        used = engine.usage.since(before) if engine else Usage()
        return {"digest": digest, "seconds": time.perf_counter() - began, "usage": asdict(used)}
