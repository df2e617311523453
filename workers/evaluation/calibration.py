"""How far a rater's scores can be taken at their word: calibration, and the threshold that parts.

A score is a probability that a document is desirable, and a document passes when its score is at
least the threshold. `good` are the scores of desirable documents, `bad` those of undesirable ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from workers.evaluation.statistics import ratio, ratio_stderr

Floats = NDArray[np.float64]
Scores = Sequence[float] | Floats
BINS = 10
RESAMPLES = 1_000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Bin:
    """Documents whose scores lie in [lower, upper), or in [lower, upper] for the last."""

    lower: float
    upper: float
    n: int
    mean_score: float | None
    """What the rater said; None in an empty bin."""
    desirable: float | None
    """The share that is desirable."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """Documents that pass or fail a threshold, by what they are."""

    desirable_pass: int
    desirable_fail: int
    undesirable_pass: int
    undesirable_fail: int


@dataclass(frozen=True, slots=True)
class Spread:
    """Standard error and percentile interval of a bootstrap."""

    stderr: float
    lower: float
    upper: float


def brier(good: Scores, bad: Scores) -> tuple[float, float]:
    """Mean squared distance of scores from what is true (Brier 1950), and its standard error."""
    squares = np.concatenate([(1.0 - np.asarray(good, float)) ** 2, np.asarray(bad, float) ** 2])
    return ratio(squares, np.ones_like(squares)), ratio_stderr(squares, np.ones_like(squares))


def reliability(good: Scores, bad: Scores, bins: int = BINS) -> list[Bin]:
    """What the rater said beside what is true, in bins of equal width over [0, 1]."""
    counts, positives, sums = _binned(good, bad, bins)
    return [
        Bin(
            i / bins,
            (i + 1) / bins,
            int(counts[i]),
            float(sums[i] / counts[i]) if counts[i] else None,
            float(positives[i] / counts[i]) if counts[i] else None,
        )
        for i in range(bins)
    ]


def expected_calibration_error(good: Scores, bad: Scores, bins: int = BINS) -> float:
    """Mean over documents of the gap in their bin between score and share (Naeini et al. 2015).

    NaN without documents. It is biased upwards where bins hold few documents.
    """
    counts, positives, sums = _binned(good, bad, bins)
    total = float(counts.sum())
    return float(np.abs(positives - sums).sum() / total) if total else math.nan


def _binned(good: Scores, bad: Scores, bins: int) -> tuple[Floats, Floats, Floats]:
    """Documents, desirable documents and sum of scores in each bin."""
    scores = np.concatenate([np.asarray(good, float), np.asarray(bad, float)])
    truth = np.concatenate([np.ones(len(good)), np.zeros(len(bad))])
    index = np.minimum((scores * bins).astype(int), bins - 1)
    counts, positives, sums = (
        np.asarray(np.bincount(index, weights=weights, minlength=bins), float)
        for weights in (np.ones_like(scores), truth, scores)
    )
    return counts, positives, sums


def youden(good: Scores, bad: Scores) -> tuple[float, float]:
    """The threshold that parts best, and its J = share of good that pass - share of bad that do.

    It lies midway between two neighbouring scores; of equal ones it is the lowest. Where all scores
    are equal it is that score (Youden 1950).

    Raises:
        ValueError: no document on a side.
    """
    x, y = np.sort(np.asarray(good, float)), np.sort(np.asarray(bad, float))
    if not len(x) or not len(y):
        raise ValueError(f"a threshold needs documents on both sides, not {len(x)} and {len(y)}")
    levels = np.unique(np.concatenate([x, y]))
    cuts = (levels[:-1] + levels[1:]) / 2 if len(levels) > 1 else levels
    gains = np.searchsorted(y, cuts) / len(y) - np.searchsorted(x, cuts) / len(x)
    best = int(np.argmax(gains))
    return float(cuts[best]), float(gains[best])


def confusion(good: Scores, bad: Scores, threshold: float) -> Confusion:
    """Documents that pass and fail a threshold."""
    passed = int(np.sum(np.asarray(good, float) >= threshold))
    missed = int(np.sum(np.asarray(bad, float) >= threshold))
    return Confusion(passed, len(good) - passed, missed, len(bad) - missed)


def bootstrap(
    good: Scores, bad: Scores, statistic: Callable[[Floats, Floats], float], seed: int = 0
) -> Spread:
    """Spread of a statistic over documents drawn anew, desirable and undesirable apart.

    Raises:
        ValueError: fewer than two documents on a side.
    """
    found = stats.bootstrap(
        (np.asarray(good, float), np.asarray(bad, float)),
        statistic,
        n_resamples=RESAMPLES,
        vectorized=False,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    interval = found.confidence_interval
    return Spread(float(found.standard_error), float(interval.low), float(interval.high))
