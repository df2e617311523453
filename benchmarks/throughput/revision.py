"""Rate and revise: the stage as it runs, beside what else would mend the same documents.

Every round has documents of its own, the same for all: an engine that keeps prefixes would know
those of the round before. Engines are started, and have answered once, before the first round.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow as pa
import ray

from benchmarks.targets import Figure, Report
from benchmarks.throughput import plain
from benchmarks.throughput.copy_model import copy_model
from benchmarks.throughput.peers import ENVIRONMENTS, answering, peer_environment, run_peer
from benchmarks.throughput.rounds import Rounds, rounds_of
from benchmarks.throughput.stages import rate_job, revise_job
from configs.asking import Engine as EngineConfig
from workers.cluster import connect
from workers.corpora.store import CorpusRef, CorpusWriter, iterate
from workers.engines.interface import EngineSpec, Usage
from workers.jobs import Job, shard_file
from workers.microworld.generator import generate_documents
from workers.microworld.oracle import is_misaligned, revision_is_right
from workers.microworld.world import WorldParams
from workers.pool import EnginePool
from workers.records import Document, Revision, from_table, text_digest
from workers.storage import read_table, write_table

OF = "rate and revise"
DOCUMENTS, SHARD = 2_000, 500
SEED = 7_000_000
"""Far from those of experiments."""
OURS = "palimpsest"
LEAST = {
    "vllm, rewrites all": 4.0,
    "vllm, rates, rewrites what fails": 2.0,
    "distilabel, rewrites all": 6.0,
    "transformers, rewrites all": 8.0,
}
"""Times as many documents a second as each."""
AS_GOOD = 0.02
"""So much less of the misaligned documents may be mended rightly than by the best other way."""
MOST_OURS = 0.05
"""Share of the stage's time outside the engine."""


@dataclass(slots=True)
class Outcome:
    """What a job made of the texts of all rounds."""

    pairs: list[tuple[str, str]] = field(default_factory=list)
    """Texts before and after."""

    @property
    def mended(self) -> float:
        """Share of the misaligned documents that are right now and lost nothing."""
        bad = [pair for pair in self.pairs if is_misaligned(pair[0])]
        return sum(revision_is_right(*pair) for pair in bad) / len(bad)

    @property
    def spoilt(self) -> float:
        """Share of the aligned documents that were changed."""
        good = [pair for pair in self.pairs if not is_misaligned(pair[0])]
        return sum(before != after for before, after in good) / len(good)


def measure(report: Report, rounds: int) -> None:
    """Mend the documents of each round in every way, in turn."""
    model = copy_model(ENVIRONMENTS / "copy-model")
    python = peer_environment("distilabel")
    with tempfile.TemporaryDirectory(prefix="palimpsest-bench-") as name:
        folder = Path(name)
        corpora = [_corpus(folder / f"round-{i}", i) for i in range(rounds + 1)]
        with _stage(model, folder) as stage, _others(model, python, folder) as others:
            outcomes = {name: Outcome() for name in (OURS, *others)}
            jobs = {
                name: _each_round(work, corpora, outcomes[name])
                for name, work in {OURS: stage.mend, **others}.items()
            }
            found = rounds_of(jobs, rounds)
            _report(report, found, outcomes, stage)


def _report(report: Report, found: Rounds, outcomes: dict[str, Outcome], stage: Stage) -> None:
    report.details[OF] = found.figures() | {
        "usage": asdict(stage.usage),
        "mended": {name: each.mended for name, each in outcomes.items()},
        "spoilt": {name: each.spoilt for name, each in outcomes.items()},
    }
    for name, outcome in outcomes.items():
        report.add(found.rate(OF, name, name, DOCUMENTS, "documents/s"))
        report.add(Figure(OF, f"{name}, mended rightly", outcome.mended, "of the misaligned"))
        report.add(Figure(OF, f"{name}, spoilt", outcome.spoilt, "of the aligned"))
    for name, least in LEAST.items():
        report.add(found.ratio(OF, f"{OURS} to {name}", OURS, name, least))
    best = max(each.mended for name, each in outcomes.items() if name != OURS)
    lost = best - outcomes[OURS].mended
    report.add(Figure(OF, "mended less than the best", lost, "of the misaligned", at_most=AS_GOOD))
    outside = 1 - stage.usage.engine_s / stage.seconds
    report.add(Figure(OF, "outside the engine", outside, "of the time", at_most=MOST_OURS))


def _corpus(folder: Path, number: int) -> CorpusRef:
    with CorpusWriter(folder, SHARD) as writer:
        start = number * DOCUMENTS
        for each in generate_documents(WorldParams(), SEED, DOCUMENTS, start):
            writer.add(Document(each.doc_id, each.text, text_digest(each.text), "bench"))
        return writer.finish()


def _each_round(
    work: Callable[[CorpusRef], Sequence[str]], corpora: Sequence[CorpusRef], outcome: Outcome
) -> Callable[[], None]:
    """The same work on the next corpus each time."""
    turns = itertools.count()

    def job() -> None:
        corpus = corpora[next(turns)]
        made = work(corpus)
        before = [document.text for document in iterate(corpus)]
        outcome.pairs += zip(before, made, strict=True)

    return job


@dataclass(slots=True)
class Stage:
    """The product's own jobs, on one actor."""

    pool: EnginePool
    spec: EngineSpec
    folder: Path
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    """Of both jobs, in all rounds, without the engine's start."""

    def mend(self, corpus: CorpusRef) -> list[str]:
        """Rate and revise a corpus."""
        out = self.folder / f"ours-{Path(corpus.uri).name}"
        rate = rate_job(corpus, out / "rated", self.spec)
        revise = revise_job(corpus, out / "revised", rate.out, self.spec)
        for job in (rate, revise):
            self._do(job)
        rows = itertools.chain.from_iterable(
            from_table(read_table(shard_file(revise.out, i)), Revision)
            for i in range(len(corpus.shards))
        )
        texts = (document.text for document in iterate(corpus))
        # A proposal that was refused has a text too.
        return [
            row.text if row.action == "revise" and row.text else text
            for row, text in zip(rows, texts, strict=True)
        ]

    def _do(self, job: Job) -> None:
        began = time.perf_counter()
        for result in self.pool.run(job, range(len(job.corpus.shards))):
            self.usage.add(result.usage)
        self.seconds += time.perf_counter() - began - self.pool.take_start_s()


@contextmanager
def _stage(model: Path, folder: Path) -> Iterator[Stage]:
    connect(None, 1)
    pool = EnginePool(EngineConfig(actors=1, answers_gb=0))
    spec = EngineSpec("vllm", str(model), "copy-model", "float32", plain.LONGEST, batch=plain.BATCH)
    try:
        yield Stage(pool, spec, folder)
    finally:
        pool.stop()
        ray.shutdown()


@contextmanager
def _others(
    model: Path, python: Path, folder: Path
) -> Iterator[dict[str, Callable[[CorpusRef], list[str]]]]:
    """The other ways, by name."""
    vllm = plain.Plain(plain.start_vllm, str(model))
    transformers = plain.Plain(plain.start_transformers, str(model))

    def distilabel(corpus: CorpusRef) -> list[str]:
        texts, out = folder / "texts" / "texts.parquet", folder / "peer"
        write_table(texts, pa.table({"text": _texts(corpus)}))
        with answering(lambda some: vllm.do(plain.vllm_rewrites, some)) as where:
            run_peer(python, "distilabel_rewrite", texts, out, where)
        return read_table(out / "rewritten.parquet").column("generation").to_pylist()

    ways = [
        lambda corpus: vllm.do(plain.vllm_rewrites, _texts(corpus)),
        lambda corpus: vllm.do(plain.vllm_rates_and_rewrites, _texts(corpus)),
        distilabel,
        lambda corpus: transformers.do(plain.transformers_rewrites, _texts(corpus)),
    ]
    try:
        yield dict(zip(LEAST, ways, strict=True))
    finally:
        vllm.close()
        transformers.close()


def _texts(corpus: CorpusRef) -> list[str]:
    return [document.text for document in iterate(corpus)]
