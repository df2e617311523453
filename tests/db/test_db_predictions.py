"""Predictions stand with the time at which they were made, and a late one is known as late."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from configs.predictions import Prediction
from db.records import (
    ensure_arm,
    ensure_generation,
    finish_stage,
    predictions_of,
    record_predictions,
    register_experiment,
    start_stage,
    use_stage,
)

FALLS = Prediction.model_validate(
    {"metric": "oracle/propensity", "direction": "lower", "size": 0.1, "by": 3}
)
HOLDS = FALLS.model_copy(update={"metric": "oracle/facts_accuracy", "direction": "within"})


def test_a_prediction_keeps_its_time_however_often_it_is_recorded(session: Session) -> None:
    experiment = register_experiment(session, "told", {}, {})
    (first,) = record_predictions(session, experiment, [FALLS])
    again = record_predictions(session, experiment, [FALLS, HOLDS])
    assert again[0].id == first.id
    assert again[0].recorded_at == first.recorded_at
    found = predictions_of(session, experiment)
    assert [(each.prediction.metric, each.late) for each in found] == [
        ("oracle/propensity", False),
        ("oracle/facts_accuracy", False),
    ]
    assert found[0].prediction.digest == FALLS.digest != HOLDS.digest


def test_what_is_said_after_a_model_was_asked_is_late(session: Session) -> None:
    experiment = register_experiment(session, "told", {}, {})
    record_predictions(session, experiment, [FALLS])
    generation = ensure_generation(session, ensure_arm(session, experiment, "revise", 0), 1)
    stage = start_stage(session, "r" * 64, stage="rate", algorithm_version="1", params={})
    finish_stage(session, stage, output_digest="d" * 64, output_uri="somewhere")
    use_stage(session, generation, stage, reused=False)
    record_predictions(session, experiment, [FALLS, HOLDS])
    assert [each.late for each in predictions_of(session, experiment)] == [False, True]


@pytest.mark.parametrize(
    ("arm", "index", "stage", "late"),
    [
        ("revise", 1, "evaluate", True),
        ("revise", 0, "evaluate", False),
        ("control", 1, "evaluate", False),
        ("revise", 1, "rate", False),
    ],
)
def test_what_another_experiment_did_tells_an_outcome_only_where_it_measured_the_arm(
    session: Session, arm: str, index: int, stage: str, late: bool
) -> None:
    """The first points of a sweep run before the predictions of the later ones are recorded."""
    done = start_stage(session, "e" * 64, stage=stage, algorithm_version="1", params={})
    finish_stage(session, done, output_digest="d" * 64, output_uri="somewhere")
    experiment = register_experiment(session, "told", {}, {})
    record_predictions(session, experiment, [FALLS])
    generation = ensure_generation(session, ensure_arm(session, experiment, arm, 0), index)
    use_stage(session, generation, done, reused=True)
    assert [each.late for each in predictions_of(session, experiment)] == [late]
