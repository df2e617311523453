"""Predictions stand with the time at which they were made, and a late one is known as late."""

from __future__ import annotations

import pytest
from db_demo import digest
from sqlalchemy.orm import Session

from configs.predictions import Prediction
from db.records import (
    EvaluationRow,
    add_checkpoint,
    add_corpus_version,
    ensure_arm,
    ensure_generation,
    finish_stage,
    predictions_of,
    record_evaluations,
    record_predictions,
    register_experiment,
    set_generation,
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
    ("arm", "index", "metric", "late"),
    [
        ("revise", 1, "oracle/propensity", True),
        ("revise", 1, "oracle/propensity@persistence", False),
        ("revise", 1, "oracle/facts_accuracy", False),
        ("revise", 0, "oracle/propensity", False),
        ("control", 1, "oracle/propensity", False),
    ],
)
def test_what_another_experiment_measured_makes_late_what_it_tells_and_nothing_else(
    session: Session, arm: str, index: int, metric: str, late: bool
) -> None:
    """The first points of a sweep run before the predictions of the later ones are recorded."""
    experiment = register_experiment(session, "told", {}, {})
    generation = ensure_generation(session, ensure_arm(session, experiment, arm, 0), index)
    model = add_checkpoint(session, digest("model"), uri="file:///model")
    corpus = add_corpus_version(session, digest("c"), uri="file:///c", shards=1, documents=1)
    set_generation(session, generation, corpus_version_id=corpus.id, checkpoint_id=model.id)
    measured = start_stage(session, "m" * 64, stage="evaluate", algorithm_version="1", params={})
    finish_stage(session, measured, output_digest="d" * 64, output_uri="somewhere")
    use_stage(session, generation, measured, reused=True)
    name, _, variant = metric.partition("@")
    found = EvaluationRow(task="oracle", metric=name, variant=variant, value=0.1, n=9)
    record_evaluations(session, model, [found], recipe_id=measured.recipe_id)
    rated = start_stage(session, "e" * 64, stage="rate", algorithm_version="1", params={})
    finish_stage(session, rated, output_digest="d" * 64, output_uri="somewhere")
    use_stage(session, generation, rated, reused=True)
    record_predictions(session, experiment, [FALLS])
    assert [each.late for each in predictions_of(session, experiment)] == [late]
