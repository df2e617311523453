"""Estimates agree with what is known of them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from workers.evaluation.statistics import (
    auc,
    interval,
    paired_difference,
    ratio,
    ratio_stderr,
)

scores = st.lists(st.integers(0, 6).map(float), min_size=2, max_size=30)


@given(scores, scores)
def test_auc_is_the_one_of_scikit_learn_with_ties(good, bad):
    value, error = auc(good, bad)
    labels = [1] * len(good) + [0] * len(bad)
    assert value == pytest.approx(roc_auc_score(labels, good + bad))
    assert error >= 0


def test_auc_error_covers_the_truth_as_often_as_it_says():
    draw = np.random.default_rng(0)
    truth = 0.5 * (1 + math.erf(0.5))  # two unit normals one deviation apart
    covered = 0
    for _ in range(300):
        value, error = auc(draw.normal(1, 1, 60), draw.normal(0, 1, 80))
        low, high = interval(value, error, 0.95)
        covered += low <= truth <= high
    assert 0.90 <= covered / 300 <= 0.99


def test_auc_needs_items_on_both_sides():
    with pytest.raises(ValueError, match="two items"):
        auc([1.0], [0.0, 0.5])


def test_a_mean_has_its_usual_error():
    values = [0.0, 1.0, 1.0, 0.0, 1.0]
    assert ratio(values, [1.0] * 5) == pytest.approx(0.6)
    assert ratio_stderr(values, [1.0] * 5) == pytest.approx(np.std(values, ddof=1) / 5**0.5)
    assert math.isnan(ratio_stderr([1.0], [1.0]))


def test_pairing_removes_what_items_share():
    draw = np.random.default_rng(1)
    shared = draw.normal(0, 5, 200)
    one, other = shared + draw.normal(0, 0.1, 200), shared + 0.3 + draw.normal(0, 0.1, 200)
    difference, error = paired_difference(list(other), list(one), [1.0] * 200)
    assert difference == pytest.approx(0.3, abs=0.05)
    assert error < 0.02 < ratio_stderr(one, [1.0] * 200)
    with pytest.raises(ValueError, match="differ in number"):
        paired_difference([1.0], [1.0, 2.0], [1.0, 1.0])
