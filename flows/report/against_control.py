"""The arms against the control: the capability gap with its margin, and differences in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows.report.findings import Findings
from flows.report.levels import Level, level_of
from flows.report.metrics import describe
from flows.report.plots import Figure
from flows.report.trajectories import Rule, interval_said, lines_of, trajectory


def gap_figures(found: Findings) -> list[Figure]:
    """The capability gate's losses against the control, with the margin."""
    rows = [row for row in found["gates"] if row["gate"] == "capability"]
    rows = [row for row in rows if row["value"] is not None]
    if not rows:
        return []
    key = (found["config"].get("gate") or {}).get("capability_metric", "bits_per_byte/desirable")
    metric = describe(key)
    gaps = [_gap(key, row) for row in rows]
    bounds = sorted({row["bound"] for row in rows if row["bound"] is not None})
    figure = trajectory(
        metric,
        lines_of(gaps),
        title="Capability gap to the control",
        about=f"How much worse than the control each arm is on: {metric.name.lower()}. The gate "
        "passes where the whole interval lies under the margin.",
        axis=f"loss, {'points' if metric.unit == '%' else metric.unit} (lower is better)",
        rules=[Rule(bound, f"margin {metric.number(bound)}") for bound in bounds],
        sign="+",
    )
    return [figure]


def gap_said(found: Findings) -> str:
    """The newest capability gate of each arm, in a sentence."""
    newest: dict[str, Mapping[str, Any]] = {}
    for row in found["gates"]:
        if row["gate"] == "capability":
            newest[row["arm"]] = row
    held: dict[str, list[str]] = {}
    for arm, row in newest.items():
        held.setdefault(row["outcome"], []).append(f"{arm} (generation {row['generation']})")
    words = {"pass": "within the margin", "fail": "over the margin", "inconclusive": "undecided"}
    said = [f"{words[outcome]}: {', '.join(arms)}" for outcome, arms in held.items()]
    return f"Loss of capability against the control {'; '.join(said)}." if said else ""


def difference_said(level: Level) -> str:
    """A difference with its interval."""
    metric = describe(level.metric)
    value = metric.said(level.value, "+")
    interval = interval_said(metric, level.lower, level.upper, "+")
    return f"{value} {interval or '(no interval)'}"


def differences_said(found: Findings, keys: Sequence[str]) -> str:
    """The newest differences of the arms to the control, on the first metric that has any."""
    for key in keys:
        newest: dict[str, Level] = {}
        for row in found["differences"]:
            if row["metric"] == key and row["generation"] > 0:
                newest[row["arm"]] = level_of(row)
        if newest:
            said = [f"{arm} {difference_said(each)}" for arm, each in newest.items()]
            last = {each.generation for each in newest.values()}
            when = f"generation {last.pop()}" if len(last) == 1 else "each arm's last generation"
            return f"{describe(key).name}, difference to the control at {when}: {'; '.join(said)}."
    return ""


def _gap(key: str, row: Mapping[str, Any]) -> Level:
    ends = (row["value"], row["lower"], row["upper"], row["interval_over"])
    return Level(key, row["arm"], row["generation"], *ends, row["n"] or len(row["seeds"]))
