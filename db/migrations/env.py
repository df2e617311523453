"""How Alembic runs our migrations: on the connection it is handed, inside its transaction."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from db.models import Base
from db.schema import VERSION_TABLE

connection = context.config.attributes.get("connection")
if not isinstance(connection, Connection):
    raise RuntimeError("migrations need a connection; run `palimpsest db upgrade`")

context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    # SQLite alters a table by rebuilding it.
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
