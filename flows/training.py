"""Training as a stage: done or taken from the record, with every model that it leaves."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from configs.training import Training
from db.models import Generation, Stage
from db.records import (
    StageCosts,
    add_checkpoint,
    derive,
    find_checkpoint,
    find_corpus_version,
)
from flows.context import RunContext
from flows.remotely import remotely
from flows.stages import Finished, Recipe, numerics_class, perform
from workers.checkpoints import CheckpointRef, open_checkpoint
from workers.mix_specs import MixSpec
from workers.problems import InputProblem
from workers.skills import SkillsSet


@dataclass(frozen=True)
class TrainingPlan:
    """What one training reads and how; its recipe says the same."""

    recipe: Recipe
    parent: CheckpointRef
    training: Training
    seed: int
    mix: MixSpec | None
    skills: SkillsSet | None = None
    reinitialise: bool = False
    first: str = "corpus"
    """Name of its first stage, whose settings are those of `training.corpus`."""
    mark: dict[str, Any] | None = None
    """What the rows of its models are given."""


def train_stage(context: RunContext, row: Generation, plan: TrainingPlan) -> Finished:
    """Train a model, or take the one on record."""
    out = context.stage_folder(plan.recipe.id)

    def work(stage: Stage) -> Finished:
        # Imported here: a run that reuses everything does not wait for torch.
        from workers.training import TrainSpec, train

        spec = TrainSpec(
            parent=plan.parent,
            reinitialise=plan.reinitialise,
            mix=replace(plan.mix, out=str(out / "mix")) if plan.mix else None,
            skills=plan.skills,
            prompt_file=context.prompt_file,
            principles=context.principles,
            training=plan.training,
            seed=plan.seed,
            home=str(context.home),
            store=context.store,
            wait_s=context.experiment.engine.wait_s,
            first=plan.first,
        )
        made = remotely(context, train, spec, workers=plan.training.workers)
        return _finished(context, plan, made)

    def whole(output: Finished) -> bool:
        between = output.meta["corpus_stage"]
        uris = (output.uri, *(between[1:] if between else ()))
        return all(_is_whole(context, context.located(uri)) for uri in uris)

    return perform(context, row, plan.recipe, work, whole, lambda: _numerics(context))


def trained(context: RunContext, done: Finished) -> CheckpointRef:
    """The model that a training left."""
    identity, uri = done.meta["checkpoint"]
    return CheckpointRef(identity, context.located(uri))


def _finished(context: RunContext, plan: TrainingPlan, made: Any) -> Finished:
    # What it was before post-training: generation 0 was the configured model itself.
    before = made.corpus_stage if plan.mix else plan.parent
    meta = {
        "checkpoint": [made.checkpoint.id, made.checkpoint.uri],
        "corpus_stage": before and [before.id, before.uri],
        "mix": asdict(made.mix) if made.mix else None,
        "losses": made.losses,
        "tokens_seen": made.tokens_seen,
        "steps": made.steps,
        "tokens_per_s": made.tokens_per_s,
    }
    said = f"{made.tokens_seen:,} tokens, {made.tokens_per_s:,.0f}/s"
    name = "model" if plan.first == "corpus" else f"model after {plan.first.replace('_', ' ')}"
    context.reporter.step(f"  {name} {made.checkpoint.id[:12]}: {said}")
    spent = StageCosts(seconds=made.seconds, documents=made.mix.documents if made.mix else None)
    # Asked before the write: on a cluster the nodes say it, and a run that joins them writes.
    record = partial(_record_checkpoints, context, plan, made, _numerics(context))
    return Finished(made.checkpoint.id, made.checkpoint.uri, meta, spent, record)


def _numerics(context: RunContext) -> dict[str, Any]:
    settings = context.experiment.training
    return numerics_class(context, settings.threads, settings.workers)


def _is_whole(context: RunContext, uri: str) -> bool:
    """Whether a recorded checkpoint still stands, unaltered where it is on this node."""
    if not context.store.folder_stands(uri):
        return False
    try:
        if Path(uri).exists():
            open_checkpoint(uri)
    except InputProblem:
        return False
    return True


def _record_checkpoints(
    context: RunContext, plan: TrainingPlan, made: Any, numerics: dict[str, Any], session: Session
) -> None:
    """Record the trained model and, where its training had two stages, the one between them."""
    inputs = plan.recipe.inputs
    parent = find_checkpoint(session, inputs["checkpoint"])
    mixed = (inputs.get("corpus0"), *inputs.get("earlier", ()))
    read = (("trained_on", inputs["corpus"]), *(("mixed_from", each) for each in mixed))
    for each in (made.corpus_stage, made.checkpoint):
        if each is None:
            continue
        row = add_checkpoint(
            session,
            each.id,
            uri=each.uri,
            parent=parent,
            recipe_id=plan.recipe.id,
            tokens_seen=made.tokens_seen if each is made.checkpoint else None,
            numerics_class=numerics,
            run=context.run,
            meta=plan.mark,
        )
        for relation, digest in read:
            corpus = find_corpus_version(session, digest) if digest else None
            if corpus is not None:
                derive(session, row, relation, corpus)
