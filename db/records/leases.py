"""One writer for each experiment: a lease with a heartbeat and a fencing token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from db.models import Experiment, Lease, utc_now
from db.problems import LeaseHeld, LeaseLost
from db.records.idempotence import insert_once


@dataclass(frozen=True, slots=True)
class LeaseGrant:
    """Proof of a lease: its token is what later writes are checked against."""

    experiment_id: int
    experiment: str
    holder: str
    token: int
    expires_at: datetime


def acquire_lease(
    session: Session,
    experiment: Experiment,
    *,
    holder: str,
    host: str,
    pid: int,
    ttl_s: float,
    steal: Callable[[Lease], bool] | None = None,
    now: datetime | None = None,
) -> LeaseGrant:
    """Take the lease, or say who holds it.

    `holder` names one process (its run id). `steal` is asked about a lease that has not run out;
    it answers yes when it knows the holder to be dead, and the lease is then taken over at once.
    """
    now = now or utc_now()
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
    insert_once(session, Lease, {"experiment_id": experiment.id}, unheld)
    lease = session.scalars(
        select(Lease)
        .where(Lease.experiment_id == experiment.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()
    held = lease.released_at is None and lease.expires_at > now
    if held and lease.holder != holder and not (steal and steal(lease)):
        raise LeaseHeld(experiment.name, lease.holder, lease.host, lease.pid, lease.acquired_at)
    lease.holder, lease.host, lease.pid = holder, host, pid
    lease.token += 1
    lease.acquired_at = lease.heartbeat_at = now
    lease.expires_at = now + timedelta(seconds=ttl_s)
    lease.released_at = None
    session.flush()
    return LeaseGrant(experiment.id, experiment.name, holder, lease.token, lease.expires_at)


def renew_lease(
    session: Session, grant: LeaseGrant, *, ttl_s: float, now: datetime | None = None
) -> LeaseGrant:
    """The heartbeat. A lease that ran out but was not taken is renewed: nobody else wrote."""
    now = now or utc_now()
    expires_at = now + timedelta(seconds=ttl_s)
    _update_own(session, grant, {"heartbeat_at": now, "expires_at": expires_at})
    return replace(grant, expires_at=expires_at)


def check_lease(session: Session, grant: LeaseGrant) -> None:
    """The fence, asked in the transaction of a write: a holder that slept too long is refused."""
    own = select(Lease.id).where(_is_own(grant)).with_for_update()
    if session.scalars(own).one_or_none() is None:
        raise _lost(session, grant)


def release_lease(session: Session, grant: LeaseGrant, *, now: datetime | None = None) -> bool:
    """Give the lease back; false when another holder had taken it over already."""
    try:
        _update_own(session, grant, {"released_at": now or utc_now()})
    except LeaseLost:
        return False
    return True


def _is_own(grant: LeaseGrant) -> ColumnElement[bool]:
    return (
        (Lease.experiment_id == grant.experiment_id)
        & (Lease.token == grant.token)
        & Lease.released_at.is_(None)
    )


def _update_own(session: Session, grant: LeaseGrant, values: dict[str, Any]) -> None:
    session.flush()
    changed = update(Lease).where(_is_own(grant)).values(**values).returning(Lease.id)
    if session.execute(changed, execution_options={"synchronize_session": False}).first() is None:
        raise _lost(session, grant)


def _lost(session: Session, grant: LeaseGrant) -> LeaseLost:
    now_held_by = session.scalars(
        select(Lease.holder).where(Lease.experiment_id == grant.experiment_id)
    ).one_or_none()
    return LeaseLost(
        f"the lease of experiment {grant.experiment!r} held by {grant.holder} (token "
        f"{grant.token}) was taken over or released, last holder {now_held_by}; this process stops "
        "writing, run again once the other has ended"
    )
