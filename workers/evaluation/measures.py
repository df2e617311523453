"""What an evaluation task gives: a number, its standard error, and the items that it stands on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from workers.evaluation.statistics import auc, ratio, ratio_stderr
from workers.records import MetricRow


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric with its items: the metric is the sum of values over the sum of weights."""

    row: MetricRow
    values: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()


def mean_measure(
    task: str,
    metric: str,
    values: Sequence[float],
    weights: Sequence[float] | None = None,
    *,
    unscored: int = 0,
    variant: str = "",
) -> Measure:
    """Return a weighted mean over items; without items it has no value."""
    weights = weights if weights is not None else [1.0] * len(values)
    if not values:
        return Measure(MetricRow(task, metric, None, 0, unscored=unscored, variant=variant))
    error = ratio_stderr(values, weights)
    row = MetricRow(
        task,
        metric,
        ratio(values, weights),
        len(values),
        stderr=None if math.isnan(error) else error,
        unscored=unscored,
        variant=variant,
    )
    return Measure(row, tuple(values), tuple(weights))


def auc_measure(
    task: str,
    metric: str,
    good: Sequence[float | None],
    bad: Sequence[float | None],
    variant: str = "",
) -> Measure:
    """Return the AUC of good items' scores over bad ones'; items without a score are unscored."""
    scored_good = [score for score in good if score is not None]
    scored_bad = [score for score in bad if score is not None]
    n = len(scored_good) + len(scored_bad)
    unscored = len(good) + len(bad) - n
    if min(len(scored_good), len(scored_bad)) < 2:
        return Measure(MetricRow(task, metric, None, n, unscored=unscored, variant=variant))
    value, error = auc(scored_good, scored_bad)
    return Measure(
        MetricRow(task, metric, value, n, stderr=error, unscored=unscored, variant=variant)
    )
