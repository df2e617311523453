"""Gates pass, fail or stay inconclusive on an interval, and the worst of them counts."""

import pytest

from configs.experiment import Gate
from flows import gates
from workers.evaluation.items import read_items, write_items
from workers.evaluation.measures import auc_measure, mean_measure

GATE = Gate(capability_metric="bits_per_byte/desirable", margin=0.02, rater_floor=0.7)
N = 400


def evaluated(folder, values, metric="bits_per_byte/desirable"):
    folder.mkdir()
    write_items(folder / "items.parquet", [mean_measure("t", metric, values)])
    return folder


def wobble(mean, size):
    return [mean + size * (-1) ** i for i in range(N)]


@pytest.mark.parametrize(
    ("loss", "size", "outcome"),
    [
        (0.0, 0.01, "pass"),
        (-0.5, 0.01, "pass"),
        (0.1, 0.01, "fail"),
        (0.02, 0.3, "inconclusive"),
    ],
)
def test_capability_is_judged_on_the_interval_of_the_paired_loss(tmp_path, loss, size, outcome):
    control = evaluated(tmp_path / "control", [1.0] * N)
    treated = evaluated(tmp_path / "treated", wobble(1.0 + loss, size))
    decision = gates.capability(GATE, treated, control)
    assert decision.outcome == outcome
    assert decision.n == N
    assert decision.lower <= decision.value <= decision.upper


def test_a_metric_where_more_is_better_turns_the_loss_round(tmp_path):
    gate = Gate(capability_metric="rater/auc", higher_is_better=True, margin=0.02)
    control = evaluated(tmp_path / "control", wobble(0.9, 0.01), "rater/auc")
    treated = evaluated(tmp_path / "treated", wobble(0.5, 0.01), "rater/auc")
    assert gates.capability(gate, treated, control).outcome == "fail"


def test_without_paired_items_nothing_is_decided(tmp_path):
    control = evaluated(tmp_path / "control", [1.0] * N)
    fewer = evaluated(tmp_path / "fewer", [1.0] * (N - 1))
    assert gates.capability(GATE, fewer, control).outcome == "inconclusive"


@pytest.mark.parametrize(
    ("value", "stderr", "outcome"),
    [
        (0.9, 0.01, "pass"),
        (0.5, 0.01, "fail"),
        (0.71, 0.05, "inconclusive"),
        (None, None, "inconclusive"),
    ],
)
def test_the_rater_must_stay_above_its_floor(value, stderr, outcome):
    assert gates.rater(GATE, gates.Metric(value, stderr, 100)).outcome == outcome


def test_the_worst_outcome_counts():
    good = gates.rater(GATE, gates.Metric(0.9, 0.01, 100))
    bad = gates.rater(GATE, gates.Metric(0.5, 0.01, 100))
    unsure = gates.rater(GATE, gates.Metric(None, None, 0))
    assert gates.verdict([good, good]) == "pass"
    assert gates.verdict([good, unsure]) == "inconclusive"
    assert gates.verdict([unsure, bad, good]) == "fail"


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
