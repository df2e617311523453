"""Before the first model call, gates and predictions name what is measured, or are refused."""

import pytest
from pydantic import ValidationError

from configs.experiment import Experiment
from flows.checking import check_evaluations
from flows.gate_power import expected_items
from workers.problems import InputProblem

TASKS = ["bits_per_byte", "rater", "oracle", "collapse", "anchors"]


def experiment(gate=None, **more) -> Experiment:
    settings = {"evaluation": {"tasks": TASKS}, **more}
    return Experiment.model_validate({"name": "x", "gate": gate or {}, **settings})


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ({"capability_metric": "bits_per_bite"}, "gate.capability_metric.*'bits_per_byte'"),
        # An AUC has no items to compare with the control's.
        ({"capability_metric": "rater/auc", "rater_metric": "x"}, "gate.capability_metric"),
        ({"rater_metric": "rater/acu"}, "gate.rater_metric.*'rater/auc'"),
        ({"rater_metric": "bits_per_byte@corpus_stage"}, "gate.rater_metric"),
        ({"anchor_metric": "anchor/score"}, "gate.anchor_metric.*'anchor/corpus_score'"),
        (
            {"anchor_metric": "anchor/corpus_score", "self_rating_metric": "agreement/bias"},
            "gate.self_rating_metric.*'rater/self_score'",
        ),
        (
            {"collapse_bounds": {"collapse/corpus/distinct_3": (-0.1, 0.1)}},
            "gate.collapse_bounds.collapse/corpus/distinct_3.*'collapse/corpus/distinct_2'",
        ),
    ],
)
def test_a_gate_on_what_nothing_measures_is_refused_with_the_nearest(gate, said):
    with pytest.raises(InputProblem, match=said):
        check_evaluations(experiment(gate))


def predicting(metric: str, **more) -> Experiment:
    said = {"metric": metric, "direction": "lower", "size": 0.1, "by": 1}
    return experiment(predictions=[said], **more)


def test_a_prediction_of_what_nothing_measures_is_refused_with_the_nearest():
    with pytest.raises(InputProblem, match=r"predictions.0.metric.*'oracle/propensity_ood'"):
        check_evaluations(predicting("oracle/propensity_odd"))
    elsewhere = predicting("oracle/propensity", evaluation={"tasks": ["bits_per_byte"]})
    with pytest.raises(InputProblem, match="The evaluation `oracle` gives it"):
        check_evaluations(elsewhere)


@pytest.mark.parametrize(
    "metric",
    ["oracle/propensity_ood", "oracle/propensity@corpus_stage", "agreement/spearman",
     "audit/corpus_score", "collapse/corpus/tail_3grams"],
)  # fmt: skip
def test_a_prediction_of_what_is_measured_is_taken(metric):
    assert check_evaluations(predicting(metric)) == (None, [])


def test_a_default_that_nothing_measures_is_told_and_not_refused():
    files = {"kind": "files", "path": "x"}
    found = experiment(corpus=files, evaluation={"tasks": ["bits_per_byte"]})
    signature, said = check_evaluations(found)
    assert signature is None
    assert {each.partition(":")[0] for each in said} == {
        "gate.capability_metric",
        "gate.rater_metric",
    }


def test_a_margin_that_seeds_and_items_cannot_decide_is_told_with_what_could():
    (said,) = check_evaluations(experiment({"margin": 0.001}, seeds=[0, 1]))[1]
    assert said.startswith("gate.margin: 2 seeds of 420 items")
    assert "Give " in said


@pytest.mark.parametrize(
    ("metric", "items"),
    [("bits_per_byte/desirable", 420), ("bits_per_byte/undesirable", 180), ("bits_per_byte", 600)],
)
def test_the_items_of_a_slice_are_those_to_be_expected(metric, items):
    assert expected_items(experiment({"capability_metric": metric})) == items


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"gate": {"anchor_metric": "audit/corpus_score"}}, "gate.anchor_metric: the audit anchor"),
        (
            {"gate": {"anchor_metric": "anchor/corpus_score"}, "evaluation": {}},
            "gate.anchor_metric: nothing measures it; add `anchors`",
        ),
        (
            {"corpus": {"kind": "dialogues"}, "evaluation": {"tasks": ["anchors"]}},
            "evaluation.tasks: `anchors`",
        ),
    ],
)
def test_an_anchor_in_two_roles_or_without_texts_of_its_own_is_refused(settings, said):
    with pytest.raises(ValidationError, match=said):
        experiment(**settings)
