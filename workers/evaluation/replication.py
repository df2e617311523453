"""Estimates over seeds: the interval that counts seeds and items, and the power of its test."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy import stats

from workers.evaluation.statistics import Floats, influence, interval, ratio, ratio_stderr

MOST_SEEDS, MOST_ITEMS = 1_000, 10**9
_PARTS = 2_000


@dataclass(frozen=True, slots=True)
class SeedEstimate:
    """What one seed says of a number: a level, or a difference to the control."""

    seed: int
    value: float | None
    """None where it was not measured."""
    stderr: float | None
    """Standard error over the seed's items."""
    n: int
    """Number of items."""
    influence: Floats | None = field(default=None, compare=False, repr=False)
    """What each item, in item order, adds to the value's error, times n; None where the value has
    no items. Where seeds share items, it says how far their errors go together."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its interval, and what the interval is over."""

    value: float
    lower: float
    upper: float
    over: Literal["items", "seeds"]
    n: int
    """Number of what it is over."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How far the estimates of single seeds stray from the truth, and why."""

    seed_sd: float
    """Standard deviation between seeds, apart from what their items add."""
    item_sd: float
    """Standard deviation of one item's influence."""
    shared: float = 0.0
    """Share of the items' variance that all seeds have in common, in [0, 1]: 0 where each seed
    has items of its own."""


def paired(
    seed: int,
    treated: Sequence[float] | Floats,
    control: Sequence[float] | Floats,
    weights: Sequence[float] | Floats,
) -> SeedEstimate:
    """One seed's difference of two ratios over the same items, treated minus control.

    Unmeasured where there are fewer than two items or the sides differ in number.
    """
    if not len(treated) == len(control) == len(weights) or len(weights) < 2:
        return SeedEstimate(seed, None, None, min(len(treated), len(control)))
    difference = np.asarray(treated, float) - np.asarray(control, float)
    value, error = ratio(difference, weights), ratio_stderr(difference, weights)
    return SeedEstimate(seed, value, error, len(weights), influence(difference, weights))


def unpaired(treated: SeedEstimate, control: SeedEstimate) -> SeedEstimate:
    """One seed's difference of two numbers without items to pair, such as AUCs.

    The errors are taken as independent, which is too wide an interval where the two stand on the
    same items.
    """
    n = min(treated.n, control.n)
    if treated.value is None or control.value is None:
        return SeedEstimate(treated.seed, None, None, n)
    known = treated.stderr is not None and control.stderr is not None
    error = math.hypot(treated.stderr or 0.0, control.stderr or 0.0) if known else None
    return SeedEstimate(treated.seed, treated.value - control.value, error, n)


def over_seeds(
    estimates: Sequence[SeedEstimate], confidence: float, *, shared_items: bool = False
) -> Interval:
    """Mean over seeds with its t interval; of one seed, the interval over its items.

    Items stand within seeds. Where each seed has items of its own, the spread between the seeds'
    values holds the items' error already: spread / sqrt(seeds) with seeds - 1 degrees of freedom is
    the whole standard error, whatever the share of either (the group-randomised trial; Murray
    1998). A floor at the items' error would only cost power: that a spread may be small by luck is
    what t is for.

    Where all seeds answer the same items, luck with the items moves all values alike and does not
    show between them, so it is added: the mean covariance of two seeds' values over the items, as
    in the crossed design of readers and cases (Obuchowski and Rockette 1995). Where influences are
    missing or do not align, it is taken as large as it can be, the mean of the seeds' own error
    variances. The half intervals, t over seeds and normal over items, add in squares (Howe 1974).
    Simulated with two to ten seeds, that crosses a bound no more often than it may; with the
    degrees of freedom of Hillis (2007) one meant for 2.5% was crossed in up to 6%, with two seeds,
    and 4%, with three.

    Args:
        estimates: one for each seed.
        confidence: coverage of the two-sided interval.
        shared_items: whether the seeds answer the same items.

    Raises:
        ValueError: there is no estimate, one was not measured, or one seed alone has no error.
    """
    values = _values(estimates)
    if len(values) == 1:
        (variance,) = _item_variances(estimates)
        lower, upper = interval(values[0], math.sqrt(variance), confidence)
        return Interval(values[0], lower, upper, "items", estimates[0].n)
    mean, between = float(np.mean(values)), float(np.var(values, ddof=1)) / len(values)
    common = common_variance(estimates) if shared_items else 0.0
    half = float(_half(between, common, len(values), confidence))
    return Interval(mean, mean - half, mean + half, "seeds", len(values))


def common_variance(estimates: Sequence[SeedEstimate]) -> float:
    """Variance that shared items add to every seed's value alike, as `over_seeds` says."""
    held = [each.influence for each in estimates if each.influence is not None]
    if len(held) < len(estimates) or len({len(influence) for influence in held}) > 1:
        return float(np.mean(_item_variances(estimates)))
    covariance = np.cov(np.stack(held)) / len(held[0])
    pairs = covariance[~np.eye(len(held), dtype=bool)]
    return max(0.0, float(pairs.mean()))


def spread_of(estimates: Sequence[SeedEstimate], *, shared_items: bool = False) -> Spread:
    """Tell the spread between seeds from that between items, by the method of moments.

    Raises:
        ValueError: fewer than two seeds, or one without a value or an error.
    """
    values, variances = _values(estimates), _item_variances(estimates)
    if len(values) < 2:
        raise ValueError("one seed says nothing of the spread between seeds")
    item = float(np.mean(variances))
    common = common_variance(estimates) if shared_items else 0.0
    between = max(0.0, float(np.var(values, ddof=1)) - (item - common))
    of_one = np.mean(
        [variance * each.n for variance, each in zip(variances, estimates, strict=True)]
    )
    return Spread(math.sqrt(between), math.sqrt(of_one), min(1.0, common / item) if item else 0.0)


def power(
    margin: float,
    spread: Spread,
    seeds: int,
    items: int,
    confidence: float = 0.95,
    deficit: float = 0.0,
) -> float:
    """Chance that the interval of `over_seeds` lies under the margin.

    Of seeds with items of their own it is exact, by the noncentral t distribution (Julious 2004);
    where items are shared, it is the mean over the distribution of the spread between seeds. Of
    one seed it counts the luck with items alone.

    Args:
        margin: of non-inferiority, in the metric's unit.
        spread: how far single seeds stray, in the same unit.
        seeds: number of seeds.
        items: number of items of each seed.
        confidence: coverage of the two-sided interval.
        deficit: the true loss.
    """
    item = spread.item_sd**2 / items
    common = spread.shared * item if seeds > 1 else item
    between = (spread.seed_sd**2 + item - common) / seeds if seeds > 1 else 0.0
    error, room = math.sqrt(between + common), margin - deficit
    if error == 0.0:
        return float(room > 0.0)
    if between == 0.0:
        return float(stats.norm.cdf((room - _half(0.0, common, seeds, confidence)) / error))
    df = seeds - 1
    if common == 0.0:
        return float(stats.nct.sf(_quantile(confidence, df), df, room / error))
    # The variance that is found between seeds, at the middle of so many equal parts of its chance.
    found = between * stats.chi2.ppf((np.arange(_PARTS) + 0.5) / _PARTS, df) / df
    half = _half(found, common, seeds, confidence)
    return float(np.mean(stats.norm.cdf((room - half) / error)))


def seeds_needed(
    margin: float, spread: Spread, items: int, confidence: float = 0.95, target: float = 0.8
) -> int | None:
    """Fewest seeds, two or more, whose `power` at no deficit is the target; None for over 1,000."""
    counts = range(2, MOST_SEEDS + 1)
    found = bisect_left(counts, target, key=lambda s: power(margin, spread, s, items, confidence))
    return counts[found] if found < len(counts) else None


def items_needed(
    margin: float, spread: Spread, seeds: int, confidence: float = 0.95, target: float = 0.8
) -> int | None:
    """Fewest items a seed whose `power` at no deficit is the target.

    None where no number of them would do, because the seeds differ too much.
    """
    counts = range(2, MOST_ITEMS + 1)
    found = bisect_left(counts, target, key=lambda n: power(margin, spread, seeds, n, confidence))
    return counts[found] if found < len(counts) else None


def _values(estimates: Sequence[SeedEstimate]) -> list[float]:
    values = [each.value for each in estimates if each.value is not None]
    if not values or len(values) < len(estimates):
        raise ValueError("an estimate over seeds needs a value of each of them")
    return values


def _item_variances(estimates: Sequence[SeedEstimate]) -> list[float]:
    errors = [each.stderr for each in estimates if each.stderr is not None]
    if len(errors) < len(estimates):
        raise ValueError("the items' error needs a standard error of each seed")
    return [error**2 for error in errors]


def _half(between: Floats | float, common: float, seeds: int, confidence: float) -> Floats:
    """Half the interval of a mean, from the parts of its variance between seeds and over items."""
    over_items = _quantile(confidence, math.inf) * np.sqrt(common)
    over_seeds = _quantile(confidence, seeds - 1) * np.sqrt(between) if seeds > 1 else 0.0
    return np.asarray(np.hypot(over_seeds, over_items))


@lru_cache
def _quantile(confidence: float, df: float) -> float:
    """Half the two-sided t interval, in standard errors; kept, since it costs most of the time."""
    return float(stats.t.ppf(0.5 + confidence / 2, df))
