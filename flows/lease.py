"""One writer for an arm: leases are taken, renewed while we live, asked at every write, given back.

Transactions lock leases first and in one order, and then whatever else they write, so that writers,
heartbeats and takeovers queue and never wait for each other in a circle.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psutil
from sqlalchemy.orm import Session

from db.models import Arm, Lease
from db.problems import DatabaseProblem
from db.records import (
    LeaseGrant,
    acquire_leases,
    check_leases,
    release_leases,
    renew_leases,
)
from db.sessions import Database, Patience, opened

TTL_S = 60.0
RENEW_S = 15.0
# Longer than a server takes to be started again, and than three times SQLite's wait for its lock.
PATIENCE_S = 90.0
AT_ONCE = Patience(0.0)
"""For a write that is not worth waiting for a database that is away."""


def holder_is_dead(lease: Lease) -> bool:
    """Whether the lease's holder ran on this machine and is gone, as after a kill."""
    if lease.host != socket.gethostname():
        return False
    try:
        process = psutil.Process(lease.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        # A process id is used again: one that began after the lease is somebody else.
        return process.create_time() > lease.acquired_at.timestamp() + 1.0
    except psutil.NoSuchProcess:
        return True


class Heartbeat(threading.Thread):
    """Renews leases until stopped; a lost lease is found by the next write's own check."""

    def __init__(self, database: Database, grant: LeaseGrant) -> None:
        """Start with `start`."""
        super().__init__(daemon=True, name="lease-heartbeat")
        self._database = database
        self._grant = grant
        self._stopped = threading.Event()

    def run(self) -> None:
        """Renew now and then."""
        while not self._stopped.wait(RENEW_S):
            try:
                with self._database.sessions.begin() as session:
                    renew_leases(session, self._grant, ttl_s=TTL_S)
            except DatabaseProblem as problem:
                # The next write checks the lease, and says so where a person can see it.
                if not problem.transient:
                    return

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self.join(timeout=RENEW_S)


@contextmanager
def hold_leases(
    database: Database, find: Callable[[Session], Sequence[Arm]]
) -> Iterator[LeaseGrant]:
    """Hold the leases of the arms that are found, for the length of the block.

    Raises:
        LeaseHeld: another process that may be alive holds one of them.
        DatabaseProblem: the database went away in the block, and did not come back in time.
    """
    with database.sessions.begin() as session:
        grant = acquire_leases(
            session,
            find(session),
            holder=uuid.uuid4().hex[:12],
            host=socket.gethostname(),
            pid=os.getpid(),
            ttl_s=TTL_S,
            steal=holder_is_dead,
        )
    heartbeat = Heartbeat(database, grant)
    heartbeat.start()
    try:
        yield grant
    except DatabaseProblem as problem:
        if not problem.transient:
            raise
        raise DatabaseProblem(
            f"{problem}. This process stops. What it had recorded is kept and nothing is half "
            "recorded: once the database answers, run the same command again to go on",
            transient=True,
        ) from problem
    finally:
        heartbeat.stop()
        _give_back(database, grant)


def _give_back(database: Database, grant: LeaseGrant) -> None:
    try:
        with database.sessions.begin() as session:
            release_leases(session, grant)
    except DatabaseProblem as problem:
        # Not to hide why the block ended: leases that cannot be given back run out by themselves.
        if not problem.transient:
            raise


@contextmanager
def fenced(database: Database, grant: LeaseGrant, patience: Patience) -> Iterator[Session]:
    """A transaction of the holder of leases, committed at the block's end.

    A database that is away is waited for before the block begins, and the leases are asked anew at
    each try. The block itself is done once: see `db.sessions.opened`.

    Raises:
        LeaseLost: another process took a lease over; nothing was written.
        DatabaseProblem: the database does not answer.
    """
    with opened(database.sessions, patience, lambda each: check_leases(each, grant)) as session:
        began = time.monotonic()
        yield session
        if time.monotonic() - began > RENEW_S:
            # The heartbeat had to wait for this transaction, as those who would take over did.
            renew_leases(session, grant, ttl_s=TTL_S)
        session.commit()
