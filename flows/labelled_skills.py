"""The skills set of an arm's next model, labelled by its newest (`skills.source: self`)."""

from __future__ import annotations

from configs.identity import stage_settings
from db.models import Generation, SkillsFile
from db.records import add_artifact, derive, find_checkpoint, find_stage
from db.records.edges import note_outputs
from flows import steps
from flows.context import ArmState, RunContext
from flows.sharding import RunShards, sharded
from flows.stages import Finished, Recipe
from workers.exemplar_labels import LabelJob, labelled_set, shards_of
from workers.skills import SkillsSet


def label_skills(
    context: RunContext, arm: ArmState, index: int, generation: Generation, run: RunShards
) -> None:
    """Let an arm's newest model answer the exemplars of model `index`; else leave them as they are.

    Every arm's model teaches its own successor, the control's too, so that the control is a chain
    even where it begins from random weights each time.

    Raises:
        WorkProblem: the model gave no answer that could be taught.
    """
    settings, given = context.experiment, context.skills
    if settings.skills.source != "self" or given is None:
        return
    model = arm.checkpoints[-1]
    recipe = _recipe(context, model.id, given)
    folder = str(context.stage_folder(recipe.id))
    job = LabelJob(
        corpus=shards_of(given.exemplars, given.digest, folder),
        out=folder,
        spec=steps.asking_engine(context, model),
        prompt_file=context.prompt_file,
        principles=context.principles,
        min_answer_mass=settings.rating.min_answer_mass,
        store=context.store,
        exemplars=given.exemplars,
        threshold=settings.rating.threshold,
        max_tokens=settings.revising.max_tokens,
        acceptance=settings.acceptance,
        window=settings.training.window,
    )
    done = sharded(context, generation, recipe, job, run)
    shards = len(job.corpus.shards)
    made = labelled_set(steps.shards_here(context, done, shards), shards, done.digest, model.id)
    arm.skills[index] = made
    _record(context, done, given, made)
    answered, left = len(made.exemplars), sum(made.left_out.values())
    context.reporter.step(f"  skills {made.digest[:12]}: {answered:,} answered, {left:,} left out")


def _recipe(context: RunContext, model: str, given: SkillsSet) -> Recipe:
    return Recipe(
        "label",
        stage_settings(context.experiment, "label"),
        {
            "checkpoint": model,
            "skills": given.digest,
            "principles": context.principles.digest,
            "prompts": context.prompt_file.digest,
            "engine": context.engine_version(),
        },
    )


def _record(context: RunContext, done: Finished, given: SkillsSet, made: SkillsSet) -> None:
    """Put the set on record, with the set whose texts it has and the model that answered them."""
    known = {"exemplars": len(made.exemplars), "left_out": dict(made.left_out)}
    with context.write() as session:
        row = add_artifact(
            session, SkillsFile, made.digest, content=None, run=context.run, meta=known
        )
        first = {"exemplars": len(given.exemplars)}
        source = add_artifact(session, SkillsFile, given.digest, content=None, meta=first)
        derive(session, row, "derived_from", source)
        model = find_checkpoint(session, made.labelled_by or "")
        if model is not None:
            derive(session, row, "read_by", model)
        stage = find_stage(session, done.recipe_id)
        if stage is not None:
            note_outputs(session, stage)
