"""The declarative base, its naming convention, and the column types that every table shares."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from sqlalchemy import JSON, BigInteger, Boolean, DateTime, Float, Integer, MetaData, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import TypeDecorator

# Names are spelt out so that a migration can drop a constraint by name on either database.
NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

JsonObject = dict[str, Any]

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

# SQLite gives row numbers only to a primary key of type INTEGER; PostgreSQL's is four bytes wide,
# too narrow for the changed documents of a large corpus.
BigId = BigInteger().with_variant(Integer(), "sqlite")


def utc_now() -> datetime:
    """Now, aware of its zone."""
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC: refuses naive times, and gives aware ones back on both databases."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn any aware time into UTC before it is stored."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; pass an aware datetime, e.g. utc_now()")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """SQLite keeps no zone: what was stored is UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def storable(text: str) -> bool:
    """Whether both databases can hold the text: no NUL byte, no lone surrogate."""
    return _UNSTORABLE.search(text) is None


def prose(text: str) -> str:
    """Words as both databases hold them: NUL bytes and lone surrogates become U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)


class ProseType(TypeDecorator[str]):
    """Words for people, often from models and shells: what cannot be stored becomes U+FFFD."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replace NUL bytes and lone surrogates."""
        return None if value is None else prose(value)


Prose = Annotated[str, mapped_column(ProseType())]
Key = Annotated[int, mapped_column(BigId, primary_key=True)]


class Base(DeclarativeBase):
    """Base of every table."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy reads it from the class)
        str: Text(),
        int: BigInteger(),
        float: Float(),
        bool: Boolean(),
        datetime: UtcDateTime(),
        JsonObject: JSON(none_as_null=True),
    }


def one_of(column: str, allowed: Sequence[str]) -> str:
    """SQL of a check that a column holds one of the allowed words, or null."""
    return f"{column} IN ({', '.join(repr(word) for word in allowed)})"


def not_negative(*columns: str) -> str:
    """SQL of a check that none of the columns is below zero; null passes."""
    return " AND ".join(f"{column} >= 0" for column in columns)
