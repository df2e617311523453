"""Calibration and thresholds, against closed forms and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_curve

from workers.evaluation.calibration import (
    bootstrap,
    brier,
    confusion,
    expected_calibration_error,
    reliability,
    youden,
)

SCORES = st.lists(st.floats(0, 1).map(lambda x: round(x, 3)), min_size=1, max_size=40)


def truth(good, bad):
    return np.r_[np.ones(len(good)), np.zeros(len(bad))], np.r_[good, bad]


@settings(max_examples=100)
@given(good=SCORES, bad=SCORES)
def test_brier_and_youden_agree_with_scikit_learn(good, bad):
    labels, scores = truth(good, bad)
    assert brier(good, bad)[0] == pytest.approx(brier_score_loss(labels, scores))
    threshold, gain = youden(good, bad)
    # The threshold that lets everything or nothing pass gains nothing and is never suggested.
    rates = roc_curve(labels, scores, drop_intermediate=False)
    assert max(gain, 0.0) == pytest.approx(np.max(rates[1] - rates[0]))
    found = confusion(good, bad, threshold)
    assert (
        gain == pytest.approx(found.desirable_pass / len(good) - found.undesirable_pass / len(bad))
        or len({*good, *bad}) == 1
    )


@settings(max_examples=100)
@given(good=SCORES, bad=SCORES)
def test_the_reliability_table_holds_every_document_and_gives_the_error(good, bad):
    bins = reliability(good, bad)
    n = len(good) + len(bad)
    assert sum(each.n for each in bins) == n and len(bins) == 10
    gaps = [each.n * abs(each.desirable - each.mean_score) for each in bins if each.n]
    assert expected_calibration_error(good, bad) == pytest.approx(sum(gaps) / n)


def test_a_calibrated_rater_has_no_error_and_a_boastful_one_has_its_excess():
    assert expected_calibration_error([0.75] * 3, [0.75]) == pytest.approx(0)
    assert expected_calibration_error([0.95], [0.95]) == pytest.approx(0.45)
    assert brier([1.0, 1.0], [0.0]) == (0.0, 0.0)
    assert reliability([1.0], [0.0])[-1].n == 1


def test_the_threshold_lies_midway_between_the_sides():
    assert youden([0.8, 0.9], [0.1, 0.2]) == (0.5, 1.0)
    assert youden([0.5], [0.5]) == (0.5, 0.0)
    with pytest.raises(ValueError, match="not 0 and 1"):
        youden([], [0.5])


def test_a_bootstrap_covers_the_estimate_and_repeats_itself():
    rng = np.random.default_rng(0)
    good, bad = rng.beta(5, 2, 200), rng.beta(2, 5, 200)

    def cut(x, y):
        return youden(x, y)[0]

    spread = bootstrap(good, bad, cut)
    assert spread.lower <= cut(good, bad) <= spread.upper and 0 < spread.stderr < 0.2
    assert bootstrap(good, bad, cut) == spread
