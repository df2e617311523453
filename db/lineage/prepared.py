"""Statements that are compiled once for each database, for questions that are over in a moment.

What SQLAlchemy does for each execution of a statement of its own takes half as long as the database
takes to answer. Values are bound as ever; what comes back is as the driver gives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Dialect, Row, Select
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import Session


class Prepared:
    """A select whose bound parameters are given by name."""

    def __init__(self, statement: Select[*tuple[Any, ...]]) -> None:
        """Take a statement whose columns need no conversion in Python and that expands no list."""
        self._statement = statement
        self._made: dict[str, tuple[str, dict[str, Any]]] = {}

    def rows(self, session: Session, **values: Any) -> Sequence[Row[*tuple[Any, ...]]]:
        """All rows of the answer."""
        connection = session.connection()
        name = connection.dialect.name
        if name not in self._made:
            self._made[name] = self._compiled(connection.dialect)
        sql, fixed = self._made[name]
        return connection.exec_driver_sql(sql, fixed | values).all()

    def _compiled(self, dialect: Dialect) -> tuple[str, dict[str, Any]]:
        if dialect.name == "sqlite":
            dialect = sqlite.dialect(paramstyle="named")
        made = self._statement.compile(dialect=dialect)
        return str(made), dict(made.params)
