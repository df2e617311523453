"""Gates: whether a generation is promoted, from its evaluations and the control's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from configs.experiment import Gate
from workers.evaluation.items import read_items
from workers.evaluation.statistics import interval, paired_difference

Outcome = Literal["pass", "fail", "inconclusive"]
WORST_FIRST: tuple[Outcome, ...] = ("fail", "inconclusive", "pass")


@dataclass(frozen=True, slots=True)
class Metric:
    """A measured number, as the record holds it."""

    value: float | None
    stderr: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What one gate says, on which interval, and why."""

    gate: str
    outcome: Outcome
    value: float | None
    lower: float | None
    upper: float | None
    bound: float
    n: int
    reason: str


def capability(gate: Gate, treated: Path, control: Path) -> Decision:
    """The loss of capability against the control, over paired items.

    Args:
        gate: metric, direction, margin and coverage.
        treated: folder of the arm's evaluation items.
        control: the same of the control's model of the same seed and generation.
    """
    name = "capability"
    values, weights = read_items(treated / "items.parquet", gate.capability_metric)
    others, _ = read_items(control / "items.parquet", gate.capability_metric)
    if len(values) < 2 or len(values) != len(others):
        return Decision(
            name, "inconclusive", None, None, None, gate.margin, len(values),
            f"{gate.capability_metric} has no paired items to compare",
        )  # fmt: skip
    difference, error = paired_difference(values, others, weights)
    loss = -difference if gate.higher_is_better else difference
    lower, upper = interval(loss, error, gate.confidence)
    outcome: Outcome = "inconclusive"
    if upper < gate.margin:
        outcome = "pass"
    elif lower > gate.margin:
        outcome = "fail"
    reason = (
        f"{gate.capability_metric}: loss against the control {loss:+.4f} "
        f"[{lower:+.4f}, {upper:+.4f}], margin {gate.margin:g}, over items of one seed"
    )
    return Decision(name, outcome, loss, lower, upper, gate.margin, len(values), reason)


def rater(gate: Gate, metric: Metric) -> Decision:
    """Whether the model still rates well enough to go on."""
    name = "rater"
    if metric.value is None or metric.stderr is None:
        return Decision(
            name, "inconclusive", metric.value, None, None, gate.rater_floor, metric.n,
            f"{gate.rater_metric} was not measured",
        )  # fmt: skip
    lower, upper = interval(metric.value, metric.stderr, gate.confidence)
    outcome: Outcome = "inconclusive"
    if lower > gate.rater_floor:
        outcome = "pass"
    elif upper < gate.rater_floor:
        outcome = "fail"
    reason = (
        f"{gate.rater_metric}: {metric.value:.3f} [{lower:.3f}, {upper:.3f}], "
        f"floor {gate.rater_floor:g}"
    )
    return Decision(name, outcome, metric.value, lower, upper, gate.rater_floor, metric.n, reason)


def verdict(decisions: list[Decision]) -> Outcome:
    """The worst of the gates' outcomes."""
    outcomes = [decision.outcome for decision in decisions]
    return next(outcome for outcome in WORST_FIRST if outcome in outcomes)
