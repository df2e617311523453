"""Two engines beside each other, each bound to a core of its own, and one."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import ray

from benchmarks.targets import Report
from benchmarks.throughput.rounds import rounds_of
from benchmarks.throughput.stages import rate_job, repeated_corpus
from configs.asking import Engine as EngineConfig
from workers.cluster import connect
from workers.corpora.store import CorpusRef
from workers.engines.interface import EngineSpec
from workers.jobs import Job
from workers.microworld.build import SHIPPED
from workers.pool import EnginePool

OF = "actors"
WARM, DOCUMENTS, SHARD = 2_000, 4_000, 100
LEAST = 1.3
SPEC = EngineSpec("vllm", str(SHIPPED), "gen0", "float32", 160)


def measure(report: Report, rounds: int) -> None:
    """Rate the same documents with one engine and with two, in turn."""
    connect(None, 2)
    with tempfile.TemporaryDirectory(prefix="palimpsest-bench-") as name:
        folder = Path(name)
        warm = repeated_corpus(folder / "warm", WARM, 1, SHARD)
        corpus = repeated_corpus(folder / "corpus", DOCUMENTS, 1, SHARD)
        jobs = {
            f"{actors} bound": _rating(folder / str(actors), actors, warm, corpus)
            for actors in (1, 2)
        }
        found = rounds_of(jobs, rounds)
    ray.shutdown()
    report.details[OF] = found.figures()
    for job in jobs:
        report.add(found.rate(OF, job, job, DOCUMENTS, "documents/s"))
    report.add(found.ratio(OF, "2 bound to 1", "2 bound", "1 bound", LEAST))


def _rating(folder: Path, actors: int, warm: CorpusRef, corpus: CorpusRef) -> Callable[[], float]:
    turns = itertools.count()

    def job() -> float:
        # Started anew: else the engines of the other job would hold the cores.
        pool = EnginePool(EngineConfig(actors=actors))
        out = folder / str(next(turns))
        _rate(pool, rate_job(warm, out / "warm", SPEC))
        began = time.perf_counter()
        _rate(pool, rate_job(corpus, out / "counted", SPEC))
        taken = time.perf_counter() - began
        pool.stop()
        return taken

    return job


def _rate(pool: EnginePool, job: Job) -> None:
    for _ in pool.run(job, range(len(job.corpus.shards))):
        pass
