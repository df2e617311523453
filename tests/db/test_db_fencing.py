"""One writer for an arm among real processes: frozen, killed, or slow in a write."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from db_demo import new_experiment
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session
from stress_leases import play

import flows.lease
from db.models import Arm, Lease
from db.problems import DatabaseProblem, LeaseHeld, LeaseLost
from db.records import (
    LeaseGrant,
    acquire_leases,
    check_leases,
    ensure_arm,
    ensure_generation,
    leases,
    release_leases,
    renew_leases,
    set_generation,
)
from db.sessions import Database, open_database
from flows.lease import AT_ONCE, fenced, hold_leases

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def arms(*names: str) -> Callable[[Session], list[Arm]]:
    return lambda session: [ensure_arm(session, new_experiment(session), name, 1) for name in names]


def hurry(ttl_s: float) -> None:
    flows.lease.TTL_S, flows.lease.RENEW_S = ttl_s, ttl_s / 3
    leases.FROZEN_S = ttl_s


def mark(database: Database, grant: LeaseGrant, tokens: int, inside: Callable[[], Any]) -> None:
    """Write something that names its writer: tokens for training."""
    with fenced(database, grant, AT_ONCE) as session:
        row = ensure_generation(session, session.get_one(Arm, grant.tokens[0][0]), 0)
        set_generation(session, row, training_tokens=tokens)
        inside()


def marked(database: Database) -> int | None:
    with database.readers() as session:
        [arm] = arms("revise")(session)
        return arm.generations[0].training_tokens


def hold_and_write(url: str, ttl_s: float, pipe: Connection) -> None:
    """What the other process does: write when it is told to, once or twice; say what came of it."""
    hurry(ttl_s)
    database = open_database(url)
    with hold_leases(database, arms("revise")) as grant:
        pipe.send("holds")
        while (told := pipe.recv()) != "end":
            try:
                # In the midst of it: frozen there, if the other side wants it so.
                midst = (lambda: (pipe.send("writes"), pipe.recv())) if told == "slowly" else tuple
                mark(database, grant, 1, midst)
                pipe.send("wrote")
            except DatabaseProblem as problem:
                pipe.send(f"{type(problem).__name__}: {problem}")


@contextmanager
def other_holder(url: str, ttl_s: float) -> Iterator[tuple[int, Connection]]:
    """Another process that holds the lease; its process id, and a pipe to it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["db.schema", "flows.lease"])
    ours, theirs = context.Pipe()
    process = context.Process(target=hold_and_write, args=(url, ttl_s, theirs))
    process.start()
    assert process.pid is not None
    try:
        assert heard(ours) == "holds"
        yield process.pid, ours
    finally:
        process.kill()
        process.join()


def heard(pipe: Connection) -> str:
    assert pipe.poll(60), "the other process says nothing"
    return str(pipe.recv())


def take_over(database: Database) -> None:
    """Hold the lease as soon as it can be had, and write."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with hold_leases(database, arms("revise")) as grant:
                return mark(database, grant, 2, tuple)
        except LeaseHeld:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def address(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)


def test_a_holder_frozen_for_longer_than_its_lease_is_refused_when_it_wakes(
    database: Database,
) -> None:
    with other_holder(address(database), ttl_s=0.5) as (pid, pipe):
        pipe.send("write")
        assert heard(pipe) == "wrote"
        os.kill(pid, signal.SIGSTOP)
        take_over(database)
        os.kill(pid, signal.SIGCONT)
        pipe.send("write")
        assert heard(pipe).startswith("LeaseLost: the lease of arm revise")
    assert marked(database) == 2


def test_a_holder_whose_lease_nobody_took_while_it_was_frozen_goes_on(database: Database) -> None:
    with other_holder(address(database), ttl_s=0.3) as (pid, pipe):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.6)
        os.kill(pid, signal.SIGCONT)
        pipe.send("write")
        assert heard(pipe) == "wrote"
    assert marked(database) == 1


def test_a_holder_frozen_in_the_midst_of_a_write_is_cut_off_by_the_server(
    new_postgres: Callable[[], str],
) -> None:
    database = open_database(new_postgres())
    with other_holder(address(database), ttl_s=0.5) as (pid, pipe):
        pipe.send("slowly")
        assert heard(pipe) == "writes"
        os.kill(pid, signal.SIGSTOP)
        take_over(database)
        os.kill(pid, signal.SIGCONT)
        pipe.send("finish the write")
        assert "frozen in the midst of a write, which was undone" in heard(pipe)
        pipe.send("write")
        assert heard(pipe).startswith("LeaseLost")
    assert marked(database) == 2
    database.dispose()


def test_a_killed_holder_is_followed_at_once(database: Database) -> None:
    with other_holder(address(database), ttl_s=60.0) as (pid, pipe):
        pipe.send("write")
        assert heard(pipe) == "wrote"
        os.kill(pid, signal.SIGKILL)
        take_over(database)
    assert marked(database) == 2


def test_who_waits_for_a_holder_in_the_midst_of_a_write_is_told(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LOCK_WAIT_S", 0.2)
    monkeypatch.setattr("db.engines.BUSY_TIMEOUT_S", 0.2)
    with hold_leases(database, arms("revise")) as grant, fenced(database, grant, AT_ONCE):
        other = open_database(address(database))
        with (
            pytest.raises(
                DatabaseProblem, match=r"another process (is in a write|holds)"
            ) as caught,
            hold_leases(other, arms("revise")),
        ):
            pytest.fail("two hold the lease")
        other.dispose()
    assert caught.value.transient


def test_a_long_write_renews_the_lease_that_its_own_lock_kept_the_heartbeat_from(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.sessions.begin() as session:
        taken = {"holder": "slow", "host": "laptop", "pid": 1, "ttl_s": 1.0}
        grant = acquire_leases(session, arms("revise")(session), **taken)
    monkeypatch.setattr(flows.lease, "RENEW_S", 0.0)
    mark(database, grant, 1, tuple)
    with database.readers() as session:
        lease = session.scalars(select(Lease)).one()
        assert lease.expires_at - lease.heartbeat_at == timedelta(seconds=flows.lease.TTL_S)


def test_writers_heartbeats_and_takeovers_of_the_same_arms_never_wait_in_a_circle(
    database: Database,
) -> None:
    with database.sessions.begin() as session:
        arms("control", "filter", "revise")(session)
    problems: list[DatabaseProblem] = []
    done: list[str] = []
    until = time.monotonic() + 2.0

    def fight(name: str, wanted: tuple[str, ...]) -> None:
        while time.monotonic() < until:
            try:
                with database.sessions.begin() as session:
                    taken = {"host": "laptop", "pid": 1, "ttl_s": 0.0}
                    grant = acquire_leases(session, arms(*wanted)(session), holder=name, **taken)
                with database.sessions.begin() as session:
                    renew_leases(session, grant, ttl_s=0.0)
                with fenced(database, grant, AT_ONCE):
                    pass
                done.append(name)
            except LeaseLost:
                done.append(name)
            except DatabaseProblem as problem:
                problems.append(problem)

    orders = [("control", "filter", "revise"), ("revise", "control"), ("filter", "revise")]
    fighters = [threading.Thread(target=fight, args=(str(o), o)) for o in (*orders, *orders)]
    for fighter in fighters:
        fighter.start()
    for fighter in fighters:
        fighter.join()
    assert problems == []
    assert len(set(done)) == len(orders)


_numbers = count()
_OPERATIONS = st.tuples(
    st.sampled_from(["acquire", "renew", "check", "release"]),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from([0, 10, 50, 70]),
)


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(_OPERATIONS, max_size=25))
def test_at_any_time_one_grant_counts_whatever_was_asked_in_whatever_order(
    session: Session, operations: list[tuple[str, str, int]]
) -> None:
    arm = ensure_arm(session, new_experiment(session), f"arm {next(_numbers)}", 1)
    session.commit()
    now, newest, grants, tokens = NOON, "", {}, [0]
    for operation, who, after_s in operations:
        now += timedelta(seconds=after_s)
        try:
            if operation == "acquire":
                taken = {"host": "laptop", "pid": 1, "ttl_s": 60.0, "now": now}
                grants[who] = acquire_leases(session, [arm], holder=who, **taken)
                newest = who
                tokens.append(grants[who].tokens[0][1])
            elif operation == "renew" and who in grants:
                renew_leases(session, grants[who], ttl_s=60.0, now=now)
                assert who == newest
            elif operation == "check" and who in grants:
                check_leases(session, grants[who])
                assert who == newest
            elif operation == "release" and who in grants:
                released = release_leases(session, grants.pop(who), now=now)
                assert released == (who == newest)
                newest = "" if released else newest
        except LeaseLost:
            assert who != newest
        except LeaseHeld as held:
            assert held.holder == newest != who  # noqa: PT017 (it may be raised or not)
    assert tokens == sorted(set(tokens))
    session.commit()


@pytest.mark.parametrize(
    "rounds", [2, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
def test_no_row_is_lost_doubled_or_interleaved_by_those_who_fight_for_an_arm(
    database_url: str, tmp_path: Path, rounds: int
) -> None:
    tally, wrong = play(database_url, rounds, 1, tmp_path)
    assert wrong == []
    assert tally.counts["rounds"] == rounds
    assert tally.counts["wrote"] > 10 * rounds
