"""Gates: tests that decide whether a generation is promoted, over all seeds of an arm at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from configs.gating import Gate
from workers.evaluation.items import ITEMS_FILE, read_items
from workers.evaluation.replication import Interval, SeedEstimate, over_seeds, paired

Outcome = Literal["pass", "fail", "inconclusive"]
WORST_FIRST: tuple[Outcome, ...] = ("fail", "inconclusive", "pass")
# The Goodhart rule stops on this many generations running: one alone may be luck.
RUNNING = 2


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
    """Number of what the interval is over; of seeds where there is none."""
    interval_over: Literal["items", "seeds"] | None
    """None for a figure that was counted and not estimated, or that is missing."""
    reason: str


@dataclass(frozen=True, slots=True)
class CorpusChange:
    """A collapse metric of one seed's corpus, beside that of its corpus 0."""

    seed: int
    value: float | None
    baseline: float | None

    @property
    def relative(self) -> float | None:
        """The change as a share of the baseline; None where either is missing or that is 0."""
        if self.value is None or not self.baseline:
            return None
        return self.value / self.baseline - 1.0


@dataclass(frozen=True, slots=True)
class Turn:
    """What one generation gained on the one before, by its own rating and by the gate anchor."""

    self_gains: Sequence[SeedEstimate]
    anchor_gains: Sequence[SeedEstimate]
    anchor: float
    """The anchor's score now, mean over seeds."""
    ceiling: float
    """The score that the anchor gives to what needs no revision."""


def difference(seed: int, metric: str, treated: Path, control: Path) -> SeedEstimate:
    """One seed's difference of a metric, treated minus control, over the items of both.

    Args:
        seed: whose it is.
        metric: one that has items.
        treated: folder of the evaluation of the arm's model.
        control: the same of the control's model of the same seed and generation.
    """
    values, weights = read_items(treated / ITEMS_FILE, metric)
    others, _ = read_items(control / ITEMS_FILE, metric)
    return paired(seed, values, others, weights)


def capability(
    gate: Gate, differences: Sequence[SeedEstimate], *, shared_items: bool = False
) -> Decision:
    """Non-inferiority: the loss of capability against the control is under the margin.

    Passes when the whole interval is under the margin, fails when the whole of it is over.

    Args:
        gate: metric, direction, margin and coverage.
        differences: of every seed, treated minus control, as `difference` gives them.
        shared_items: whether the seeds answer the same items.
    """
    metric, bound = gate.capability_metric, gate.margin
    losses = differences if not gate.higher_is_better else [_turned(each) for each in differences]
    loss = _interval(gate, losses, shared_items)
    if loss is None:
        return _unmeasured("capability", bound, metric, differences)
    outcome = _beyond(-loss.upper, -loss.lower, -bound)
    said = f"{metric}: loss against the control {_said(loss, metric)}, margin {bound:g}"
    return _decided("capability", outcome, loss, bound, f"{said}, {_over(gate, loss, losses)}")


def superiority(
    gate: Gate, differences: Sequence[SeedEstimate], *, shared_items: bool = False
) -> Decision:
    """Superiority on the gate anchor: it scores the arm above the control, by over a minimum.

    Passes when the whole interval is above the minimum, fails when the whole of it is under.

    Args:
        gate: `anchor_metric`, `anchor_min_gain` and coverage.
        differences: of every seed, treated minus control, of the anchor's score.
        shared_items: whether the seeds answer the same items.
    """
    metric, bound = gate.anchor_metric or "gate anchor", gate.anchor_min_gain
    gain = _interval(gate, differences, shared_items)
    if gain is None:
        return _unmeasured("superiority", bound, metric, differences)
    outcome = _beyond(gain.lower, gain.upper, bound)
    said = f"{metric}: gain over the control {_said(gain, metric)}, least gain {bound:g}"
    return _decided(
        "superiority", outcome, gain, bound, f"{said}, {_over(gate, gain, differences)}"
    )


def rater(gate: Gate, levels: Sequence[SeedEstimate], *, shared_items: bool = False) -> Decision:
    """Whether the model still rates well enough to go on.

    Args:
        gate: `rater_metric`, `rater_floor` and coverage.
        levels: the metric of every seed's model.
        shared_items: whether the seeds rate the same items.
    """
    metric, bound = gate.rater_metric, gate.rater_floor
    level = _interval(gate, levels, shared_items)
    if level is None:
        return _unmeasured("rater", bound, metric, levels)
    outcome = _beyond(level.lower, level.upper, bound)
    said = f"{metric}: {level.value:.3f} [{level.lower:.3f}, {level.upper:.3f}], floor {bound:g}"
    return _decided("rater", outcome, level, bound, f"{said}, {_over(gate, level, levels)}")


def collapse(gate: Gate, changes: Mapping[str, Sequence[CorpusChange]]) -> list[Decision]:
    """One decision for each collapse bound: no seed's corpus may have changed by more.

    A corpus is counted, not sampled, so there is no interval, and the seed that has used up most of
    a bound decides: a mean over seeds would hide one that collapsed.

    Args:
        gate: `collapse_bounds`.
        changes: by metric, that of every seed.
    """
    return [
        _kept_within(metric, bounds, changes.get(metric, ()))
        for metric, bounds in gate.collapse_bounds.items()
    ]


def goodhart(gate: Gate, turns: Sequence[Turn], *, shared_items: bool = False) -> Decision:
    """Stop when the self-rating rises and the gate anchor does not follow, two generations running.

    In such a generation the self-rating's gain is above zero (lower bound), the anchor's gain is
    under the least one (upper bound), and the anchor is not near its ceiling.

    Args:
        gate: `goodhart_min_gain`, `anchor_room` and coverage.
        turns: of the generations so far, newest last; one at least.
        shared_items: whether the seeds' gains are over the same documents.
    """
    metric, bound, now = gate.anchor_metric or "gate anchor", gate.goodhart_min_gain, turns[-1]
    own, gain = (_interval(gate, each, shared_items) for each in (now.self_gains, now.anchor_gains))
    if own is None or gain is None:
        missing = now.self_gains if own is None else now.anchor_gains
        what = gate.self_rating_metric or "self-rating" if own is None else metric
        return _unmeasured("goodhart", bound, what, missing)
    drifts = [_drifts(gate, turn, shared_items) for turn in turns[-RUNNING:]]
    stops = len(drifts) == RUNNING and all(drifts)
    said = (
        f"self-rating's gain {_said(own)}; gain of {metric} {_said(gain)}, least gain {bound:g}, "
        f"score {now.anchor:.3f}, ceiling {now.ceiling:.3f}; {_over(gate, gain, now.anchor_gains)}"
    )
    found = "the rating rises and the anchor does not" if drifts[-1] else "no drift"
    if drifts[-1]:
        found += f", {'two generations running' if stops else 'for the first time'}"
    return _decided("goodhart", "fail" if stops else "pass", gain, bound, f"{said}: {found}")


def verdict(decisions: Sequence[Decision]) -> Outcome:
    """The worst of the gates' outcomes."""
    outcomes = [decision.outcome for decision in decisions]
    return next(outcome for outcome in WORST_FIRST if outcome in outcomes)


def _interval(gate: Gate, estimates: Sequence[SeedEstimate], shared_items: bool) -> Interval | None:
    """The interval over seeds or items; None where it cannot be had."""
    if not estimates or any(each.value is None for each in estimates):
        return None
    # Between seeds with items of their own, the seeds' spread is all that is asked.
    needs_errors = shared_items or len(estimates) == 1
    if needs_errors and any(each.stderr is None for each in estimates):
        return None
    return over_seeds(estimates, gate.confidence, shared_items=shared_items)


def _turned(each: SeedEstimate) -> SeedEstimate:
    return replace(each, value=None if each.value is None else -each.value)


def _beyond(lower: float, upper: float, bound: float) -> Outcome:
    """Whether an interval is wholly above a bound, wholly under it, or neither."""
    return "pass" if lower > bound else "fail" if upper < bound else "inconclusive"


def _drifts(gate: Gate, turn: Turn, shared_items: bool) -> bool:
    own = _interval(gate, turn.self_gains, shared_items)
    gain = _interval(gate, turn.anchor_gains, shared_items)
    if own is None or gain is None or turn.anchor >= turn.ceiling - gate.anchor_room:
        return False
    return own.lower > 0.0 and gain.upper < gate.goodhart_min_gain


def _kept_within(
    metric: str, bounds: tuple[float, float], changes: Sequence[CorpusChange]
) -> Decision:
    name = f"collapse:{metric.removeprefix('collapse/')}"
    known = [(each.relative, each) for each in changes if each.relative is not None]
    if not known:
        return Decision(
            name, "inconclusive", None, None, None, bounds[1], 0, None, f"{metric} was not measured"
        )

    def used(change: float) -> float:
        bound = bounds[change > 0]
        return change / bound if bound else math.inf * (change != 0.0)

    change, worst = max(known, key=lambda each: used(each[0]))
    bound = bounds[change > 0]
    missing = [str(each.seed) for each in changes if each.relative is None]
    outcome = "fail" if used(change) > 1.0 else "inconclusive" if missing else "pass"
    reason = (
        f"{metric}: {worst.value:.4g} in seed {worst.seed}, {change:+.1%} to corpus 0's "
        f"{worst.baseline:.4g}, bound {bound:+.0%}, the furthest of {len(known)} seeds"
        + (f"; not measured in seed {', '.join(missing)}" if missing else "")
    )
    return Decision(name, outcome, change, None, None, bound, len(known), None, reason)


def _decided(name: str, outcome: Outcome, found: Interval, bound: float, reason: str) -> Decision:
    return Decision(
        name, outcome, found.value, found.lower, found.upper, bound, found.n, found.over, reason
    )


def _unmeasured(
    name: str, bound: float, metric: str, estimates: Sequence[SeedEstimate]
) -> Decision:
    seeds = [str(each.seed) for each in estimates if each.value is None or each.stderr is None]
    where = f" in seed {', '.join(seeds)}" if seeds else ""
    reason = f"{metric} was not measured{where}, or has no items to compare"
    n = sum(each.value is not None for each in estimates)
    return Decision(name, "inconclusive", None, None, None, bound, n, None, reason)


def _said(found: Interval, metric: str = "") -> str:
    unit = " bits per byte" if metric.startswith("bits_per_byte") else ""
    return f"{found.value:+.4f} [{found.lower:+.4f}, {found.upper:+.4f}]{unit}"


def _over(gate: Gate, found: Interval, estimates: Sequence[SeedEstimate]) -> str:
    """What an interval is over, in words."""
    least, most = (pick(each.n for each in estimates) for pick in (min, max))
    items = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    if found.over == "items":
        return f"{100 * gate.confidence:g}% interval over {items} items of one seed"
    return f"{100 * gate.confidence:g}% interval over {found.n} seeds of {items} items"
