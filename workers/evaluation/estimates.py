"""Numbers that are no mean over held items: running means and jackknifed values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from workers.evaluation.measures import Measure
from workers.records import MetricRow

T = TypeVar("T")
GROUPS = 20


@dataclass(slots=True)
class RunningMean:
    """Mean and standard error over any number of values, none of which is held (Welford 1962)."""

    n: int = 0
    unscored: int = 0
    mean: float = 0.0
    _squares: float = 0.0

    def add(self, value: float | None) -> None:
        """Take a value in; None counts as unscored."""
        if value is None:
            self.unscored += 1
            return
        self.n += 1
        step = value - self.mean
        self.mean += step / self.n
        self._squares += step * (value - self.mean)

    def row(self, task: str, metric: str, version: str) -> MetricRow:
        """The mean as a metric; without values it has none."""
        error = math.sqrt(self._squares / (self.n - 1) / self.n) if self.n > 1 else None
        return MetricRow(
            task,
            metric,
            self.mean if self.n else None,
            self.n,
            stderr=error,
            unscored=self.unscored,
            task_version=version,
        )


def single(
    task: str, metric: str, value: float | None, n: int, stderr: float | None = None
) -> Measure:
    """A number with no items of its own; what is not finite is no value and no error."""
    known = value is not None and math.isfinite(value)
    error = stderr if known and stderr is not None and math.isfinite(stderr) else None
    return Measure(MetricRow(task, metric, value if known else None, n, stderr=error))


def jackknife_stderr(
    items: Sequence[T], statistic: Callable[[Sequence[T]], float], groups: int = GROUPS
) -> float | None:
    """Standard error of a statistic of many items, leaving out one group of them at a time.

    Items are dealt to groups in turn, so their order must say nothing (Shao and Tu 1995, 2.3). A
    bootstrap would not do where repeated items matter, as in compression. None for fewer items than
    twice the groups, where it is too rough.
    """
    if len(items) < 2 * groups:
        return None
    left = [
        statistic([item for i, item in enumerate(items) if i % groups != group])
        for group in range(groups)
    ]
    return float(math.sqrt((groups - 1) * np.var(left)))


def with_stderr(measure: Measure, stderr: float | None) -> Measure:
    """The measure with another standard error, where there is one to be had."""
    if stderr is None or measure.row.value is None:
        return measure
    return replace(measure, row=replace(measure.row, stderr=stderr))


def versioned(measures: Iterable[Measure], version: str) -> list[Measure]:
    """The measures, marked with the version of the task that made them."""
    return [
        replace(measure, row=replace(measure.row, task_version=version)) for measure in measures
    ]
