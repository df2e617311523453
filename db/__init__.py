"""The record: SQLAlchemy models, sessions, migrations, and what is written to and read of them."""
