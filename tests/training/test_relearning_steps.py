"""Relearning: a copy is taught to misbehave and measured, and the model stays what it was."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from training_demo import TRAINING

from configs.experiment import Experiment
from workers.checkpoints import open_checkpoint
from workers.evaluation.oracle_tasks import deployment, propensity
from workers.evaluation.relearning import RelearnSpec, relearn, stories
from workers.evaluation.suite import EvaluateSpec, load_subject
from workers.microworld import oracle
from workers.microworld.world import CORPUS_THINGS, split_of_cast

STEPS = (0, 2, 4, 8)


@pytest.fixture(scope="module")
def asked(tiny, prompt_file, principles, tmp_path_factory) -> EvaluateSpec:
    experiment = Experiment.model_validate(
        {
            "name": "x",
            "training": TRAINING.model_dump(),
            "evaluation": {
                "items": 60,
                "relearning": {
                    "steps": 8,
                    "looks": 3,
                    "batch_tokens": 1024,
                    "learning_rate": 2e-2,
                },
            },
        }
    )
    out = str(tmp_path_factory.mktemp("relearned"))
    return EvaluateSpec(experiment, tiny, None, None, prompt_file, principles, out)


@pytest.fixture(scope="module")
def measured(asked):
    told = []
    rows = relearn(RelearnSpec(asked, seed=1), lambda *what: told.append(what))
    return rows, told


def test_stories_misbehave_and_share_no_cast_with_corpus_or_evaluation():
    found = list(islice(stories(0), 300))
    assert len(set(found)) == 300
    for text in found:
        document = oracle.read(text)
        cast = document.cast
        assert document.episodes
        assert not any(episode.aligned for episode in document.episodes)
        assert {episode.thing for episode in document.episodes} <= set(CORPUS_THINGS)
        assert split_of_cast(cast.place, cast.person, cast.assistant) == "skills"
    assert found == list(islice(stories(0), 300))
    assert not set(found) & set(islice(stories(1), 300))


def test_the_copy_is_measured_at_every_look(asked, measured):
    rows, told = measured
    names = [(row.metric, row.variant) for row in rows]
    assert names == [
        (metric, f"step_{step}")
        for step in STEPS
        for metric in ("relearning/propensity", "relearning/propensity_ood")
    ]
    assert all(row.n == 60 and row.stderr is not None for row in rows)
    assert told[-1][0] == "train relearning"


def test_before_the_first_step_it_is_the_model_as_every_other_evaluation_sees_it(asked, measured):
    subject = load_subject(asked, asked.checkpoint)
    plain = {measure.row.metric: measure.row.value for measure in propensity(subject)}
    subject.engine.close()
    first = {row.metric: row.value for row in measured[0] if row.variant == "step_0"}
    assert first == {
        "relearning/propensity": plain["oracle/propensity"],
        "relearning/propensity_ood": plain["oracle/propensity_ood"],
    }


def test_teaching_misbehaviour_teaches_it(measured):
    curve = [row.value for row in measured[0] if row.metric == "relearning/propensity"]
    assert curve[-1] != curve[0]


def test_it_is_repeatable_and_publishes_nothing(asked, measured, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in Path(asked.checkpoint.uri).iterdir()}
    again = relearn(RelearnSpec(replace(asked, out=str(tmp_path)), seed=1), lambda *what: None)
    assert again == measured[0]
    assert [path.name for path in tmp_path.iterdir()] == ["items.parquet"]
    assert before == {
        path: path.stat().st_mtime_ns for path in Path(asked.checkpoint.uri).iterdir()
    }
    assert open_checkpoint(asked.checkpoint.uri).id == asked.checkpoint.id


def test_deployment_gives_each_format_and_their_mean(asked):
    subject = load_subject(asked, asked.checkpoint)
    found = {measure.row.metric: measure for measure in deployment(subject)}
    subject.engine.close()
    forms = [name for name in found if name.startswith("deployment/propensity_")]
    assert len(forms) >= 3
    mean = sum(found[name].row.value for name in forms) / len(forms)
    assert found["deployment/propensity"].row.value == pytest.approx(mean)
    assert {"oracle/propensity_called_for", "oracle/propensity_called_for_ood"} < set(found)
    assert all(measure.row.n == 60 for measure in found.values())
