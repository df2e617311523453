"""What can go wrong with the database, said so that a person can mend it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime


class DatabaseProblem(Exception):
    """Says what went wrong, where, and how to mend it; `transient` when trying again may help."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class SchemaMismatch(DatabaseProblem):
    """The tables in the database are not the ones that this code was written for."""


class UnknownId(DatabaseProblem):
    """No such experiment, checkpoint, corpus or document; `nearest` holds what was likely meant."""

    def __init__(self, message: str, nearest: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.nearest = tuple(nearest)


class AmbiguousId(DatabaseProblem):
    """A prefix that more than one artifact has; `candidates` holds them."""

    def __init__(self, message: str, candidates: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.candidates = tuple(candidates)


class LeaseHeld(DatabaseProblem):
    """Another process writes this arm now."""

    def __init__(self, arm: str, holder: str, host: str, pid: int, since: datetime) -> None:
        super().__init__(
            f"arm {arm} is being run by {holder} (host {host}, pid {pid}) since "
            f"{since:%Y-%m-%d %H:%M:%S} UTC; wait for it to end, or stop that process and run again"
        )
        self.arm = arm
        self.holder = holder
        self.host = host
        self.pid = pid
        self.since = since

    def __reduce__(self) -> tuple[object, ...]:
        # An exception is unpickled from its message alone, unless told otherwise.
        return type(self), (self.arm, self.holder, self.host, self.pid, self.since)


class LeaseLost(DatabaseProblem):
    """This process held the lease and holds it no more: it must stop writing."""
