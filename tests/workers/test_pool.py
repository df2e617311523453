"""The pool loses and doubles nothing, whoever works, in whatever order, and whatever dies."""

import hashlib
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
import ray

from configs.experiment import Engine as EngineConfig
from workers.corpora.store import CorpusRef, CorpusWriter
from workers.jobs import Part, shard_file
from workers.pool import EnginePool
from workers.problems import WorkProblem
from workers.records import Document, from_table, text_digest
from workers.remote import connect
from workers.sharing import MOUNTED, SharedStore
from workers.storage import read_table


@pytest.fixture(scope="module", autouse=True)
def cluster():
    # Actors cannot import a test module, so its classes travel by value.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    connect(None, 2)
    yield
    ray.shutdown()


@pytest.fixture
def corpus(tmp_path) -> CorpusRef:
    with CorpusWriter(tmp_path, 8) as writer:
        for i in range(30):
            writer.add(Document(f"d{i}", f"text {i}", text_digest(f"text {i}"), "test"))
        return writer.finish()


@dataclass(frozen=True)
class Upper:
    """Writes texts in capitals; fails in the ways that a test asks for."""

    corpus: CorpusRef
    out: str
    spec: None = None
    poison: str = ""
    """A document on which it always fails."""
    once: str = ""
    """A file whose absence makes it fail once for each shard."""
    die: str = ""
    """A file whose absence makes its process die once."""
    slow_s: float = 0.0
    full: bool = False
    store: SharedStore = MOUNTED

    def _documents(self, part: Part) -> list[Document]:
        table = read_table(self.corpus.shard_path(part.shard)).slice(part.start, part.documents)
        return list(from_table(table, Document))

    def run(self, engine, part: Part) -> pa.Table:
        time.sleep(self.slow_s)
        if self.full:
            raise WorkProblem("no space is left on the disk")
        documents = self._documents(part)
        if any(each.doc_id == self.poison for each in documents):
            raise RuntimeError("poisoned")
        for mark in filter(None, (self.once, self.die)):
            path = Path(f"{mark}-{part.shard}")
            if not path.exists():
                path.touch()
                if self.die:
                    os.kill(os.getpid(), signal.SIGKILL)
                raise RuntimeError("a fault that comes and goes")
        return pa.table({"text": [each.text.upper() for each in documents]})

    def give_up(self, part: Part, why: str) -> pa.Table:
        return pa.table({"text": ["GIVEN UP" for _ in self._documents(part)]})


def outcome(pool: EnginePool, job: Upper, shards=(0, 1, 2, 3)) -> dict[int, list[str]]:
    found = {}
    for result in pool.run(job, shards):
        path = shard_file(job.out, result.shard)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == result.digest
        assert result.shard not in found, "a shard came twice"
        found[result.shard] = read_table(path).column("text").to_pylist()
    return found


@pytest.fixture
def pool():
    made = EnginePool(EngineConfig(actors=2, attempts=2, shard_timeout_s=60))
    yield made
    made.stop()


def expected(corpus: CorpusRef) -> dict[int, list[str]]:
    return {s: [f"TEXT {i}" for i in range(s * 8, min(30, s * 8 + 8))] for s in range(4)}


def test_every_document_of_every_shard_is_done_once(pool, corpus, tmp_path):
    assert outcome(pool, Upper(corpus, str(tmp_path / "out"))) == expected(corpus)


def test_one_actor_or_two_and_any_order_give_the_same_bytes(corpus, tmp_path):
    digests = []
    for actors, order in ((1, (0, 1, 2, 3)), (2, (3, 1, 0, 2))):
        pool = EnginePool(EngineConfig(actors=actors))
        job = Upper(corpus, str(tmp_path / f"out{actors}"))
        digests.append({r.shard: r.digest for r in pool.run(job, order)})
        pool.stop()
    assert digests[0] == digests[1]


def test_a_shard_that_fails_once_is_tried_again(pool, corpus, tmp_path):
    job = Upper(corpus, str(tmp_path / "out"), once=str(tmp_path / "mark"))
    assert outcome(pool, job) == expected(corpus)


def test_an_actor_that_dies_in_the_middle_of_a_shard_loses_nothing(pool, corpus, tmp_path):
    job = Upper(corpus, str(tmp_path / "out"), die=str(tmp_path / "mark"))
    assert outcome(pool, job) == expected(corpus)


def test_a_poisoned_document_alone_is_given_up(pool, corpus, tmp_path):
    job = Upper(corpus, str(tmp_path / "out"), poison="d11")
    wanted = expected(corpus)
    wanted[1][3] = "GIVEN UP"
    found = {}
    errors = 0
    for result in pool.run(job, [0, 1]):
        errors += result.errors
        found[result.shard] = read_table(Path(result.uri)).column("text").to_pylist()
    assert found == {s: wanted[s] for s in (0, 1)} and errors == 1
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "shard-00000.parquet",
        "shard-00001.parquet",
    ]


def test_an_actor_over_its_time_is_replaced_and_its_documents_given_up(corpus, tmp_path):
    pool = EnginePool(EngineConfig(actors=1, attempts=1, shard_timeout_s=0.5))
    with CorpusWriter(tmp_path / "one", 8) as writer:
        writer.add(Document("d0", "text 0", text_digest("text 0"), "test"))
        alone = writer.finish()
    job = Upper(alone, str(tmp_path / "out"), slow_s=30.0)
    assert outcome(pool, job, (0,)) == {0: ["GIVEN UP"]}
    pool.stop()


def test_a_full_disk_is_not_tried_again(pool, corpus, tmp_path):
    with pytest.raises(WorkProblem, match="no space"):
        outcome(pool, Upper(corpus, str(tmp_path / "out"), full=True))
