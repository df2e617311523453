"""Tables of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows.report.costs import summed
from flows.report.findings import Findings
from flows.report.levels import Level
from flows.report.metric import MINUS
from flows.report.metrics import describe, in_order
from flows.report.plots import Table
from flows.report.trajectories import cell

LEAD = ("arm", "generation")
WIDEST = 5
"""Metrics side by side."""


def pivot(found: Sequence[Level]) -> Table:
    """A row for each arm and generation, a column for each metric."""
    metrics = in_order({each.metric for each in found})
    held = {(each.arm, each.generation, each.metric): each for each in found}
    places = list(dict.fromkeys((each.arm, each.generation) for each in found))
    arms = list(dict.fromkeys(arm for arm, _ in places))
    rows = [
        (
            arm,
            str(index),
            *(
                cell(describe(key), level) if (level := held.get((arm, index, key))) else ""
                for key in metrics
            ),
        )
        for arm, index in sorted(places, key=lambda place: (arms.index(place[0]), place[1]))
    ]
    return Table((*LEAD, *map(_head, metrics)), tuple(rows), lead=2)


def gates_table(gates: Sequence[Mapping[str, Any]]) -> Table:
    """What every gate decided, on which interval and bound, and why."""
    return Table(
        (
            "arm",
            "generation",
            "gate",
            "outcome",
            "value",
            "95% interval",
            "bound",
            "over",
            "reason",
        ),
        tuple(
            (
                row["arm"],
                str(row["generation"]),
                row["gate"],
                row["outcome"] + (" (recorded only)" if row["mode"] == "record_only" else ""),
                _number(row["value"]),
                _interval(row["lower"], row["upper"]),
                _number(row["bound"]),
                f"{row['n']:,} {row['interval_over']}" if row["interval_over"] else "counted",
                row["reason"],
            )
            for row in gates
        ),
        lead=4,
    )


def predictions_table(predictions: Sequence[Mapping[str, Any]]) -> Table:
    """What was predicted, and what came."""
    return Table(
        ("predicted", "by generation", "outcome", "sure", "difference to the control",
         "95% interval", "over", "written down"),
        tuple(
            (
                prediction_said(row),
                str(row["by"]),
                row["outcome"],
                ("yes" if row["sure"] else "no") if row["outcome"] != "open" else "",
                _difference(row, row["value"]),
                _ends(row),
                f"{row['n']} {row['interval_over']}" if row["interval_over"] else "",
                row["recorded_at"][:16].replace("T", " ") + (", late" if row["late"] else ""),
            )
            for row in predictions
        ),
    )  # fmt: skip


def prediction_said(row: Mapping[str, Any]) -> str:
    """A prediction in words."""
    metric = describe(row["metric"])
    size = metric.said(row["size"], "+").removeprefix("+")
    how = {"lower": f"lower by {size} or more", "higher": f"higher by {size} or more",
           "within": f"within {size} of the control"}  # fmt: skip
    return f"{row['arm']}: {metric.name}, {how[row['direction']]}"


def costs_tables(found: Findings) -> tuple[tuple[str, Table], ...]:
    """Costs by stage, and by arm and generation, over all seeds."""
    rows = found["costs"]
    if not rows:
        return ()
    total = {"stage": "all", **_sum(summed(rows, "stage"))}
    by_stage = [*summed(rows, "stage"), total]
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    by_generation = sorted(
        summed(rows, "arm", "generation", "stage"),
        key=lambda row: (arms.index(row["arm"]), row["generation"]),
    )
    return (
        ("By stage, over all seeds", _costs(("stage",), by_stage)),
        ("By arm, generation and stage, over all seeds", _costs((*LEAD, "stage"), by_generation)),
    )


def scope_table(scope: Sequence[Mapping[str, Any]]) -> Table:
    """On what each number stands."""
    return Table(
        ("metric", "of", "items", "unscored", "subjects", "measured on", "task, version", "name"),
        tuple(
            (
                row["name"],
                row["subject"],
                _range(row["n"]),
                _range(row["unscored"]),
                str(row["subjects"]),
                row["on"],
                f"{row['task']}, {', '.join(row['task_versions'])}",
                row["metric"],
            )
            for row in scope
        ),
        lead=2,
    )


def pivots(found: Sequence[Level], keys: Sequence[str]) -> list[Table]:
    """Tables of some metrics, each narrow enough for a page of paper."""
    there = [key for key in keys if any(each.metric == key for each in found)]
    parts = [there[start : start + WIDEST] for start in range(0, len(there), WIDEST)]
    return [pivot([each for each in found if each.metric in part]) for part in parts]


def _head(key: str) -> str:
    metric = describe(key)
    return f"{metric.name} ({metric.unit})" if metric.unit else metric.name


_COSTS = {
    "seconds": "seconds",
    "model_calls": "model calls",
    "prompt_tokens": "prompt tokens",
    "cached_tokens": "of them cached",
    "output_tokens": "output tokens",
    "documents": "documents",
    "errors": "errors",
}


def _costs(lead: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Table:
    return Table(
        (*lead, *_COSTS.values()),
        tuple(
            (
                *(str(row[name]) for name in lead),
                *(
                    f"{row[name]:,.1f}" if name == "seconds" else f"{row[name]:,}"
                    for name in _COSTS
                ),
            )
            for row in rows
        ),
        lead=len(lead),
    )


def _sum(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: sum(row[name] for row in rows) for name in _COSTS}


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}".replace("-", MINUS)


def _interval(lower: float | None, upper: float | None) -> str:
    return "" if lower is None or upper is None else f"[{_number(lower)}, {_number(upper)}]"


def _difference(row: Mapping[str, Any], value: float | None) -> str:
    return "" if value is None else describe(row["metric"]).said(value, "+")


def _ends(row: Mapping[str, Any]) -> str:
    metric = describe(row["metric"])
    if row["lower"] is None or row["upper"] is None:
        return ""
    return f"[{metric.number(row['lower'], '+')}, {metric.number(row['upper'], '+')}]"


def _range(ends: Sequence[int]) -> str:
    low, high = ends
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
