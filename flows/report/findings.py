"""What a report says: every number of it, as data."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict
from importlib import resources
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.lineage import status
from db.models import Arm, Experiment, GateDecision, Generation
from db.records import require_experiment
from flows.changes import chosen_changes
from flows.predicting import as_rows, judge_all
from flows.report.costs import costs_of
from flows.report.levels import Standing, arms_of, differences, generations_of, levels, relative
from flows.report.metrics import describe, in_order
from flows.report.scope import measured, provenance
from flows.summary import ACTIONS, seeds_of

Findings = dict[str, Any]
INSTRUMENTAL = "instrumental"
_DECIDED = ("gate", "outcome", "mode", "value", "lower", "upper", "bound", "interval_over", "n",
            "reason")  # fmt: skip


def report_schema() -> dict[str, Any]:
    """JSON schema of what `palimpsest report --json` prints."""
    file = resources.files("flows") / "schemas" / "report.schema.json"
    return json.loads(file.read_text(encoding="utf-8"))


def findings(session: Session, name: str) -> Findings:
    """Everything that the report of an experiment shows, ready for JSON.

    Raises:
        UnknownId: there is no such experiment.
    """
    standing, row = status(session, name)[0], require_experiment(session, name)
    return {
        **numbers(standing),
        "gates": gates_of(session, row),
        "predictions": as_rows(judge_all(session, name)),
        "documents": [asdict(change) for change in chosen_changes(session, name)],
        "costs": costs_of(session, name),
        "scope": measured(session, row),
        "provenance": provenance(session, row),
        "config": row.config,
    }


def numbers(standing: Standing) -> dict[str, Any]:
    """What follows from the experiment's standing alone.

    Args:
        standing: one entry of what `palimpsest status --json` prints.
    """
    found = levels(standing)
    keys = in_order({level.metric for level in found})
    return {
        "experiment": standing["experiment"],
        "status": standing["status"],
        "created_at": standing["created_at"],
        "seeds": seeds_of(standing),
        "seeds_share_generation_0": standing["seeds_share_generation_0"],
        "arms": standing["arms"],
        "levels": [asdict(each) for each in found],
        "differences": [asdict(each) for each in differences(standing)],
        "collapse": [
            asdict(each) for each in relative(standing, lambda key: key.startswith("collapse/"))
        ],
        "usefulness": [
            {
                "capability": capability,
                "desirability": desirability_of(capability),
                **asdict(each),
            }
            for each in found
            if (capability := capability_of(each.metric)) is not None
        ],
        "actions": _actions(standing),
        "glossary": [
            {
                "metric": key,
                "name": metric.name,
                "unit": metric.unit,
                "better": metric.better,
                "explanation": metric.explanation,
                "on": metric.on,
            }
            for key in keys
            for metric in [describe(key)]
        ],
    }


def capability_of(metric: str) -> str | None:
    """The capability whose value a metric is; None of any other, such as `unadjusted/…` too."""
    task, _, capability = metric.partition("/")
    return capability if task == INSTRUMENTAL and capability.isidentifier() else None


def desirability_of(capability: str) -> int:
    """Whether a capability is wanted, by its name: `desirable_…`, `undesirable_…`, or neither."""
    side = capability.partition("_")[0]
    return {"desirable": 1, "undesirable": -1}.get(side, 0)


def _actions(standing: Standing) -> list[dict[str, Any]]:
    """What became of the documents, and what was trained on: means over the seeds."""
    names = ("documents", "documents_in", *ACTIONS, "training_tokens", "unique_tokens", "epochs")
    found: list[dict[str, Any]] = []
    for arm in arms_of(standing):
        for index, rows in generations_of(standing, arm).items():
            known = {
                name: [row[name] for _, row in rows if row.get(name) is not None] for name in names
            }
            means = {
                name: statistics.mean(values) if values else None for name, values in known.items()
            }
            found.append({"arm": arm, "generation": index, "seeds": len(rows), **means})
    return found


def gates_of(session: Session, experiment: Experiment) -> list[dict[str, Any]]:
    """What the gates decided; what several seeds were told together is one row."""
    wanted = (
        select(GateDecision, Generation.generation_index, Arm.name, Arm.seed)
        .join(Generation, Generation.id == GateDecision.generation_id)
        .join(Arm, Arm.id == Generation.arm_id)
        .where(Arm.experiment_id == experiment.id)
        .order_by(Generation.generation_index, GateDecision.gate, Arm.id)
    )
    found: dict[str, dict[str, Any]] = {}
    for decision, index, arm, seed in session.execute(wanted):
        row = {"arm": arm, "generation": index} | {
            name: getattr(decision, name) for name in _DECIDED
        }
        found.setdefault(repr(row), {**row, "seeds": []})["seeds"].append(seed)
    order = list(dict.fromkeys(row["arm"] for row in found.values()))
    return sorted(found.values(), key=lambda row: (order.index(row["arm"]), row["generation"]))
