"""Comparing two generations by their recorded metrics."""

from __future__ import annotations

import math
from typing import Any

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


def compare_generations(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    """Differences, right minus left, with the standard error of two independent estimates."""
    metrics: dict[str, Any] = {}
    for name in sorted(set(left["metrics"]) & set(right["metrics"])):
        one, other = left["metrics"][name], right["metrics"][name]
        if one["value"] is None or other["value"] is None:
            continue
        errors = (one["stderr"], other["stderr"])
        census = None in errors
        metrics[name] = {
            "left": one["value"],
            "right": other["value"],
            "difference": other["value"] - one["value"],
            "stderr": None if census else math.hypot(*errors),
        }
    counts = {name: (left.get(name), right.get(name)) for name in COUNTS}
    return {
        "metrics": metrics,
        "counts": {name: {"left": a, "right": b} for name, (a, b) in counts.items()},
        "corpora": [left["corpus"], right["corpus"]],
        "checkpoints": [left["checkpoint"], right["checkpoint"]],
    }
