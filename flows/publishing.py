"""What a run shows at its end: the table, the Prefect artifacts and the report."""

from __future__ import annotations

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
from sqlalchemy import select

from db.lineage import status
from db.models import Run
from db.records import require_experiment, set_experiment_status
from db.sessions import Database
from flows.changes import most_changed
from flows.context import RunContext
from flows.page import write_report
from flows.summary import markdown_table, plain_rows

MOST_CHANGED = 40


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


def artifact_key(context: RunContext, what: str) -> str:
    """Key of an artifact; Prefect allows lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", f"{context.experiment.name}-{what}")


def standing(context: RunContext) -> dict[str, Any]:
    """How the experiment stands now."""
    with context.database.readers() as session:
        return status(session, context.experiment.name)[0]


def publish_progress(context: RunContext, seed: int, index: int) -> None:
    """Show how many of the generations are done."""
    seeds = context.experiment.seeds
    total = len(seeds) * context.experiment.generations
    done = seeds.index(seed) * context.experiment.generations + index
    create_progress_artifact(
        progress=100.0 * done / total,
        key=artifact_key(context, "progress"),
        description=f"{done} of {total} generations over {len(seeds)} seeds",
    )


def publish_results(context: RunContext) -> Outcome:
    """Write the report, publish table, summary and link, and return what the run came to."""
    with context.write() as session:
        row = require_experiment(session, context.experiment.name)
        set_experiment_status(session, row, "finished")
    found = standing(context)
    report = context.home / "reports" / f"{context.experiment.name}.html"
    write_experiment_report(context.database, context.experiment.name, report)
    create_table_artifact(table=plain_rows(found), key=artifact_key(context, "metrics"))
    create_markdown_artifact(markdown=markdown_table(found), key=artifact_key(context, "summary"))
    create_link_artifact(link=report.as_uri(), key=artifact_key(context, "report"))
    return Outcome(
        standing=found,
        report=str(report),
        reused=context.reporter.reused,
        redone=context.reporter.redone,
        model_calls=context.model_calls,
        seconds=context.reporter.elapsed(),
    )


def write_experiment_report(database: Database, name: str, out: Path) -> Path:
    """Write an experiment's report from the record."""
    with database.readers() as session:
        found = status(session, name)[0]
        row = require_experiment(session, name)
        runs = session.scalars(
            select(Run).where(Run.experiment_id == row.id).order_by(Run.id)
        ).all()
        changes = most_changed(session, name, MOST_CHANGED)
    last = runs[-1] if runs else None
    provenance: dict[str, Any] = {"runs": len(runs)}
    if last is not None:
        provenance |= {
            "command": last.command,
            "commit": last.commit,
            "dirty": last.dirty,
            "versions": last.versions,
            "host": last.host_kind,
        }
    return write_report(found, changes, config=row.config, provenance=provenance, out=out)
