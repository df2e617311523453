"""The pool loses and doubles nothing, whoever works, in whatever order, and whatever dies."""

import hashlib
import pickle
from pathlib import Path

import pool_demo
import pytest
import ray
from pool_demo import Upper, written

from configs.asking import Engine as EngineConfig
from workers.cluster import connect
from workers.corpora.store import CorpusRef
from workers.engines.interface import EngineSpec
from workers.jobs import shard_file
from workers.members import FAILED_STARTS, LOST_STARTS, Member, Members, Terms
from workers.pool import EnginePool
from workers.problems import WorkProblem
from workers.progress import ROOM_AWAITED, ROOM_FOUND, Reader, Teller
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
    made = EnginePool(EngineConfig(actors=2, attempts=2, shard_timeout_s=60, error_budget=1))
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


def test_parts_that_waited_behind_a_deadly_one_are_done_all_the_same(tmp_path):
    # One actor holds two parts; each loss takes the one behind it along, again and again.
    pool = EnginePool(EngineConfig(actors=1, attempts=1, error_budget=1))
    job = Upper(written(tmp_path / "corpus", 26), str(tmp_path / "out"), deadly="d3")
    wanted = {s: [f"TEXT {i}" for i in range(s * 8, min(26, s * 8 + 8))] for s in range(4)}
    wanted[0][3] = "GIVEN UP"
    assert outcome(pool, job) == wanted
    pool.stop()


def test_a_part_behind_a_poisoned_one_is_done_and_nothing_is_held_against_it(tmp_path):
    pool = EnginePool(EngineConfig(actors=1, attempts=1, error_budget=1))
    job = Upper(written(tmp_path / "corpus", 26), str(tmp_path / "out"), poison="d3")
    tries = {each.shard: each.attempts for each in pool.run(job, range(4))}
    assert tries == dict.fromkeys(range(4), 1)
    assert read_table(shard_file(job.out, 1)).column("text").to_pylist() == [
        f"TEXT {i}" for i in range(8, 16)
    ]
    pool.stop()


def test_an_outcome_that_comes_before_the_firsts_is_taken_for_the_firsts(pool, tmp_path):
    # Of several outcomes that are there, ray.wait may return any first.
    job = Upper(written(tmp_path / "long", 80), str(tmp_path / "out"), poison="d9")
    wait = pool._wait
    pool._wait = lambda holding: [list(holding)[-1]] if len(holding) > 3 else wait(holding)
    found = {each.shard: each.errors for each in pool.run(job, range(10))}
    assert found == {s: int(s == 1) for s in range(10)}


def test_a_pool_whose_work_was_left_midway_does_other_work(pool, tmp_path):
    job = Upper(written(tmp_path / "long", 80), str(tmp_path / "out"))
    for _ in pool.run(job, range(10)):
        break
    other = Upper(written(tmp_path / "other", 30), str(tmp_path / "more"))
    assert outcome(pool, other) == expected(other.corpus)


def test_what_is_under_way_is_finished_when_nothing_more_is_to_be_begun(tmp_path):
    pool = EnginePool(EngineConfig(actors=1))
    job = Upper(written(tmp_path / "long", 80), str(tmp_path / "out"))
    done = []
    for result in pool.run(job, range(10), go_on=lambda: not done):
        done.append(result.shard)
    # One that was being done when the first ended, and at most the one behind it.
    assert 2 <= len(done) <= 3
    pool.stop()


def test_an_actor_has_its_next_part_at_hand_while_many_are_left(pool, tmp_path):
    job = Upper(written(tmp_path / "long", 80), str(tmp_path / "out"))
    most = 0
    ready = pool._members.ready

    def watched():
        nonlocal most
        most = max([most, *(member.held for member in ready())])
        return ready()

    pool._members.ready = watched
    assert len(outcome(pool, job, range(10))) == 10
    assert most == 2


def test_a_document_that_brings_the_process_down_is_given_up_alone(corpus, tmp_path):
    # A shard is lost once for nothing; what goes on to kill its process is the document's fault.
    pool = EnginePool(EngineConfig(actors=2, attempts=1, error_budget=1))
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
    pool = EnginePool(EngineConfig(actors=1, attempts=1, shard_timeout_s=0.5, error_budget=1))
    job = Upper(written(tmp_path / "one", 1), str(tmp_path / "out"), slow_s=30.0)
    assert outcome(pool, job, (0,)) == {0: ["GIVEN UP"]}
    pool.stop()


def test_a_full_disk_is_not_tried_again(pool, corpus, tmp_path):
    with pytest.raises(WorkProblem, match="no space"):
        outcome(pool, Upper(corpus, str(tmp_path / "out"), full=True))


def test_a_stage_stops_at_the_document_that_is_over_the_error_budget(tmp_path):
    # Those given up in the job's other shards count too.
    pool = EnginePool(EngineConfig(actors=1, attempts=1, error_budget=1))
    job = Upper(written(tmp_path / "one", 1), str(tmp_path / "out"), poison="d0")
    with pytest.raises(WorkProblem, match=r"rate: the engine failed on 2 of 1 documents"):
        list(pool.run(job, [0], stage="rate", errors=1))
    pool.stop()


SPECS = [EngineSpec("transformers", "nowhere", str(i) * 64, "float32", 64) for i in range(2)]


@pytest.fixture
def members(monkeypatch):
    """Members whose actors are none: they never start, and never end by themselves."""
    monkeypatch.setattr(ray, "kill", lambda actor: None)

    def made(self, index, spec):
        return Member(index, "actor", spec, None, "starting", began=0.0)

    monkeypatch.setattr(Members, "_new", made)
    said = []
    found = Members(EngineConfig(actors=2), Terms(say=said.append))
    return found, said


def test_a_member_that_was_given_up_is_stood_in_for_by_the_next(members):
    found, _ = members
    found._given_up = {0}
    found.ask_for(SPECS[0], 1)
    assert {index: m.spec for index, m in found._members.items()} == {1: SPECS[0]}
    found.ask_for(SPECS[1], 1)
    assert {index: m.spec for index, m in found._members.items()} == {1: SPECS[1]}
    found._given_up = {0, 1}
    with pytest.raises(WorkProblem, match="no engine starts"):
        found.ask_for(SPECS[1], 1)


def test_a_start_that_hangs_is_a_failed_one(members, monkeypatch):
    found, said = members
    monkeypatch.setattr("workers.members.time.monotonic", lambda: 1e4)
    found.ask_for(SPECS[0], 1)
    for _ in range(FAILED_STARTS - 1):
        found.watch()
    with pytest.raises(WorkProblem, match=r"3 tries on .*its start took over 1800 s"):
        found.watch()
    assert len(said) == FAILED_STARTS - 1


def test_starts_that_are_lost_with_their_nodes_come_to_an_end(members):
    found, said = members
    found.ask_for(SPECS[0], 1)
    lost = RuntimeError("the node has died")
    for _ in range(LOST_STARTS - 1):
        found._not_started(found._members[0], lost)
    with pytest.raises(WorkProblem, match=r"in 5 tries on .*node has died"):
        found._not_started(found._members[0], lost)
    assert len(said) == LOST_STARTS - 1


def test_a_job_says_when_it_waits_for_room_again_and_shows_only_its_progress():
    shown = []
    reader = Reader(lambda *told: shown.append(told))
    teller = Teller(reader.board)
    rooms = []
    for what, done in ((ROOM_FOUND, 0), ("mix", 1), (ROOM_AWAITED, 0), (ROOM_FOUND, 0)):
        teller(what, done, 1 if done else 0, {})
        reader._take(ray.get(reader.board.read.remote()))
        rooms.append(reader.has_room)
    reader.close()
    assert rooms == [True, True, False, True]
    assert shown == [("mix", 1, 1, {})]


def test_a_teller_leaves_its_clock_behind():
    teller = Teller("board")
    teller._last = "mix", 1e9
    assert pickle.loads(pickle.dumps(teller))._last == ("", 0.0)
