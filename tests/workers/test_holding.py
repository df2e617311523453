"""Parts that actors hold: the first is worked on, those behind it are at no fault."""

import pytest
import ray

from workers.holding import Holding
from workers.jobs import Part
from workers.members import Member

PARTS = [Part(shard, 0, 8) for shard in range(4)]


@pytest.fixture
def two():
    """Two actors: the first holds parts 0 and 1, the second part 2."""
    members = [Member(i, f"actor {i}", None, None, None) for i in range(2)]
    holding = Holding()
    for reference, (member, part) in enumerate([(0, 0), (0, 1), (1, 2)]):
        holding.add(f"r{reference}", members[member], PARTS[part])
    return holding, members


def test_the_part_behind_becomes_the_first_when_that_is_done(two):
    holding, members = two
    assert [member.held for member in members] == [2, 1]
    assert holding.first_of("r1") == "r0"
    assert holding.pop("r0").part == PARTS[0]
    assert holding.first_of("r1") == "r1"
    assert members[0].held == 1 and len(holding) == 2 and "r0" not in holding
    assert holding.pop("r1").began is not None


def test_what_a_lost_actor_held_is_taken_back_and_nobody_elses(two):
    holding, members = two
    holding.pop(holding.first_of("r1"))
    assert holding.take_back(members[0]) == [PARTS[1]]
    assert list(holding) == ["r2"] and members[0].held == 0


def test_a_part_that_waits_behind_another_is_not_overdue(monkeypatch):
    killed, done = [], []
    monkeypatch.setattr(ray, "kill", killed.append)
    monkeypatch.setattr(ray, "wait", lambda some, timeout: (done, []))
    clock = {"now": 1.0}
    monkeypatch.setattr("workers.holding.time.monotonic", lambda: clock["now"])
    holding, member = Holding(), Member(0, "actor", None, None, None)
    holding.add("first", member, PARTS[0])
    holding.add("behind", member, PARTS[1])
    clock["now"] = 40.0
    holding.pop("first")
    clock["now"] = 60.0
    holding.stop_overdue(50.0)
    assert killed == []
    clock["now"] = 91.0
    done[:] = ["behind"]
    holding.stop_overdue(50.0)
    assert killed == [], "it was done while nobody looked"
    done.clear()
    holding.stop_overdue(50.0)
    assert killed == ["actor"] and holding.pop("behind").overdue


def test_what_is_forgotten_is_held_by_nobody(two):
    holding, members = two
    assert holding.actors == 2
    holding.clear()
    assert len(holding) == holding.actors == 0
    assert [member.held for member in members] == [0, 0]
