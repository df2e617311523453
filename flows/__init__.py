"""Prefect flows, the command line and the report: what joins workers to the record."""

import os

# Prefect reads these when it is first imported. Its telemetry locks the embedded server's SQLite.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
# Its embedded server starts in 14 s on two idle cores; its own limit of 20 s is too short for busy
# ones.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
# An error is told once, by the command line; a scheduled run shows it in Prefect all the same.
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
