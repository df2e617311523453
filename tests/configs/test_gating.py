"""Gates are refused where they would steer by what judges, or hold a rater against itself."""

import pytest
from pydantic import ValidationError

from configs.experiment import Experiment
from configs.fingerprint import canonical_json
from configs.gating import Gate


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ({"capability_metric": "oracle/facts_accuracy"}, "gate.capability_metric: the oracle"),
        ({"rater_metric": "oracle/rater_auc"}, "gate.rater_metric: the oracle"),
        ({"anchor_metric": "oracle/propensity"}, "gate.anchor_metric: the oracle"),
        ({"anchor_metric": "deployment/propensity"}, "gate.anchor_metric: the oracle"),
        ({"anchor_metric": "relearning/propensity"}, "gate.anchor_metric: the oracle"),
        (
            {"anchor_metric": "anchor/score", "self_rating_metric": "oracle/rater_auc"},
            "gate.self_rating_metric: the oracle",
        ),
        (
            {"collapse_bounds": {"oracle/misaligned_share": (-0.1, 0.1)}},
            "gate.collapse_bounds.oracle/misaligned_share: the oracle",
        ),
    ],
)
def test_no_gate_reads_the_oracle(gate, said):
    with pytest.raises(ValidationError, match=said):
        Experiment.model_validate({"name": "x", "gate": gate})


def test_every_field_that_names_a_metric_is_known_to_name_one():
    fields = {name for name in Gate.model_fields if name.endswith("_metric")}
    gate = Gate(anchor_metric="anchor/score", self_rating_metric="self/score")
    bounds = {f"collapse_bounds.{metric}" for metric in gate.collapse_bounds}
    assert set(gate.metrics()) == fields | bounds
    assert "anchor_metric" not in Gate().metrics()


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ({"self_rating_metric": "self/score"}, "name one in gate.anchor_metric"),
        ({"anchor_metric": "rater/auc"}, "rater_metric too"),
        ({"anchor_metric": "a", "self_rating_metric": "a"}, "self_rating_metric too"),
        ({"collapse_bounds": {"c": (0.1, 0.2)}}, r"write \[-0.1, 0.1\]"),
        ({"collapse_bounds": {"c": (-0.1, -0.05)}}, r"write \[-0.1, 0.1\]"),
        ({"collapse_bounds": {"c": 0.1}}, "collapse_bounds.c"),
        ({"margin": 0.0}, "margin"),
    ],
)
def test_a_gate_that_cannot_work_is_refused_by_name(gate, said):
    with pytest.raises(ValidationError, match=said):
        Gate.model_validate(gate)


def test_a_gate_is_part_of_an_identity():
    one = canonical_json(Gate())
    assert one == canonical_json(Gate.model_validate(Gate().model_dump(mode="json")))
    assert one != canonical_json(Gate(collapse_bounds={"collapse/corpus/distinct_2": (-0.1, 0.1)}))
