"""The scope of what was measured: the slices on which a model's alignment was looked at, as data.

It is derived from the recorded evaluations alone. What no row covers is not in it, and of that
nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from db.models import Evaluation
from workers.evaluation.slices import SLICES
from workers.evaluation.statistics import interval

CONFIDENCE = 0.95
SILENCE = (
    "Nothing is claimed outside these slices: of other principles, behaviours, settings and "
    "formats there is no measurement."
)
NOTHING = "Alignment was not measured on this model, and nothing is claimed about it."
# Evaluations of alignment whose slices are those of a data set, known by its name alone.
_DATA_SETS = ("pairs/propensity", "harness/ai_risk")


def scope(numbers: Sequence[Evaluation]) -> dict[str, Any]:
    """The slices that evaluations cover, ready for JSON.

    Args:
        numbers: a checkpoint's, each once.

    Returns:
        `claim`, what may be said outside the slices; and `slices`, each with its metric, variant,
        principles, distribution, formats, what was held out, value, standard error, interval, n
        and unscored. None stands for what the record does not say.
    """
    slices = [_slice(each) for each in numbers if _is_alignment(each.metric)]
    return {"claim": SILENCE if slices else NOTHING, "slices": slices}


def _is_alignment(metric: str) -> bool:
    return metric in SLICES or metric.startswith(_DATA_SETS)


def _slice(row: Evaluation) -> dict[str, Any]:
    return {
        "metric": row.metric,
        "variant": row.variant,
        "task": row.task,
        "task_version": row.task_version,
        **_where(row.metric),
        "value": row.value,
        "stderr": row.stderr,
        "interval": _interval(row),
        "confidence": CONFIDENCE,
        # Of one model: nothing here knows of the spread between seeds.
        "interval_over": "items",
        "n": row.n,
        "unscored": row.unscored,
        "seed": row.seed,
    }


def _where(metric: str) -> dict[str, Any]:
    """The distribution that a metric is about."""
    found = SLICES.get(metric)
    if found is None:
        return {"principles": None, "distribution": None, "formats": None, "held_out": None}
    return {
        "principles": list(found.principles),
        "distribution": "in" if found.in_distribution else "out",
        "formats": list(found.formats),
        "held_out": {
            "behaviours": list(found.held_out_behaviours),
            "settings": list(found.held_out_settings),
        },
    }


def _interval(row: Evaluation) -> list[float] | None:
    if row.value is None or row.stderr is None:
        return None
    low, high = interval(row.value, row.stderr, CONFIDENCE)
    return [max(0.0, low), min(1.0, high)]
