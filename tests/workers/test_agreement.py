"""A self-rater that flatters itself is told from one that is right, and from one that is noisy."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from workers.evaluation.agreement import (
    LabelScale,
    RatedText,
    agreement,
    bias,
    length_correlation,
    rerating,
    self_preference,
    spearman,
)
from workers.evaluation.calibration import expected_calibration_error
from workers.evaluation.platt import decisions_of, fit_platt

SCORES = st.one_of(st.none(), st.floats(0, 1).map(lambda x: round(x, 2)))
RATED = st.builds(RatedText, SCORES, SCORES, st.integers(1, 500), st.booleans())


def rated(n, seed=0, flattery=0.0, favour=0.0, noise=0.3):
    """Texts of known quality, rated by both through noise, and the labels drawn from quality."""
    draw = np.random.default_rng(seed)
    quality = draw.normal(0, 2, n)
    own = draw.random(n) < 0.5
    said = quality + flattery + favour * own + draw.normal(0, noise, n)
    anchor = 2 * quality - 1 + draw.normal(0, noise, n)
    lengths = draw.integers(50, 500, n)
    labels = (draw.random(n) < 1 / (1 + np.exp(-quality))).astype(int)
    texts = [
        RatedText(float(1 / (1 + np.exp(-s))), float(1 / (1 + np.exp(-a))), int(c), bool(o))
        for s, a, c, o in zip(said, anchor, lengths, own, strict=True)
    ]
    return texts, labels.tolist()


@pytest.fixture(scope="module")
def scale():
    return LabelScale.fit(*rated(4000, seed=9))


def test_a_rater_that_agrees_is_unbiased_although_its_scale_is_another(scale):
    texts, _ = rated(2000, seed=1)
    row = bias(texts, scale).row
    assert row.metric == "agreement/bias" and abs(row.value) < 4 * row.stderr + 0.01
    assert (
        abs(bias(texts, None).row.value) > 0.05
    )  # the anchor's own scale is stretched and shifted
    assert bias(texts, None).row.metric == "agreement/raw_bias"


def test_flattery_is_seen_as_bias_and_not_as_self_preference(scale):
    texts, _ = rated(2000, seed=2, flattery=1.0)
    assert bias(texts, scale).row.value > 0.08
    row = self_preference(texts, scale).row
    assert abs(row.value) < 3 * row.stderr


def test_favouring_own_texts_is_seen_blind_to_author(scale):
    texts, _ = rated(2000, seed=3, favour=1.0)
    row = self_preference(texts, scale).row
    assert row.value > 5 * row.stderr > 0 and row.n == 2000


def test_truly_better_own_texts_are_no_self_preference(scale):
    texts, _ = rated(4000, seed=4)
    better = [t for t in texts if not t.own or t.anchor_score > 0.3]
    row = self_preference(better, scale).row
    assert abs(row.value) < 3 * row.stderr + 0.01


def test_the_error_of_self_preference_is_the_one_that_repeats_show(scale):
    found = [self_preference(rated(200, seed=s, favour=0.5)[0], scale).row for s in range(100)]
    spread = np.std([row.value for row in found], ddof=1)
    assert np.mean([row.stderr for row in found]) == pytest.approx(spread, rel=0.25)


def test_spearman_is_scipys_and_its_interval_holds_it():
    texts, _ = rated(300, noise=1.5)
    measure, spread = spearman(texts)
    expected = stats.spearmanr([t.self_score for t in texts], [t.anchor_score for t in texts])
    assert measure.row.value == pytest.approx(expected.statistic)
    assert spread.lower < measure.row.value < spread.upper
    assert measure.row.stderr == spread.stderr == pytest.approx(0.02, abs=0.02)


@settings(max_examples=15)
@given(st.lists(RATED, max_size=25), st.randoms())
def test_order_changes_nothing_and_every_text_is_counted(texts, draw):
    shuffled = list(texts)
    draw.shuffle(shuffled)
    for one, other in zip(agreement(texts, None), agreement(shuffled, None), strict=True):
        assert one.row.n + one.row.unscored == len(texts)
        assert one.row.metric == other.row.metric and one.row.n == other.row.n
        assert one.row.value == pytest.approx(other.row.value, abs=1e-12)
        if one.row.value is None:
            assert one.row.stderr is None


def test_a_rater_that_says_the_same_of_all_has_no_rank_correlation():
    texts = [replace(t, self_score=0.5) for t in rated(50)[0]]
    measure, spread = spearman(texts)
    assert measure.row.value is None and spread is None and measure.row.n == 50


def test_nearly_constant_scores_give_an_error_all_the_same():
    texts = [replace(t, self_score=float(i == 0)) for i, t in enumerate(rated(40)[0])]
    assert spearman(texts)[0].row.stderr > 0


def test_no_text_gives_no_figure():
    for measure in [*agreement([], None), *rerating([], [], 0.5)]:
        assert measure.row.value is None and measure.row.n == 0 and measure.row.unscored == 0


def test_a_rater_that_likes_length_is_seen():
    draw = random.Random(0)
    texts = [RatedText(c / 500, draw.random(), c, False) for c in range(1, 300)]
    assert length_correlation(texts, "self").row.value == pytest.approx(1.0)
    anchor = length_correlation(texts, "anchor").row
    assert abs(anchor.value) < 4 * anchor.stderr


@given(st.lists(SCORES, max_size=20))
def test_a_rater_agrees_with_itself(scores):
    same, apart = (measure.row for measure in rerating(scores, scores, 0.5))
    known = sum(score is not None for score in scores)
    assert (same.value, apart.value) == ((1.0, 0.0) if known else (None, None))
    assert same.n == known and same.unscored == len(scores) - known


def test_reratings_are_compared_at_the_threshold_and_by_size():
    same, apart = (m.row for m in rerating([0.4, 0.9, None], [0.6, 0.8, 0.1], 0.5))
    assert same.value == 0.5 and apart.value == pytest.approx(0.15) and same.unscored == 1
    with pytest.raises(ValueError, match="shorter"):
        rerating([0.1], [], 0.5)


def test_platt_scaling_makes_an_overconfident_rater_calibrated():
    texts, labels = rated(4000, seed=6)
    anchor = np.array([t.anchor_score for t in texts])
    truth = np.array(labels)
    put = fit_platt(decisions_of(anchor), labels).of_scores(anchor)
    before = expected_calibration_error(anchor[truth == 1], anchor[truth == 0])
    after = expected_calibration_error(put[truth == 1], put[truth == 0])
    assert after < 0.03 < before
    assert np.all(np.diff(put[np.argsort(anchor)]) >= 0)


def test_platt_scaling_stays_finite_when_labels_are_told_apart_and_needs_both():
    platt = fit_platt([-1.0, -2.0, 1.0, 2.0], [0, 0, 1, 1])
    assert 0 < platt.slope < 100
    assert platt.of_decisions([-2.0])[0] == pytest.approx(0.25, abs=0.1)
    with pytest.raises(ValueError, match="both labels"):
        fit_platt([0.1, 0.2], [1, 1])
