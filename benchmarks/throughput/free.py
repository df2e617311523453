"""Jobs whose model takes no time, so that what is left is the product's own work."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from workers.corpora.store import CorpusRef
from workers.engines.interface import Engine, Reply, Usage
from workers.engines.scripted import ScriptedEngine
from workers.jobs import Job, Part
from workers.sharing import SharedStore


@dataclass(frozen=True)
class FreeJob:
    """A job that asks a script; what it asked stands beside its output, a file for each part."""

    job: Job
    choice: Callable[[Sequence[int]], Sequence[float]]
    answer: Callable[[Sequence[int]], Reply]
    spec: None = None
    """No engine is started."""

    @property
    def corpus(self) -> CorpusRef:
        """What is worked on."""
        return self.job.corpus

    @property
    def out(self) -> str:
        """Where the output goes."""
        return self.job.out

    @property
    def store(self) -> SharedStore:
        """Where it is left for others."""
        return self.job.store

    def run(self, engine: Engine | None, part: Part) -> pa.Table:
        """Do the part with a script."""
        scripted = ScriptedEngine(self.choice, self.answer)
        table = self.job.run(scripted, part)
        counts = Path(self.out) / f"{part.shard}-{part.start}.json"
        counts.parent.mkdir(parents=True, exist_ok=True)
        counts.write_text(json.dumps(asdict(scripted.usage)), encoding="utf-8")
        return table

    def give_up(self, part: Part, why: str) -> pa.Table:
        """Return what the job itself returns then."""
        return self.job.give_up(part, why)

    def usage(self) -> Usage:
        """What all parts asked."""
        total = Usage()
        for counts in Path(self.out).glob("*.json"):
            total.add(Usage(**json.loads(counts.read_text(encoding="utf-8"))))
        return total
