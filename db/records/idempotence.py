"""Writing a row once, however often and from however many processes it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from sqlalchemy import inspect, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db.models import Base
from db.problems import DatabaseProblem

Row = TypeVar("Row", bound=Base)


def insert_into(session: Session, model: type[Base]) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that knows ON CONFLICT, spelt alike by both databases."""
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(model)
    return sqlite.insert(model)


def insert_once(
    session: Session, model: type[Row], identity: Mapping[str, Any], values: Mapping[str, Any]
) -> Row:
    """The row with this identity: the one that stands, or a new one with these values."""
    session.flush()
    wanted = select(model).filter_by(**identity)
    row = session.scalars(wanted).one_or_none()
    if row is None:
        statement = insert_into(session, model).values(**identity, **values)
        session.execute(statement.on_conflict_do_nothing(index_elements=list(identity)))
        row = session.scalars(wanted).one()
    return row


def put(
    session: Session, model: type[Row], identity: Mapping[str, Any], values: Mapping[str, Any]
) -> Row:
    """The row with this identity, holding these values whether it was there before or not."""
    session.flush()
    statement = insert_into(session, model).values(**identity, **values)
    statement = statement.on_conflict_do_update(index_elements=list(identity), set_=dict(values))
    session.execute(statement)
    wanted = select(model).filter_by(**identity).execution_options(populate_existing=True)
    return session.scalars(wanted).one()


def fresh(session: Session, row: Row) -> Row:
    """The row as it stands now, locked: the one in hand may come from an earlier transaction.

    `Session.merge` would not do: it writes every stale column of the row in hand over the new ones.
    """
    session.flush()
    key = inspect(row).identity
    found = None
    if key is not None:
        found = session.get(type(row), key, populate_existing=True, with_for_update=True)
    if found is None:
        raise DatabaseProblem(
            f"a row of table {row.__tablename__} is no longer recorded; run again from the start"
        )
    return found
