"""Prefect flows, the command line and the report: what joins workers to the record."""

import os

# Prefect reads these when it is first imported. Its telemetry locks the embedded server's SQLite.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
# An error is told once, by the command line; a scheduled run shows it in Prefect all the same.
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
