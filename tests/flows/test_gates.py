"""Gates pass, fail or stay inconclusive on an interval, and the worst of them counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import planted_collapse, planted_truths
from configs.gating import Gate
from flows import gates
from flows.gate_power import power_warning
from flows.gates import CorpusChange, Turn
from workers.evaluation.items import read_items, write_items
from workers.evaluation.measures import auc_measure, mean_measure
from workers.evaluation.replication import SeedEstimate, Spread

METRIC = "bits_per_byte/desirable"
GATE = Gate(
    capability_metric=METRIC,
    margin=0.02,
    rater_floor=0.7,
    anchor_metric="anchor/score",
    anchor_min_gain=0.05,
    self_rating_metric="self/score",
    goodhart_min_gain=0.01,
    anchor_room=0.05,
    collapse_bounds={"collapse/corpus/distinct_2": (-0.1, 0.2)},
)
N = 400
UNMEASURED = SeedEstimate(9, None, None, 0)


def evaluated(folder, values, metric=METRIC):
    folder.mkdir()
    write_items(folder / "items.parquet", [mean_measure("t", metric, values)])
    return folder


def wobble(mean, size):
    return [mean + size * (-1) ** i for i in range(N)]


def seeds(*values, stderr=0.001):
    return [SeedEstimate(i, value, stderr, N) for i, value in enumerate(values)]


@pytest.mark.parametrize(
    ("loss", "size", "outcome"),
    [
        (0.0, 0.01, "pass"),
        (-0.5, 0.01, "pass"),
        (0.1, 0.01, "fail"),
        (0.02, 0.3, "inconclusive"),
    ],
)
def test_capability_of_one_seed_is_judged_over_its_items(tmp_path, loss, size, outcome):
    control = evaluated(tmp_path / "control", [1.0] * N)
    treated = evaluated(tmp_path / "treated", wobble(1.0 + loss, size))
    decision = gates.capability(GATE, [gates.difference(0, METRIC, treated, control)])
    assert decision.outcome == outcome
    assert (decision.interval_over, decision.n, decision.bound) == ("items", N, 0.02)
    assert decision.lower <= decision.value <= decision.upper
    assert "over 400 items of one seed" in decision.reason


@pytest.mark.parametrize(
    ("losses", "outcome"),
    [
        ((0.001, -0.002, 0.003), "pass"),
        ((0.051, 0.048, 0.053), "fail"),
        # Each seed alone would pass or fail; that they differ is what the interval over them sees.
        ((0.0, 0.0, 0.04), "inconclusive"),
    ],
)
def test_capability_of_several_seeds_is_judged_over_them(losses, outcome):
    decision = gates.capability(GATE, seeds(*losses))
    assert decision.outcome == outcome
    assert (decision.interval_over, decision.n) == ("seeds", 3)
    assert "bits per byte" in decision.reason and "3 seeds of 400 items" in decision.reason


def test_a_metric_where_more_is_better_turns_the_loss_round():
    gate = Gate(capability_metric="pairs/propensity", higher_is_better=True, margin=0.02)
    decision = gates.capability(gate, seeds(-0.40, -0.41, -0.39))
    assert decision.outcome == "fail" and decision.value == pytest.approx(0.4)
    assert decision.lower < 0.4 < decision.upper
    assert gates.capability(gate, seeds(0.40, 0.41, 0.39)).outcome == "pass"


def test_without_paired_items_nothing_is_decided_and_the_seed_is_named(tmp_path):
    control = evaluated(tmp_path / "control", [1.0] * N)
    fewer = evaluated(tmp_path / "fewer", [1.0] * (N - 1))
    missing = gates.difference(4, METRIC, fewer, control)
    decision = gates.capability(GATE, [*seeds(0.0, 0.0), missing])
    assert decision.outcome == "inconclusive" and decision.value is None
    assert METRIC in decision.reason and "seed 4" in decision.reason
    assert gates.capability(GATE, []).outcome == "inconclusive"


def test_arms_that_are_the_same_pass():
    assert gates.capability(GATE, seeds(0.0, 0.0, 0.0, stderr=0.0)).outcome == "pass"


@pytest.mark.parametrize(
    ("gains", "outcome"),
    [
        ((0.09, 0.08, 0.10), "pass"),
        ((0.01, 0.00, 0.02), "fail"),
        ((0.05, 0.06, 0.04), "inconclusive"),
    ],
)
def test_superiority_asks_for_more_than_the_least_gain(gains, outcome):
    decision = gates.superiority(GATE, seeds(*gains))
    assert (decision.outcome, decision.bound) == (outcome, 0.05)
    assert "anchor/score" in decision.reason


@pytest.mark.parametrize(
    ("levels", "stderr", "outcome"),
    [
        ((0.9,), 0.01, "pass"),
        ((0.5,), 0.01, "fail"),
        ((0.71,), 0.05, "inconclusive"),
        ((None,), None, "inconclusive"),
        ((0.90, 0.91, 0.92), None, "pass"),
        ((0.90, 0.50, 0.92), None, "inconclusive"),
    ],
)
def test_the_rater_must_stay_above_its_floor(levels, stderr, outcome):
    assert gates.rater(GATE, seeds(*levels, stderr=stderr)).outcome == outcome


def test_an_interval_over_shared_items_is_wider():
    apart = gates.capability(GATE, seeds(0.001, 0.002, 0.003, stderr=0.02))
    shared = gates.capability(GATE, seeds(0.001, 0.002, 0.003, stderr=0.02), shared_items=True)
    assert (apart.outcome, shared.outcome) == ("pass", "inconclusive")


@pytest.mark.parametrize(
    ("values", "outcome", "bound"),
    [
        ((0.24, 0.25, 0.26), "pass", -0.1),
        ((0.24, 0.22, 0.26), "fail", -0.1),  # a fall of 12% in one seed alone
        ((0.24, 0.25, 0.31), "fail", 0.2),  # a rise of 24%
        ((0.24, None, 0.26), "inconclusive", -0.1),
        ((0.20, None, 0.26), "fail", -0.1),
    ],
)
def test_one_collapsed_seed_fails_its_arm(values, outcome, bound):
    changes = [CorpusChange(i, value, 0.25) for i, value in enumerate(values)]
    (decision,) = gates.collapse(GATE, {"collapse/corpus/distinct_2": changes})
    assert (decision.outcome, decision.bound) == (outcome, bound)
    assert decision.gate == "collapse:corpus/distinct_2"
    assert decision.interval_over is None and decision.lower is None


def test_a_failed_collapse_bound_names_the_metric_the_value_and_the_bound():
    changes = [CorpusChange(3, 0.2, 0.25)]
    (decision,) = gates.collapse(GATE, {"collapse/corpus/distinct_2": changes})
    for said in ("collapse/corpus/distinct_2", "0.2 in seed 3", "-20.0%", "bound -10%"):
        assert said in decision.reason


def test_what_was_not_measured_does_not_pass_for_whole():
    for changes in ({}, {"collapse/corpus/distinct_2": [CorpusChange(0, 0.2, 0.0)]}):
        (decision,) = gates.collapse(GATE, changes)
        assert decision.outcome == "inconclusive" and "was not measured" in decision.reason


@given(st.floats(0.01, 10), st.floats(0.01, 10))
def test_a_bound_of_nothing_lets_nothing_change(value, baseline):
    gate = Gate(collapse_bounds={"c": (0.0, 0.0)})
    (decision,) = gates.collapse(gate, {"c": [CorpusChange(0, value, baseline)]})
    assert decision.outcome == ("pass" if value / baseline == 1.0 else "fail")


def turn(self_gain, anchor_gain, anchor=0.7, ceiling=0.85):
    return Turn(
        seeds(self_gain - 0.001, self_gain, self_gain + 0.001),
        seeds(anchor_gain - 0.001, anchor_gain, anchor_gain + 0.001),
        anchor,
        ceiling,
    )


DRIFTS = turn(0.05, 0.0)


@pytest.mark.parametrize(
    ("turns", "outcome", "said"),
    [
        ([DRIFTS], "pass", "for the first time"),
        ([DRIFTS, DRIFTS], "fail", "two generations running"),
        ([turn(0.1, 0.1), DRIFTS, DRIFTS], "fail", "two generations running"),
        ([DRIFTS, turn(0.05, 0.05), DRIFTS], "pass", "for the first time"),
        ([DRIFTS, DRIFTS, turn(0.05, 0.05)], "pass", "no drift"),
        ([turn(0.0, 0.0)] * 2, "pass", "no drift"),  # converged: the rating rests as well
        ([turn(0.05, 0.0, anchor=0.82)] * 2, "pass", "no drift"),  # near its ceiling
        ([turn(0.05, 0.0095)] * 2, "pass", "no drift"),  # the upper bound reaches the least gain
    ],
)
def test_the_goodhart_rule_stops_a_rating_that_rises_alone(turns, outcome, said):
    decision = gates.goodhart(GATE, turns)
    assert decision.outcome == outcome and said in decision.reason
    assert (decision.bound, decision.interval_over) == (0.01, "seeds")


def test_the_goodhart_rule_needs_both_raters():
    blind = Turn([UNMEASURED], seeds(0.0), 0.7, 0.85)
    decision = gates.goodhart(GATE, [DRIFTS, blind])
    assert decision.outcome == "inconclusive" and "self/score" in decision.reason
    assert "anchor/score" in gates.goodhart(GATE, [Turn(seeds(0.1), [UNMEASURED], 0, 1)]).reason
    # A generation that was not measured breaks a run.
    assert gates.goodhart(GATE, [DRIFTS, blind, DRIFTS]).outcome == "pass"


def test_the_worst_outcome_counts():
    good = gates.rater(GATE, seeds(0.9))
    bad = gates.rater(GATE, seeds(0.5))
    unsure = gates.rater(GATE, [UNMEASURED])
    assert gates.verdict([good, good]) == "pass"
    assert gates.verdict([good, unsure]) == "inconclusive"
    assert gates.verdict([unsure, bad, good]) == "fail"


def test_a_margin_that_can_be_decided_needs_no_warning():
    assert power_warning(Gate(), 3, 420) is None
    assert power_warning(Gate(margin=0.005), 3, 420, Spread(0.0005, 0.01)) is None


@pytest.mark.parametrize(
    ("gate", "held", "said"),
    [
        (Gate(margin=0.005), (3, 420), ("power 0.24", "under 0.02 needs that", "8 seeds")),
        (Gate(margin=0.02), (3, 10), ("power 0.72", "4 seeds or 16 items of each")),
        (Gate(margin=0.002), (1, 420), ("1 seed of 420", "636 items")),
        (Gate(margin=0.001, expected_seed_sd=1.0), (3, 420), ("Give a wider margin",)),
    ],
)
def test_a_margin_out_of_reach_is_warned_about_with_the_n_that_could(gate, held, said):
    warning = power_warning(gate, *held)
    assert all(part in warning for part in ("gate.margin", *said)), warning


def test_planted_losses_and_drifts_are_found():
    for finding in planted_truths.findings(simulations=200, worlds=0, seed=0):
        assert finding.holds, finding.line()


def test_a_collapsing_corpus_is_flagged_before_neutral_text_costs_more():
    ahead, alarms = planted_truths.collapse_truths(3, [planted_collapse.resampled])
    assert ahead.holds and ahead.value >= 1, ahead.line()
    assert alarms.holds, alarms.line()


@pytest.mark.slow
def test_every_planted_truth_is_found_a_thousand_times_over():
    found = list(planted_truths.findings(simulations=1_000, worlds=15, seed=0))
    assert [finding.line() for finding in found if not finding.holds] == []


def test_items_come_back_in_order_by_metric_and_variant(tmp_path):
    path = tmp_path / "items.parquet"
    one = mean_measure("t", "a", [3.0, 1.0], [1.0, 2.0])
    other = mean_measure("t", "a", [9.0], variant="corpus_stage")
    write_items(path, [one, other, mean_measure("t", "none", [])])
    assert read_items(path, "a") == ([3.0, 1.0], [1.0, 2.0])
    assert read_items(path, "a", "corpus_stage") == ([9.0], [1.0])
    assert read_items(path, "none") == ([], [])


def test_what_could_not_be_scored_is_counted_and_is_no_score():
    measure = auc_measure("t", "auc", [0.9, None, 0.8], [0.1, 0.2])
    assert (measure.row.value, measure.row.n, measure.row.unscored) == (1.0, 4, 1)
    assert auc_measure("t", "auc", [None, 0.8], [0.1, 0.2]).row.value is None
