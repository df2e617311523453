"""The pool loses and doubles nothing, whoever works, in whatever order, and whatever dies."""

import hashlib
from pathlib import Path

import pool_demo
import pytest
import ray
from pool_demo import Upper, written

from configs.experiment import Engine as EngineConfig
from workers.cluster import connect
from workers.corpora.store import CorpusRef
from workers.jobs import shard_file
from workers.pool import EnginePool
from workers.problems import WorkProblem
from workers.storage import read_table


@pytest.fixture(scope="module", autouse=True)
def cluster():
    # Actors cannot import a test module, so its classes travel by value.
    ray.cloudpickle.register_pickle_by_value(pool_demo)
    connect(None, 2)
    yield
    ray.shutdown()


@pytest.fixture
def corpus(tmp_path) -> CorpusRef:
    return written(tmp_path, 30)


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


def test_a_document_that_brings_the_process_down_is_given_up_alone(corpus, tmp_path):
    # A shard is lost once for nothing; what goes on to kill its process is the document's fault.
    pool = EnginePool(EngineConfig(actors=2, attempts=1))
    job = Upper(written(tmp_path / "two", 2), str(tmp_path / "out"), deadly="d1")
    assert outcome(pool, job, (0,)) == {0: ["TEXT 0", "GIVEN UP"]}
    pool.stop()


def test_a_pool_that_no_node_has_room_for_says_so_and_ends(corpus, tmp_path):
    config = EngineConfig(actors=1, threads=64, wait_s=2.0)
    pool = EnginePool(config)
    with pytest.raises(WorkProblem, match=r"no node with 64 CPUs free .* 1 node alive: .*2 CPUs"):
        outcome(pool, Upper(corpus, str(tmp_path / "out")))
    pool.stop()


def test_an_actor_over_its_time_is_replaced_and_its_documents_given_up(corpus, tmp_path):
    pool = EnginePool(EngineConfig(actors=1, attempts=1, shard_timeout_s=0.5))
    job = Upper(written(tmp_path / "one", 1), str(tmp_path / "out"), slow_s=30.0)
    assert outcome(pool, job, (0,)) == {0: ["GIVEN UP"]}
    pool.stop()


def test_a_full_disk_is_not_tried_again(pool, corpus, tmp_path):
    with pytest.raises(WorkProblem, match="no space"):
        outcome(pool, Upper(corpus, str(tmp_path / "out"), full=True))
