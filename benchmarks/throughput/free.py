"""Jobs whose model takes no time, so that what is left is the product's own work."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from configs.principles import load_principles
from configs.prompts import load_prompts
from workers.corpora.store import CorpusRef, CorpusWriter
from workers.engines.interface import Engine, EngineSpec, Reply, Usage
from workers.engines.scripted import ScriptedEngine
from workers.jobs import Asking, Part, RateJob
from workers.microworld.build import SHIPPED
from workers.microworld.generator import generate_documents
from workers.microworld.world import WorldParams
from workers.records import Document, text_digest
from workers.sharing import SharedStore

SEED = 5_000_000
"""Far from those of experiments."""
SCRIPTED = EngineSpec("scripted", str(SHIPPED), "free", "float32", 160)
"""Of it the tokenizer and the longest prompt are read."""


@dataclass(frozen=True)
class FreeJob:
    """A job that asks a script; what it asked stands beside its output, a file for each part."""

    job: Asking
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
        table = self.job.run(scripted, part)  # pyright: ignore[reportAttributeAccessIssue]
        counts = Path(self.out) / f"{part.shard}-{part.start}.json"
        counts.parent.mkdir(parents=True, exist_ok=True)
        counts.write_text(json.dumps(asdict(scripted.usage)), encoding="utf-8")
        return table

    def give_up(self, part: Part, why: str) -> pa.Table:
        """Return what the job itself returns then."""
        return self.job.give_up(part, why)  # pyright: ignore[reportAttributeAccessIssue]

    def usage(self) -> Usage:
        """What all parts asked."""
        total = Usage()
        for counts in Path(self.out).glob("*.json"):
            total.add(Usage(**json.loads(counts.read_text(encoding="utf-8"))))
        return total


def asking(corpus: CorpusRef, principles: int, spec: EngineSpec = SCRIPTED) -> dict[str, Any]:
    """What jobs share: the microworld's prompts, and so many of its principles."""
    known = load_principles("microworld")
    return {
        "corpus": corpus,
        "spec": spec,
        "prompt_file": load_prompts("microworld"),
        "principles": known.model_copy(update={"principles": known.principles[:principles]}),
        "min_answer_mass": 0.0,
    }


def rate_job(corpus: CorpusRef, out: Path, principles: int) -> RateJob:
    """A job of rating."""
    return RateJob(out=str(out), **asking(corpus, principles))


def repeated_corpus(folder: Path, base: int, times: int, shard: int) -> CorpusRef:
    """A corpus of the same texts so many times, each time under other ids."""
    texts = [each.text for each in generate_documents(WorldParams(), SEED, base)]
    digests = [text_digest(text) for text in texts]
    with CorpusWriter(folder, shard) as writer:
        for turn in range(times):
            for i, (text, digest) in enumerate(zip(texts, digests, strict=True)):
                writer.add(Document(f"bench-{turn}-{i}", text, digest, "bench"))
        return writer.finish()
