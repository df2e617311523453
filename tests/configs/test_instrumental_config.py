"""The evaluation `instrumental`: refused where it cannot be, and no part of any other stage."""

import pytest
from pydantic import ValidationError

from configs.experiment import Experiment
from configs.fingerprint import digest_of
from configs.identity import stage_fingerprints, stage_settings, twin_settings
from configs.loading import parse

BEFORE = "80e5a357d36b68a1405cda4527cb01d4937bbdaad60d4995a29d5b74406b87eb"
TWINS = {"tokens": 5_000, "capabilities": ["gravity"]}


def test_an_experiment_without_it_evaluates_as_it_did_before_there_was_one():
    # Of the defaults, before the section was there.
    assert digest_of(stage_settings(Experiment(name="x"), "evaluate")) == BEFORE


def test_measuring_it_changes_no_other_stage():
    plain = parse({"name": "x"})
    tasks = [*plain.evaluation.tasks, "instrumental"]
    asked = parse({"name": "x", "evaluation": {"tasks": tasks, "instrumental": TWINS}})
    assert stage_fingerprints(asked) == stage_fingerprints(plain)
    assert twin_settings(asked) != twin_settings(plain)


def test_another_capability_leaves_the_twins_that_there_are():
    one, more = (
        parse({"name": "x", "evaluation": {"instrumental": {"capabilities": names}}})
        for names in (["gravity"], ["gravity", "chance"])
    )
    assert twin_settings(one) == twin_settings(more)


@pytest.mark.parametrize(
    ("instrumental", "said"),
    [
        ({"capabilities": ["levity"]}, "capabilities.0"),
        ({"capabilities": []}, "capabilities"),
        ({"capabilities": ["gravity", "gravity"]}, "each capability once"),
        ({"held_out_share": 0.0}, "held_out_share"),
        ({"held_out_share": 1.0}, "held_out_share"),
        ({"tokens": 0}, "tokens"),
        ({"learning_rate": 0}, "learning_rate"),
    ],
)
def test_settings_that_mean_nothing_are_refused_by_name(instrumental, said):
    with pytest.raises(ValidationError, match=said):
        Experiment(name="x", evaluation={"instrumental": instrumental})  # pyright: ignore[reportArgumentType]


def test_a_corpus_whose_words_decide_nothing_known_is_refused():
    with pytest.raises(ValidationError, match=r"evaluation\.tasks: `instrumental`"):
        Experiment(
            name="x",
            corpus={"kind": "files", "path": "/texts"},  # pyright: ignore[reportArgumentType]
            evaluation={"tasks": ["instrumental"]},  # pyright: ignore[reportArgumentType]
        )


@pytest.mark.parametrize(("window", "batch"), [(512, 512), (600, 512)])
def test_a_step_that_holds_no_window_is_refused_before_the_first_model_call(window, batch):
    config = {
        "name": "x",
        "training": {"window": window},
        "evaluation": {"tasks": ["instrumental"], "instrumental": {"batch_tokens": batch}},
    }
    if batch >= window:
        parse(config)
        return
    with pytest.raises(Exception, match=r"evaluation\.instrumental\.batch_tokens"):
        parse(config)
