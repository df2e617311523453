"""What a run shows at its end: the table, the Prefect artifacts and the report."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
)

from db.lineage import status
from db.records import require_experiment, set_experiment_status
from db.sessions import Database
from flows.context import RunContext
from flows.estimates import how_far_off
from flows.report.findings import findings
from flows.report.page import write_report
from flows.summary import markdown_table, plain_rows

REPORTS_VARIABLE = "PALIMPSEST_REPORTS_URL"


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    standing: dict[str, Any]
    """The experiment as `palimpsest status --json` gives it."""
    report: str
    reused: int
    redone: int
    model_calls: int
    seconds: float
    off: dict[str, tuple[float, float]]
    """What `palimpsest estimate` said and what it came to; empty where it was not asked."""


def artifact_key(context: RunContext, what: str) -> str:
    """Key of an artifact; Prefect allows lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", f"{context.experiment.name}-{what}")


def standing(context: RunContext) -> dict[str, Any]:
    """How the experiment stands now."""
    with context.database.readers() as session:
        return status(session, context.experiment.name)[0]


def publish_generation(context: RunContext, index: int) -> None:
    """Show how the experiment stands after a generation: each key keeps its earlier versions."""
    after = f"after generation {index}"
    found = standing(context)
    report = _write_report(context)
    create_table_artifact(
        table=plain_rows(found),
        key=artifact_key(context, "metrics"),
        description=f"Metrics {after}",
    )
    create_markdown_artifact(
        markdown=markdown_table(found),
        key=artifact_key(context, "summary"),
        description=f"Summary {after}",
    )
    create_link_artifact(
        link=_address(report), key=artifact_key(context, "report"), description=f"Report {after}"
    )
    seeds, last = context.experiment.seeds, context.until
    create_progress_artifact(
        progress=100.0 * index / last,
        key=artifact_key(context, "progress"),
        description=f"{index} of {last} generations of {len(seeds)} seeds",
    )


def _write_report(context: RunContext) -> Path:
    name = context.experiment.name
    return write_experiment_report(
        context.database, name, context.home / "reports" / f"{name}.html"
    )


def _address(report: Path) -> str:
    """Where people open a report: below the URL that the environment names, if one serves them."""
    served = os.environ.get(REPORTS_VARIABLE)
    return f"{served.rstrip('/')}/{report.name}" if served else report.as_uri()


def publish_results(context: RunContext) -> Outcome:
    """Write the report and return what the run came to."""
    with context.write() as session:
        row = require_experiment(session, context.experiment.name)
        status = "finished" if context.goes_all_the_way else "pending"
        set_experiment_status(session, row, status)
    with context.read() as session:
        row = require_experiment(session, context.experiment.name)
        off = how_far_off(context.home, session, row, context.spending.seconds())
    return Outcome(
        standing=standing(context),
        report=str(_write_report(context)),
        reused=context.reporter.reused,
        redone=context.reporter.redone,
        model_calls=context.model_calls,
        seconds=context.reporter.elapsed(),
        off=off,
    )


def write_experiment_report(database: Database, name: str, out: Path) -> Path:
    """Write an experiment's report from the record."""
    with database.readers() as session:
        found = findings(session, name)
    return write_report(found, out)
