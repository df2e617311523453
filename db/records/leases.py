"""One writer for each arm: leases with a heartbeat and a fencing token.

A process that writes several arms takes their leases together, or none: the arms of one seed are
made side by side, and half of them would be no use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, false, func, or_, select, update
from sqlalchemy.orm import Session

from db.models import Arm, Lease, utc_now
from db.problems import LeaseHeld, LeaseLost
from db.records.idempotence import insert_once

# As long as a writer waits for the write lock of SQLite.
LOCK_WAIT_S = 30.0
# As long as a lease of a run: whoever is frozen with a lease's row locked, be it in a write or in a
# heartbeat, keeps it locked.
FROZEN_S = 60.0


@dataclass(frozen=True, slots=True)
class LeaseGrant:
    """Proof of leases: the tokens are what later writes are checked against."""

    holder: str
    tokens: tuple[tuple[int, int], ...]
    """Arm and token, by arm."""
    expires_at: datetime


def acquire_leases(
    session: Session,
    arms: Sequence[Arm],
    *,
    holder: str,
    host: str,
    pid: int,
    ttl_s: float,
    steal: Callable[[Lease], bool] | None = None,
    now: datetime | None = None,
) -> LeaseGrant:
    """Take the leases of all the arms, or say who holds one.

    Args:
        session: the writer's; the leases are held once it has committed.
        arms: what will be written.
        holder: names one process (its run id).
        host: the machine it runs on.
        pid: its process id there.
        ttl_s: seconds after which a lease that was not renewed may be taken by another.
        steal: asked about a lease that has not run out; it answers yes when it knows the holder to
            be dead, and the lease is then taken over at once.
        now: the time, for tests.

    Raises:
        LeaseHeld: another process holds one of them; none was taken.
        DatabaseProblem: a holder is in the midst of a write, and does not come to its end.
    """
    _limit(session, "lock_timeout", LOCK_WAIT_S)
    _limit(session, "idle_in_transaction_session_timeout", FROZEN_S)
    # In one order, so that two processes that want the same arms do not wait for each other.
    arms = sorted(arms, key=lambda arm: arm.id)
    leases = [_locked(session, arm, now or utc_now()) for arm in arms]
    # Asked after the wait for locks: what was held when it began may have run out or been renewed.
    now = now or utc_now()
    tokens: list[tuple[int, int]] = []
    for arm, lease in zip(arms, leases, strict=True):
        held = lease.released_at is None and lease.expires_at > now
        if held and lease.holder != holder and not (steal and steal(lease)):
            what = f"{arm.experiment.name}:{arm.name}:{arm.seed}"
            raise LeaseHeld(what, lease.holder, lease.host, lease.pid, lease.acquired_at)
        lease.holder, lease.host, lease.pid = holder, host, pid
        lease.token += 1
        lease.acquired_at = lease.heartbeat_at = now
        lease.expires_at = now + timedelta(seconds=ttl_s)
        lease.released_at = None
        tokens.append((arm.id, lease.token))
    session.flush()
    return LeaseGrant(holder, tuple(tokens), now + timedelta(seconds=ttl_s))


def _limit(session: Session, setting: str, seconds: float) -> None:
    """Set one of PostgreSQL's time limits until the transaction ends; SQLite has its own."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.set_config(setting, f"{seconds * 1000:.0f}ms", True)))


def _locked(session: Session, arm: Arm, now: datetime) -> Lease:
    unheld: dict[str, Any] = {
        "holder": "",
        "host": "",
        "pid": 0,
        "token": 0,
        "acquired_at": now,
        "heartbeat_at": now,
        "expires_at": now,
        "released_at": now,
    }
    insert_once(session, Lease, {"arm_id": arm.id}, unheld)
    return session.scalars(
        select(Lease)
        .where(Lease.arm_id == arm.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def renew_leases(
    session: Session, grant: LeaseGrant, *, ttl_s: float, now: datetime | None = None
) -> LeaseGrant:
    """The heartbeat. A lease that ran out but was not taken is renewed: nobody else wrote.

    Raises:
        LeaseLost: another process took one over.
    """
    now = now or utc_now()
    expires_at = now + timedelta(seconds=ttl_s)
    if len(_update_own(session, grant, {"heartbeat_at": now, "expires_at": expires_at})) < len(
        grant.tokens
    ):
        raise _lost(session, grant)
    return replace(grant, expires_at=expires_at)


def check_leases(session: Session, grant: LeaseGrant) -> None:
    """The fence, asked in the transaction of a write: a holder that slept too long is refused.

    The leases stay locked until the transaction ends, so nobody takes one over in its midst. A
    holder frozen there would lock them for good: PostgreSQL ends its transaction after `FROZEN_S`,
    SQLite cannot.

    Raises:
        LeaseLost: another process took one over.
    """
    _limit(session, "idle_in_transaction_session_timeout", FROZEN_S)
    if not holds_leases(session, grant):
        raise _lost(session, grant)


def holds_leases(session: Session, grant: LeaseGrant) -> bool:
    """Whether none of them was taken over; they stay locked until the transaction ends."""
    return len(session.scalars(_own_locked(grant)).all()) == len(grant.tokens)


def release_leases(session: Session, grant: LeaseGrant, *, now: datetime | None = None) -> bool:
    """Give the leases back; false when another holder had taken one over already."""
    return len(_update_own(session, grant, {"released_at": now or utc_now()})) == len(grant.tokens)


def _is_own(grant: LeaseGrant) -> ColumnElement[bool]:
    own = [(Lease.arm_id == arm) & (Lease.token == token) for arm, token in grant.tokens]
    return or_(false(), *own) & Lease.released_at.is_(None)


def _own_locked(grant: LeaseGrant) -> Select[Any]:
    return select(Lease.id).where(_is_own(grant)).order_by(Lease.arm_id).with_for_update()


def _update_own(session: Session, grant: LeaseGrant, values: dict[str, Any]) -> list[int]:
    session.flush()
    _limit(session, "idle_in_transaction_session_timeout", FROZEN_S)
    # Locked in the order in which everybody locks them: an UPDATE alone would take any.
    session.scalars(_own_locked(grant)).all()
    changed = update(Lease).where(_is_own(grant)).values(**values).returning(Lease.id)
    return list(session.scalars(changed, execution_options={"synchronize_session": False}))


def _lost(session: Session, grant: LeaseGrant) -> LeaseLost:
    arms = [arm for arm, _ in grant.tokens]
    taken = session.scalars(
        select(Lease).where(Lease.arm_id.in_(arms), ~_is_own(grant)).order_by(Lease.arm_id)
    ).first()
    what, by = "an arm", None
    if taken is not None:
        what = f"arm {taken.arm.name} (seed {taken.arm.seed}) of {taken.arm.experiment.name!r}"
        by = taken.holder
    return LeaseLost(
        f"the lease of {what} held by {grant.holder} was taken over or released, last holder {by}; "
        "this process stops writing, run again once the other has ended"
    )
