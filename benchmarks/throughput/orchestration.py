"""Orchestration: what a document takes beside the model, with a model that takes no time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import pyarrow as pa
import ray

from benchmarks.targets import Figure, Report
from benchmarks.throughput.free import FreeJob
from benchmarks.throughput.peers import PEERS, peer_environment, run_peer
from benchmarks.throughput.rounds import rounds_of
from benchmarks.throughput.stages import rate_job, repeated_corpus
from configs.asking import Engine as EngineConfig
from workers.cluster import connect
from workers.corpora.store import CorpusRef, iterate
from workers.engines.interface import Reply
from workers.pool import EnginePool
from workers.storage import write_table

OF = "orchestration"
SIZES = (100, 1_000, 20_000)
SHARD = 1_000
MOST_MS = 0.1
"""A document, beyond a fixed start."""


def measure(report: Report, rounds: int) -> None:
    """Rate corpora of every size on one principle, in turn with the peers."""
    environments = {name: peer_environment(name) for name in PEERS}
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
) -> dict[str, Callable[[], None]]:
    """The stage, and the same by each peer from a file of the same texts."""
    corpus, texts = repeated_corpus(folder, size, 1, SHARD), folder / "texts" / "texts.parquet"
    rows = [{"id": document.doc_id, "text": document.text} for document in iterate(corpus)]
    write_table(texts, pa.Table.from_pylist(rows))
    jobs: dict[str, Callable[[], None]] = {"palimpsest": lambda: _ours(corpus, folder)}
    for name, python in environments.items():
        jobs[name] = lambda name=name, python=python: run_peer(
            python, f"{name}_rate", texts, folder / "peer"
        )
    return jobs


def _ours(corpus: CorpusRef, folder: Path) -> None:
    """A stage from nothing: Ray and one actor are started for it, and ended."""
    connect(None, 1)
    pool = EnginePool(EngineConfig(actors=1))
    out = folder / f"ours-{time.monotonic_ns()}"
    job = FreeJob(rate_job(corpus, out, principles=1), _undecided, _nothing)
    done = sum(result.documents for result in pool.run(job, range(len(corpus.shards))))
    pool.stop()
    ray.shutdown()
    if done != corpus.documents:
        raise RuntimeError(f"{done} of {corpus.documents} documents were rated")


def _undecided(prompt: Sequence[int]) -> Sequence[float]:
    return (-0.7, -0.7)


def _nothing(prompt: Sequence[int]) -> Reply:
    return Reply((), True)
