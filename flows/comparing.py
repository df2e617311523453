"""Comparing two generations by their recorded metrics."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Stage
from workers.evaluation.items import read_items
from workers.evaluation.statistics import paired_difference
from workers.problems import InputProblem

COUNTS = ("documents", "keep", "revise", "drop", "tag", "quarantine", "training_tokens")


def pick(experiment: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the generation that `arm:generation[:seed]` names.

    Raises:
        InputProblem: there is none of that name.
    """
    known = {
        f"{arm['arm']}:{row['generation']}:{arm['seed']}": row
        for arm in experiment["arms"]
        for row in arm["generations"]
    }
    parts = name.split(":")
    if len(parts) == 2:
        parts.append(str(experiment["arms"][0]["seed"]) if experiment["arms"] else "0")
    found = known.get(":".join(parts))
    if found is None:
        raise InputProblem(
            f"{name}: no such generation in experiment {experiment['experiment']!r}; "
            f"write ARM:GENERATION or ARM:GENERATION:SEED, one of {', '.join(known)}"
        )
    return found


def items_of(session: Session, checkpoint: str | None) -> Path | None:
    """File with the items of a checkpoint's newest evaluation; None where there is none."""
    done = select(Stage).where(Stage.stage == "evaluate", Stage.status == "done")
    for stage in session.scalars(done.order_by(Stage.id.desc())):
        path = Path(stage.output_uri or "") / "items.parquet"
        if stage.params["inputs"].get("checkpoint") == checkpoint and path.is_file():
            return path
    return None


def compare_generations(
    left: dict[str, Any],
    right: dict[str, Any],
    items: tuple[Path | None, Path | None] = (None, None),
) -> dict[str, Any]:
    """Differences, right minus left, with their standard errors.

    Args:
        left: a generation as `palimpsest status --json` gives it.
        right: another.
        items: files with the items of both evaluations; where they hold a metric's items for both,
            its standard error is that of the paired difference, and otherwise that of two
            independent estimates.
    """
    metrics: dict[str, Any] = {}
    for name in sorted(set(left["metrics"]) & set(right["metrics"])):
        one, other = left["metrics"][name], right["metrics"][name]
        if one["value"] is None or other["value"] is None:
            continue
        errors = (one["stderr"], other["stderr"])
        paired = _paired_error(name, items)
        independent = None if None in errors else math.hypot(*errors)
        metrics[name] = {
            "left": one["value"],
            "right": other["value"],
            "difference": other["value"] - one["value"],
            "stderr": independent if paired is None else paired,
            "paired": paired is not None,
            "n": other["n"],
        }
    counts = {name: (left.get(name), right.get(name)) for name in COUNTS}
    return {
        "metrics": metrics,
        "counts": {name: {"left": a, "right": b} for name, (a, b) in counts.items()},
        "corpora": [left["corpus"], right["corpus"]],
        "checkpoints": [left["checkpoint"], right["checkpoint"]],
    }


def _paired_error(name: str, items: tuple[Path | None, Path | None]) -> float | None:
    """Standard error of the difference over the items that both have, if they have the same."""
    metric, _, variant = name.partition("@")
    if items[0] is None or items[1] is None:
        return None
    one, weights = read_items(items[0], metric, variant)
    other, _ = read_items(items[1], metric, variant)
    if len(one) < 2 or len(one) != len(other):
        return None
    return paired_difference(other, one, weights)[1]
