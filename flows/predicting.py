"""Predictions, judged: whether what was expected of an arm came to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy.orm import Session

from db.lineage import status
from db.models import Prediction
from db.records import predictions_of, require_experiment
from workers.evaluation.replication import Interval, SeedEstimate, over_seeds, unpaired

CONFIDENCE = 0.95
Judgement = Literal["hit", "miss", "open"]


@dataclass(frozen=True, slots=True)
class Judged:
    """A prediction beside what was measured."""

    metric: str
    arm: str
    direction: str
    size: float
    by: int
    recorded_at: datetime
    late: bool
    """Whether a model had been asked or made before it was written down."""
    outcome: Judgement
    """`open` while the generation is not measured, in the arm and the control of every seed."""
    value: float | None = None
    """Mean difference to the control, in the metric's unit."""
    lower: float | None = None
    upper: float | None = None
    interval_over: str | None = None
    """`seeds`, or `items` of one seed; None where there is no interval."""
    n: int = 0
    """Seeds."""
    sure: bool = False
    """Whether the whole interval is on one side of what was predicted."""


def judge_all(session: Session, experiment: str) -> list[Judged]:
    """Judge every prediction of an experiment, the oldest first.

    Raises:
        UnknownId: there is no such experiment.
    """
    row = require_experiment(session, experiment)
    standing = status(session, experiment)[0]
    return [_judged(each.prediction, each.late, standing) for each in predictions_of(session, row)]


def as_rows(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """As `--json` prints them."""
    return [{**asdict(each), "recorded_at": each.recorded_at.isoformat()} for each in judged]


def outcome_of(direction: str, size: float, value: float) -> Judgement:
    """Whether a difference to the control is what was predicted."""
    hit = {
        "lower": value <= -size,
        "higher": value >= size,
        "within": abs(value) <= size,
    }[direction]
    return "hit" if hit else "miss"


def _judged(said: Prediction, late: bool, standing: Mapping[str, Any]) -> Judged:
    open_ = Judged(
        said.metric, said.arm, said.direction, said.size, said.by_generation,
        said.recorded_at, late, "open",
    )  # fmt: skip
    own, control = (
        _levels(standing, arm, said.by_generation, said.metric) for arm in (said.arm, "control")
    )
    found = [unpaired(own[seed], control[seed]) for seed in own if seed in control]
    if not own or len(found) < len(own) or any(each.value is None for each in found):
        return open_
    values = [each.value for each in found if each.value is not None]
    value = sum(values) / len(values)
    outcome = outcome_of(said.direction, said.size, value)
    interval = _interval(found)
    if interval is None:
        return _with(open_, outcome=outcome, value=value, n=len(found))
    ends = {outcome_of(said.direction, said.size, end) for end in (interval.lower, interval.upper)}
    # An interval round a band may miss it at both ends and still hold it.
    spans = said.direction == "within" and interval.lower < -said.size < said.size < interval.upper
    return _with(
        open_,
        outcome=outcome,
        value=value,
        lower=interval.lower,
        upper=interval.upper,
        interval_over=interval.over,
        n=len(found),
        sure=ends == {outcome} and not spans,
    )


def _with(judged: Judged, **more: Any) -> Judged:
    return Judged(**{**asdict(judged), **more})


def _interval(found: Sequence[SeedEstimate]) -> Interval | None:
    if len(found) == 1 and found[0].stderr is None:
        return None
    return over_seeds(found, CONFIDENCE)


def _levels(
    standing: Mapping[str, Any], arm: str, generation: int, metric: str
) -> dict[int, SeedEstimate]:
    """The metric of an arm's generation, by seed; of every seed that the arm has."""
    levels: dict[int, SeedEstimate] = {}
    for each in standing["arms"]:
        if each["arm"] != arm:
            continue
        seed = each["seed"]
        levels[seed] = SeedEstimate(seed, None, None, 0)
        for row in each["generations"]:
            number = row["metrics"].get(metric)
            if row["generation"] == generation and number is not None:
                levels[seed] = SeedEstimate(
                    seed, number["value"], number["stderr"], number["n"] or 0
                )
    return levels
