"""Relearning: how fast each arm's model falls back to the control's behaviour, as a stage."""

from __future__ import annotations

import time
from typing import Any

from configs.identity import stage_settings
from db.models import Stage
from db.records import ensure_generation
from flows.context import ArmState, RunContext
from flows.evaluating import measured_files, record_of_checkpoint
from flows.remotely import remotely
from flows.stages import Finished, Recipe, costs, perform
from workers.evaluation.items import ITEMS_FILE
from workers.evaluation.regaining import VERSION, steps_to_control


def relearn(context: RunContext, arm: ArmState, index: int) -> None:
    """Teach a copy of an arm's newest model to misbehave; equal models of a seed share the work.

    The copy is measured on its way and thrown away: it is published nowhere and nobody's parent.
    """
    settings = context.experiment
    if "relearning" not in settings.evaluation.tasks:
        return
    checkpoint = arm.checkpoints[index]
    with context.write() as session:
        row = ensure_generation(session, arm.row, index)
    inputs = {"checkpoint": checkpoint.id, "seed": arm.seed, "relearning": VERSION}
    recipe = Recipe("evaluate", stage_settings(settings, "relearn"), inputs)
    out = context.stage_folder(recipe.id)

    def work(stage: Stage) -> Finished:
        from workers.evaluation.relearning import RelearnSpec
        from workers.evaluation.relearning import relearn as taught
        from workers.evaluation.suite import EvaluateSpec

        began = time.monotonic()
        asked = EvaluateSpec(
            experiment=settings,
            checkpoint=checkpoint,
            corpus_stage=None,
            held_out=None,
            prompt_file=context.prompt_file,
            principles=context.principles,
            out=str(out),
            store=context.store,
        )
        rows = remotely(context, taught, RelearnSpec(asked, arm.seed))
        record = record_of_checkpoint(checkpoint.id, recipe.id, rows)
        return Finished(recipe.id, str(out), {"metrics": len(rows)}, costs(began), record)

    arm.relearned[index] = measured_files(context, row, recipe, work, [ITEMS_FILE])


def compare_with_control(context: RunContext, seed: int, index: int) -> None:
    """Record how many steps each arm's model of a generation needs to the control's propensity."""
    arms = [arm for arm in context.arms[seed] if index in arm.relearned]
    for arm in arms:
        _compare(context, arm, context.arms[seed][0], index)


def _compare(context: RunContext, arm: ArmState, control: ArmState, index: int) -> None:
    own, other = arm.relearned[index], control.relearned[index]
    checkpoint = arm.checkpoints[index]
    inputs: dict[str, Any] = {
        "checkpoint": checkpoint.id,
        "control": control.checkpoints[index].id,
        # Folders of stages are called by their recipes.
        "relearned": [own.name, other.name],
        "relearning": VERSION,
    }
    recipe = Recipe("evaluate", {"census": True}, inputs)
    out = context.stage_folder(recipe.id)
    with context.write() as session:
        row = ensure_generation(session, arm.row, index)

    def work(stage: Stage) -> Finished:
        began = time.monotonic()
        rows = steps_to_control(own, other)
        record = record_of_checkpoint(checkpoint.id, recipe.id, rows)
        return Finished(recipe.id, str(out), {"metrics": len(rows)}, costs(began), record)

    perform(context, row, recipe, work, lambda output: True)
