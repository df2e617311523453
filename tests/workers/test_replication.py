"""Intervals over seeds count what differs between seeds, and what items they share."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from workers.evaluation.replication import (
    SeedEstimate,
    Spread,
    items_needed,
    over_seeds,
    paired,
    power,
    seeds_needed,
    spread_of,
    unpaired,
)
from workers.evaluation.statistics import paired_difference

numbers = st.floats(-1.0, 1.0).map(lambda x: round(x, 3))
ITEMS = 100


def estimates(draw, seeds, *, seed_sd, item_sd, shared=0.0, items=ITEMS):
    luck = draw.normal(0, shared**0.5 * item_sd, items)
    own = draw.normal(0, (1 - shared) ** 0.5 * item_sd, (seeds, items))
    treated = draw.normal(0, seed_sd, (seeds, 1)) + luck + own
    return [paired(i, treated[i], np.zeros(items), np.ones(items)) for i in range(seeds)]


@given(st.lists(numbers, min_size=2, max_size=8))
def test_seeds_with_items_of_their_own_give_the_t_interval_of_their_values(values):
    found = over_seeds([SeedEstimate(i, v, 0.1, 50) for i, v in enumerate(values)], 0.95)
    spread = stats.sem(values)
    half = stats.t.ppf(0.975, len(values) - 1) * spread
    assert found.over == "seeds" and found.n == len(values)
    assert (found.lower, found.upper) == pytest.approx(
        (np.mean(values) - half, np.mean(values) + half), abs=1e-12
    )


def test_one_seed_gives_an_interval_over_its_items_and_says_so():
    found = over_seeds([SeedEstimate(7, 0.5, 0.1, 400)], 0.95)
    assert (found.over, found.n) == ("items", 400)
    assert found.upper == pytest.approx(0.5 + 1.959964 * 0.1, abs=1e-6)


def test_seeds_that_agree_on_the_same_items_know_no_more_than_one_of_them():
    one = paired(0, np.arange(50.0), np.zeros(50), np.ones(50))
    same = [SeedEstimate(i, one.value, one.stderr, one.n, one.influence) for i in range(5)]
    assert over_seeds(same, 0.95).upper == one.value
    shared, alone = over_seeds(same, 0.95, shared_items=True), over_seeds([one], 0.95)
    assert (shared.lower, shared.upper) == pytest.approx((alone.lower, alone.upper))


@given(st.integers(0, 99), st.floats(0, 1), st.integers(2, 6))
def test_shared_items_never_narrow_the_interval(seed, share, seeds):
    found = estimates(np.random.default_rng(seed), seeds, seed_sd=0.1, item_sd=1.0, shared=share)
    own, shared = over_seeds(found, 0.95), over_seeds(found, 0.95, shared_items=True)
    assert shared.lower <= own.lower <= own.value <= own.upper <= shared.upper
    # Where items cannot be aligned, the interval is as wide as they could make it.
    blind = [SeedEstimate(each.seed, each.value, each.stderr, each.n) for each in found]
    assert over_seeds(blind, 0.95, shared_items=True).upper >= shared.upper - 1e-12


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_bound_is_crossed_no_more_often_than_it_may(seeds, share):
    draw = np.random.default_rng([seeds, int(10 * share)])
    crossed = 0
    for _ in range(800):
        found = estimates(draw, seeds, seed_sd=0.1, item_sd=1.0, shared=share)
        crossed += over_seeds(found, 0.95, shared_items=share > 0).upper < 0
    assert crossed / 800 <= 0.025 + 0.015


@pytest.mark.parametrize(
    "held",
    [
        [],
        [SeedEstimate(0, None, None, 0)],
        [SeedEstimate(0, 0.1, None, 9)],
        [SeedEstimate(0, 0.1, 0.1, 9), SeedEstimate(1, None, None, 0)],
    ],
)
def test_an_interval_needs_what_it_stands_on(held):
    with pytest.raises(ValueError, match="of each"):
        over_seeds(held, 0.95)


def test_a_paired_difference_is_the_one_of_its_items():
    draw = np.random.default_rng(2)
    one, other, weights = draw.normal(size=(2, 40)), draw.normal(size=40), draw.uniform(1, 2, 40)
    found = paired(3, one[0], other, weights)
    assert (found.value, found.stderr) == paired_difference(one[0], other, list(weights))
    assert found.influence.std(ddof=1) / math.sqrt(40) == pytest.approx(found.stderr)
    assert paired(3, one[0], other[:-1], weights).value is None
    assert paired(3, [1.0], [0.0], [1.0]).value is None


def test_numbers_without_items_differ_with_both_their_errors():
    found = unpaired(SeedEstimate(1, 0.9, 0.03, 600), SeedEstimate(1, 0.8, 0.04, 500))
    assert (found.value, found.stderr) == pytest.approx((0.1, 0.05))
    assert found.n == 500
    assert unpaired(SeedEstimate(1, None, None, 0), found).value is None


@pytest.mark.parametrize(
    ("effect", "seeds", "expected"),
    # statsmodels 0.15: TTestPower().power(effect, seeds, 0.025, alternative="larger")
    [
        (5.0, 3, 0.9754622687),
        (2.5, 3, 0.6191522937),
        (2.5, 5, 0.9817305884),
        (1.0, 20, 0.9885912945),
    ],
)
def test_power_is_that_of_the_t_test(effect, seeds, expected):
    assert power(effect, Spread(1.0, 0.0), seeds, 100) == pytest.approx(expected, abs=1e-9)


def test_power_at_a_loss_of_the_margin_is_the_risk_of_a_false_pass():
    for seeds in (1, 2, 3, 10):
        spread = Spread(0.0 if seeds == 1 else 0.3, 1.0)
        assert power(0.5, spread, seeds, 50, 0.9, deficit=0.5) == pytest.approx(0.05)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_power_is_how_often_the_interval_ends_under_the_margin(share):
    draw = np.random.default_rng(int(10 * share))
    passed = 0
    for _ in range(800):
        found = estimates(draw, 3, seed_sd=0.1, item_sd=1.0, shared=share)
        passed += over_seeds(found, 0.95, shared_items=share > 0).upper < 0.5
    told = power(0.5, Spread(0.1, 1.0, share), 3, ITEMS)
    assert passed / 800 == pytest.approx(told, abs=0.05)


@given(st.floats(0, 1), st.floats(0.01, 2), st.integers(2, 9), st.integers(2, 900), st.floats(0, 1))
def test_power_rises_with_seeds_items_and_margin(seed_sd, item_sd, seeds, items, share):
    spread = Spread(seed_sd, item_sd, share)
    base = power(0.3, spread, seeds, items)
    for better in (
        power(0.4, spread, seeds, items),
        power(0.3, spread, seeds + 1, items),
        power(0.3, spread, seeds, 2 * items),
    ):
        assert better >= base - 1e-6


def test_the_numbers_needed_are_the_fewest_that_do():
    spread = Spread(0.004, 0.1)
    seeds = seeds_needed(0.005, spread, 420)
    assert power(0.005, spread, seeds - 1, 420) < 0.8 <= power(0.005, spread, seeds, 420)
    items = items_needed(0.02, spread, 3)
    assert power(0.02, spread, 3, items - 1) < 0.8 <= power(0.02, spread, 3, items)
    # More items tell nothing of how seeds differ, nor more seeds of the items that they share.
    assert items_needed(0.005, spread, 3) is None
    assert seeds_needed(0.001, Spread(0.0, 0.1, 1.0), 420) is None


def test_where_nothing_varies_the_margin_decides_alone():
    assert power(0.02, Spread(0.0, 0.0), 3, 10) == 1.0
    assert power(0.02, Spread(0.0, 0.0), 3, 10, deficit=0.02) == 0.0


@pytest.mark.parametrize("share", [0.0, 0.6])
def test_the_spread_is_told_apart_into_seeds_and_items(share):
    draw = np.random.default_rng(4)
    found = estimates(draw, 400, seed_sd=0.1, item_sd=1.0, shared=share, items=200)
    spread = spread_of(found, shared_items=share > 0)
    assert (spread.seed_sd, spread.item_sd) == pytest.approx((0.1, 1.0), abs=0.02)
    assert spread.shared == pytest.approx(share, abs=0.1)
    with pytest.raises(ValueError, match="one seed"):
        spread_of(found[:1])
