"""Relearning as a stage: on record beside the control's, done once, and no model of its own."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import pytest
from loop_tools import TINY
from sqlalchemy import func, select

from configs.arms import Arm
from configs.loading import load
from db.models import Checkpoint
from db.records import (
    add_checkpoint,
    ensure_arm,
    ensure_generation,
    evaluations_of,
    find_checkpoint,
)
from flows import relearning
from flows.beginnings import row_of
from flows.context import ArmState
from flows.opening import open_run
from workers.checkpoints import admit, load_model, load_tokenizer, publish_model

FEW = (
    "evaluation.tasks=[relearning]",
    "evaluation.items=40",
    "evaluation.relearning={steps: 2, looks: 2, batch_tokens: 256, learning_rate: 0.001}",
)


@pytest.fixture
def opened(home, migrated, monkeypatch):
    """Opens the tiny experiment; what is meant for Ray is done in this process."""
    monkeypatch.setenv("PALIMPSEST_HOME", str(home))
    monkeypatch.setattr(relearning, "remotely", lambda _, job, spec: job(spec, lambda *what: None))
    home.mkdir()
    shutil.copy(migrated, home)

    @contextmanager
    def run():
        with open_run(load(TINY, FEW), 1) as context:
            yield context

    return run


def two_arms(context) -> list[ArmState]:
    """A control with the shipped model, and an arm with one that is less sure of everything."""
    control = admit("microworld", None, context.home)
    model = load_model(control)
    model.lm_head.weight.data *= 0.5
    other = publish_model(model, load_tokenizer(control), context.home, {})
    arms = []
    with context.write() as session:
        for name, checkpoint in ((Arm.CONTROL, control), (Arm.REVISE, other)):
            row = ensure_arm(session, row_of(session, context), name.value, 0)
            add_checkpoint(session, checkpoint.id, uri=checkpoint.uri, run=context.run)
            ensure_generation(session, row, 0)
            arms.append(ArmState(name, 0, row, checkpoints=[checkpoint]))
    context.arms[0] = arms
    return arms


def numbers(context, arm) -> dict[tuple[str, str], tuple[float | None, int]]:
    with context.read() as session:
        rows = evaluations_of(session, find_checkpoint(session, arm.checkpoints[0].id))
    return {(row.metric, row.variant): (row.value, row.n) for row in rows}


def test_every_arm_is_held_against_the_control_once_and_leaves_no_model(opened):
    with opened() as context:
        for arm in (arms := two_arms(context)):
            relearning.relearn(context, arm, 0)
        relearning.compare_with_control(context, 0, 0)
        control, other = (numbers(context, arm) for arm in arms)
        for found in (control, other):
            assert {variant for _, variant in found} == {"", "step_0", "step_1", "step_2"}
            assert found["relearning/propensity", "step_2"][1] == 40
            assert ("relearning/steps_to_control_ood", "") in found
        assert control["relearning/steps_to_control", ""] == (0.0, 40)
        assert ("relearning/steps_to_control", "") in other
        with context.read() as session:
            assert session.scalar(select(func.count()).select_from(Checkpoint)) == 2
        assert (context.reporter.redone, context.reporter.reused) == (4, 0)
    with opened() as context:
        for arm in two_arms(context):
            relearning.relearn(context, arm, 0)
        relearning.compare_with_control(context, 0, 0)
        assert (context.reporter.redone, context.reporter.reused) == (0, 4)


def test_equal_models_are_taught_once(opened):
    with opened() as context:
        control, other = two_arms(context)
        other.checkpoints = control.checkpoints
        for arm in (control, other):
            relearning.relearn(context, arm, 0)
        assert (context.reporter.redone, context.reporter.reused) == (1, 1)
        assert control.relearned == other.relearned
