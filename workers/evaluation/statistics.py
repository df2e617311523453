"""Estimates with their standard errors, from items."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]


def ratio(values: Sequence[float] | Floats, weights: Sequence[float] | Floats) -> float:
    """Sum of values over sum of weights; a mean where every weight is 1."""
    return float(np.sum(values) / np.sum(weights))


def ratio_stderr(values: Sequence[float] | Floats, weights: Sequence[float] | Floats) -> float:
    """Standard error of `ratio` over independent items, by linearisation (Cochran 1977, 6.8).

    Returns NaN for fewer than two items.
    """
    v, w = np.asarray(values, float), np.asarray(weights, float)
    if len(v) < 2:
        return math.nan
    residual = v - ratio(v, w) * w
    return float(residual.std(ddof=1) / (w.mean() * math.sqrt(len(v))))


def influence(values: Sequence[float] | Floats, weights: Sequence[float] | Floats) -> Floats:
    """What each item adds to the error of `ratio`, times their number; their mean is 0."""
    v, w = np.asarray(values, float), np.asarray(weights, float)
    return (v - ratio(v, w) * w) / w.mean()


def auc(positives: Sequence[float], negatives: Sequence[float]) -> tuple[float, float]:
    """Area under the ROC curve and its standard error (DeLong et al. 1988).

    Args:
        positives: scores of the items that should rank high; ties count half.
        negatives: scores of the items that should rank low.

    Raises:
        ValueError: fewer than two items on a side.
    """
    x, y = np.asarray(positives, float), np.asarray(negatives, float)
    m, n = len(x), len(y)
    if m < 2 or n < 2:
        raise ValueError(f"AUC needs two items on each side, not {m} and {n}")
    both = stats.rankdata(np.concatenate([x, y]))
    # Placement of each item: the share of the other side that it beats.
    beats = (both[:m] - stats.rankdata(x)) / n
    beaten = 1.0 - (both[m:] - stats.rankdata(y)) / m
    variance = beats.var(ddof=1) / m + beaten.var(ddof=1) / n
    return float(beats.mean()), float(math.sqrt(variance))


def interval(estimate: float, stderr: float, confidence: float) -> tuple[float, float]:
    """Two-sided normal interval around an estimate."""
    half = float(stats.norm.ppf(0.5 + confidence / 2)) * stderr
    return estimate - half, estimate + half


def paired_difference(
    treated: Sequence[float] | Floats, control: Sequence[float] | Floats, weights: Sequence[float]
) -> tuple[float, float]:
    """Difference of two ratios over the same items (treated minus control) and its standard error.

    Raises:
        ValueError: the item counts differ.
    """
    if not len(treated) == len(control) == len(weights):
        raise ValueError(
            f"paired items differ in number: {len(treated)}, {len(control)}, {len(weights)}"
        )
    difference = np.asarray(treated, float) - np.asarray(control, float)
    return ratio(difference, weights), ratio_stderr(difference, weights)
