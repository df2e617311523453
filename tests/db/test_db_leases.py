"""One writer for each arm, whoever fights for it."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from db_demo import new_experiment
from sqlalchemy.orm import Session

from db.models import Lease
from db.problems import AmbiguousId, DatabaseProblem, LeaseHeld, LeaseLost, UnknownId
from db.records import (
    LeaseGrant,
    acquire_leases,
    check_leases,
    ensure_arm,
    find_experiment,
    release_leases,
    renew_leases,
)
from db.sessions import Database

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def take(
    session: Session,
    holder: str,
    after_s: float = 0,
    arms: Sequence[str] = ("revise",),
    **more: Any,
) -> LeaseGrant:
    return acquire_leases(
        session,
        [ensure_arm(session, new_experiment(session), name, 1) for name in arms],
        holder=holder,
        host="laptop",
        pid=42,
        ttl_s=60,
        now=NOON + timedelta(seconds=after_s),
        **more,
    )


def token(grant: LeaseGrant) -> int:
    [(_, number)] = grant.tokens
    return number


def test_a_second_holder_is_told_who_holds_it_since_when(session: Session) -> None:
    take(session, "first")
    with pytest.raises(LeaseHeld, match=r"is being run by first \(host laptop, pid 42\)") as caught:
        take(session, "second", after_s=59)
    assert (caught.value.holder, caught.value.host, caught.value.pid) == ("first", "laptop", 42)
    assert caught.value.since == NOON


def test_a_lease_that_ran_out_is_taken_over_and_the_old_holder_is_fenced_off(
    session: Session,
) -> None:
    old = take(session, "first")
    new = take(session, "second", after_s=61)
    assert token(new) > token(old)
    for stale_write in (
        lambda: renew_leases(session, old, ttl_s=60),
        lambda: check_leases(session, old),
    ):
        with pytest.raises(LeaseLost, match="last holder second"):
            stale_write()
    assert release_leases(session, old) is False
    check_leases(session, new)


def test_a_heartbeat_keeps_the_lease(session: Session) -> None:
    grant = take(session, "first")
    grant = renew_leases(session, grant, ttl_s=60, now=NOON + timedelta(seconds=50))
    assert grant.expires_at == NOON + timedelta(seconds=110)
    with pytest.raises(LeaseHeld):
        take(session, "second", after_s=100)


def test_a_lease_that_ran_out_unclaimed_is_renewed(session: Session) -> None:
    grant = take(session, "first")
    renew_leases(session, grant, ttl_s=60, now=NOON + timedelta(seconds=500))
    with pytest.raises(LeaseHeld):
        take(session, "second", after_s=510)


def test_a_released_lease_is_free_at_once_and_tokens_only_grow(session: Session) -> None:
    grant = take(session, "first")
    assert release_leases(session, grant) is True
    with pytest.raises(LeaseLost):
        renew_leases(session, grant, ttl_s=60)
    assert token(take(session, "second", after_s=1)) == token(grant) + 1


def test_two_arms_have_two_writers(session: Session) -> None:
    control = take(session, "first", arms=["control"])
    revise = take(session, "second", arms=["revise"])
    check_leases(session, control)
    check_leases(session, revise)


def test_arms_are_taken_together_or_not_at_all(database: Database) -> None:
    with database.sessions.begin() as session:
        take(session, "first", arms=["filter"])

    def both() -> None:
        with database.sessions.begin() as session:
            take(session, "second", arms=["control", "filter"])

    with pytest.raises(LeaseHeld, match=r"microworld:filter:1 is being run by first"):
        both()
    with database.sessions.begin() as session:
        take(session, "third", arms=["control"])


def test_a_grant_of_two_arms_is_lost_with_one_of_them(session: Session) -> None:
    both = take(session, "first", arms=["control", "revise"])
    take(session, "second", after_s=61, arms=["revise"])
    with pytest.raises(LeaseLost, match=r"arm revise \(seed 1\) .* last holder second"):
        check_leases(session, both)
    with pytest.raises(LeaseLost):
        renew_leases(session, both, ttl_s=60)


def test_the_same_holder_may_take_its_lease_again(session: Session) -> None:
    first = take(session, "first")
    assert token(take(session, "first", after_s=1)) > token(first)


def test_a_lease_whose_holder_is_known_to_be_dead_is_stolen_at_once(session: Session) -> None:
    take(session, "first")
    asked: list[tuple[str, int]] = []

    def dead(lease: Lease) -> bool:
        asked.append((lease.host, lease.pid))
        return True

    assert take(session, "second", after_s=1, steal=dead).holder == "second"
    assert asked == [("laptop", 42)]
    with pytest.raises(LeaseHeld):
        take(session, "third", after_s=2, steal=lambda lease: False)


def test_of_many_who_want_the_lease_at_once_one_gets_it(database: Database) -> None:
    with database.sessions.begin() as session:
        new_experiment(session)
    outcomes: list[str] = []
    start = threading.Barrier(5)

    def fight(name: str) -> None:
        start.wait()
        try:
            with database.sessions.begin() as session:
                take(session, name)
            outcomes.append(name)
        except LeaseHeld as held:
            outcomes.append(f"refused by {held.holder}")

    threads = [threading.Thread(target=fight, args=(f"holder-{i}",)) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [outcome for outcome in outcomes if not outcome.startswith("refused")]
    assert len(winners) == 1
    assert outcomes.count(f"refused by {winners[0]}") == 4


def test_a_holder_that_woke_too_late_cannot_commit_beside_the_new_one(database: Database) -> None:
    with database.sessions.begin() as session:
        old = take(session, "first")
    with database.sessions.begin() as session:
        take(session, "second", after_s=100)

    def write() -> None:
        with database.sessions.begin() as session:
            new_experiment(session, "written by a ghost")
            check_leases(session, old)

    with pytest.raises(LeaseLost):
        write()
    with database.readers() as session:
        assert find_experiment(session, "written by a ghost") is None


@pytest.mark.parametrize(
    "problem",
    [
        LeaseHeld("microworld", "run-1", "laptop", 42, NOON),
        AmbiguousId("which?", ["a", "b"]),
        UnknownId("what?", ["a"]),
        DatabaseProblem("down", transient=True),
    ],
    ids=lambda problem: type(problem).__name__,
)
def test_a_problem_survives_the_way_between_processes(problem: DatabaseProblem) -> None:
    again = pickle.loads(pickle.dumps(problem))
    assert (type(again), str(again)) == (type(problem), str(problem))
    assert vars(again) == vars(problem)
