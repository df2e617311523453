"""Orchestration: what a document takes beside the model, with a model that takes no time."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pyarrow as pa
import ray

from benchmarks.targets import Figure, Report
from benchmarks.throughput.peers import PEERS, peer_environment, run_peer
from benchmarks.throughput.rounds import rounds_of
from configs.asking import Engine as EngineConfig
from configs.principles import load_principles
from configs.prompts import load_prompts
from workers.cluster import connect
from workers.corpora.store import CorpusRef, CorpusWriter
from workers.engines.interface import Engine, EngineSpec, Reply
from workers.engines.scripted import ScriptedEngine
from workers.jobs import Part, RateJob
from workers.microworld.build import SHIPPED
from workers.microworld.generator import generate_documents
from workers.microworld.world import WorldParams
from workers.pool import EnginePool
from workers.records import Document, text_digest
from workers.sharing import SharedStore
from workers.storage import write_table

OF = "orchestration"
SIZES = (100, 1_000, 20_000)
SHARD = 1_000
SEED = 5_000_000
"""Far from those of experiments."""
NO_REPLY = Reply((), True)
MOST_MS = 0.1
"""A document, beyond a fixed start."""


@dataclass(frozen=True)
class FreeRateJob:
    """Rates with a model of no cost, for which no engine is started."""

    rating: RateJob
    spec: None = None

    @property
    def corpus(self) -> CorpusRef:
        """What is rated."""
        return self.rating.corpus

    @property
    def out(self) -> str:
        """Where the ratings go."""
        return self.rating.out

    @property
    def store(self) -> SharedStore:
        """Where they are left for others."""
        return self.rating.store

    def run(self, engine: Engine | None, part: Part) -> pa.Table:
        """Return the part's ratings, all of them alike."""
        return self.rating.run(ScriptedEngine(lambda _: (-0.7, -0.7), lambda _: NO_REPLY), part)

    def give_up(self, part: Part, why: str) -> pa.Table:
        """Return ratings without a score."""
        return self.rating.give_up(part, why)


def measure(report: Report, rounds: int) -> None:
    """Rate corpora of every size on one principle, in turn with the peers."""
    environments = {name: peer_environment(name) for name in PEERS}
    # Actors cannot import what is run as a script.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with tempfile.TemporaryDirectory(prefix="palimpsest-bench-") as folder:
        found = {
            size: rounds_of(_jobs(Path(folder) / str(size), size, environments), rounds)
            for size in SIZES
        }
    for size, each in found.items():
        report.details[f"{OF}, {size} documents"] = each.figures()
        for name in ("palimpsest", *PEERS):
            label = f"{name}, {size:,} documents"
            report.add(each.rate(OF, label, name, size, "documents/s"))
        for name in PEERS:
            label = f"palimpsest to {name}, {size:,} documents"
            report.add(each.ratio(OF, label, "palimpsest", name, 1.0))
    least, most = min(SIZES), max(SIZES)
    for name in ("palimpsest", *PEERS):
        fixed, whole = (median(found[size].seconds[name]) for size in (least, most))
        bound = MOST_MS if name == "palimpsest" else None
        each_ms = 1_000 * (whole - fixed) / (most - least)
        label = f"{name}, a document beyond the start"
        report.add(Figure(OF, label, each_ms, "ms", at_most=bound))


def _jobs(
    folder: Path, size: int, environments: Mapping[str, Path]
) -> dict[str, Callable[[], object]]:
    """The stage, and the same by each peer from a file of the same texts."""
    corpus, texts = _corpus(folder, size), folder / "texts" / "texts.parquet"
    _write_texts(texts, size)
    jobs: dict[str, Callable[[], object]] = {"palimpsest": lambda: _ours(corpus, folder)}
    for name, python in environments.items():
        jobs[name] = lambda name=name, python=python: run_peer(python, name, texts, folder / "peer")
    return jobs


def _corpus(folder: Path, documents: int) -> CorpusRef:
    with CorpusWriter(folder, SHARD) as writer:
        for each in generate_documents(WorldParams(), SEED, documents):
            writer.add(Document(each.doc_id, each.text, text_digest(each.text), "bench"))
        return writer.finish()


def _write_texts(path: Path, documents: int) -> None:
    made = generate_documents(WorldParams(), SEED, documents)
    rows = [{"id": each.doc_id, "text": each.text} for each in made]
    write_table(path, pa.Table.from_pylist(rows))


def _ours(corpus: CorpusRef, folder: Path) -> None:
    """A stage from nothing: Ray and one actor are started for it, and ended."""
    connect(None, 1)
    pool = EnginePool(EngineConfig(actors=1))
    principles = load_principles("microworld")
    rating = RateJob(
        corpus=corpus,
        out=str(folder / f"ours-{time.monotonic_ns()}"),
        spec=EngineSpec("scripted", str(SHIPPED), "free", "float32", 160),
        prompt_file=load_prompts("microworld"),
        principles=principles.model_copy(update={"principles": principles.principles[:1]}),
        min_answer_mass=0.0,
    )
    job = FreeRateJob(rating)
    done = sum(result.documents for result in pool.run(job, range(len(corpus.shards))))
    pool.stop()
    ray.shutdown()
    if done != corpus.documents:
        raise RuntimeError(f"{done} of {corpus.documents} documents were rated")
