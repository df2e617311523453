"""One module a migration; each runs up and down on SQLite and PostgreSQL."""
