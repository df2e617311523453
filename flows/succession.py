"""Model n+1: trained on the mix of its arm's corpora."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from configs.arms import Arm as ArmName
from configs.identity import stage_settings
from db.models import Generation, Stage
from db.records import (
    StageCosts,
    add_checkpoint,
    derive,
    ensure_generation,
    find_checkpoint,
    find_corpus_version,
    set_generation,
)
from flows.context import ArmState, RunContext, TrainedOn
from flows.evaluating import census_of_training
from flows.remotely import remotely
from flows.stages import Finished, Recipe, numerics_class, perform
from workers.checkpoints import CheckpointRef, open_checkpoint
from workers.mixing import MixSpec
from workers.problems import InputProblem
from workers.skills import SkillsSet


def generation_0(context: RunContext, arm: ArmState, row: Generation) -> CheckpointRef:
    """Model 0: the configured one, that one after the skills set, or one that is trained here."""
    settings = context.experiment
    assert context.admitted is not None, "the model is admitted before generation 0 is made"
    if settings.training.generation_0 == "trained":
        return _successor(context, arm, row, 0, frozenset())
    if settings.skills.post_train_base:
        taught = context.skills
        return _trained(context, _train(context, row, context.admitted, None, taught, arm.seed))
    return context.admitted


def train_model(context: RunContext, arm: ArmState, index: int, excluded: frozenset[str]) -> None:
    """Train an arm's model of generation `index`, and record what it was trained on."""
    with context.write() as session:
        row = ensure_generation(session, arm.row, index)
    arm.checkpoints.append(_successor(context, arm, row, index, excluded))
    with context.write() as session:
        found = find_checkpoint(session, arm.checkpoints[-1].id)
        set_generation(session, row, checkpoint_id=found.id if found else None)


def _successor(
    context: RunContext, arm: ArmState, row: Generation, index: int, excluded: frozenset[str]
) -> CheckpointRef:
    """Train a model on a mix of the arm's corpora, and note what of it arms must agree in."""
    mix = _mix_spec(context, arm, index, excluded)
    # What inversion made carries its mark wherever it goes; generation 0 is nobody's doing.
    mark = {"inverted": True} if arm.name is ArmName.INVERT and index else {}
    done = _train(context, row, mix.checkpoint, mix, _taught(context, arm, index), arm.seed, mark)
    seen = done.meta["mix"]
    arm.trained[index] = TrainedOn(
        arm.seed, seen["tokens"], done.meta["tokens_seen"], done.meta["steps"]
    )
    with context.write() as session:
        set_generation(
            session,
            row,
            training_documents=seen["documents"],
            training_tokens=seen["tokens"],
            unique_tokens=seen["unique_tokens"],
            epochs=seen["epochs"],
        )
    census_of_training(context, arm, row, mix, done)
    return _trained(context, done)


def _taught(context: RunContext, arm: ArmState, index: int) -> SkillsSet | None:
    """The skills set that model `index` is post-trained on, if any."""
    source = context.experiment.skills.source
    if source == "once" and index:
        return None
    # Nobody came before generation 0: it learns from the set's author.
    return arm.skills[index] if source == "self" and index else context.skills


def _mix_spec(context: RunContext, arm: ArmState, index: int, excluded: frozenset[str]) -> MixSpec:
    """What model `index` is trained on, and which model it starts from or takes its shape from."""
    settings = context.experiment
    training, mix = settings.training, settings.mix
    assert context.admitted is not None, "the model is admitted before any is trained"
    start = {
        "parent": arm.checkpoints[-1] if arm.checkpoints else context.admitted,
        "base": arm.checkpoints[0] if arm.checkpoints else context.admitted,
        "scratch": context.admitted,
    }[training.init]
    accumulates = mix.mode != "replace" and index > 0
    return MixSpec(
        corpus=arm.corpora[-1],
        corpus0=arm.corpora[0],
        earlier=tuple(arm.corpora[-2:0:-1]) if accumulates else (),
        excluded=excluded,
        tokens=training.corpus.tokens * (index + 1 if mix.mode == "accumulate" else 1),
        real_floor=max(mix.real_floor, 1 / (index + 1)) if accumulates else mix.real_floor,
        window=training.window,
        seed=arm.seed,
        checkpoint=start,
        prompt_file=context.prompt_file,
        principles=context.principles,
        out="",
    )


def _train(
    context: RunContext,
    row: Generation,
    parent: CheckpointRef,
    mix: MixSpec | None,
    skills: SkillsSet | None,
    seed: int,
    mark: dict[str, Any] | None = None,
) -> Finished:
    """Train a successor of `parent` on the mix, if there is one, and then on a skills set.

    Its row is given the mark.
    """
    settings = context.experiment
    real = mix is not None and mix.real_floor > 0
    # A generation 0 that is trained here begins from random weights, whatever its successors do.
    first = mix is not None and mix.checkpoint == context.admitted
    trains_first = settings.training.generation_0 == "trained"
    reinitialise = mix is not None and (
        settings.training.init == "scratch" or (first and trains_first)
    )
    inputs: dict[str, Any] = {
        "checkpoint": parent.id,
        "corpus": mix.corpus.id if mix else None,
        "corpus0": mix.corpus0.id if mix and real else None,
        "earlier": [each.id for each in mix.earlier] if mix else [],
        "excluded": sorted(mix.excluded) if mix else [],
        "skills": skills.digest if skills else None,
        "principles": context.principles.digest,
        "prompts": context.prompt_file.digest,
        "seed": seed,
    }
    if mix is not None and settings.mix.mode != "replace":
        # They follow from the generation, which is no setting.
        inputs["shares"] = {pool.name: pool.tokens for pool in mix.pools}
    if reinitialise and settings.training.init != "scratch":
        inputs["reinitialise"] = True
    recipe = Recipe("train", stage_settings(settings, "train"), inputs)
    out = context.stage_folder(recipe.id)

    def work(stage: Stage) -> Finished:
        # Imported here: a run that reuses everything does not wait for torch.
        from workers.training import TrainSpec, train

        spec = TrainSpec(
            parent=parent,
            reinitialise=reinitialise,
            mix=replace(mix, out=str(out / "mix")) if mix else None,
            skills=skills,
            prompt_file=context.prompt_file,
            principles=context.principles,
            training=settings.training,
            seed=seed,
            home=str(context.home),
            store=context.store,
            wait_s=settings.engine.wait_s,
        )
        made = remotely(context, train, spec, workers=settings.training.workers)
        # What it was before post-training: generation 0 was the configured model itself.
        before = made.corpus_stage if mix else parent
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
        context.reporter.step(f"  model {made.checkpoint.id[:12]}: {said}")
        spent = StageCosts(seconds=made.seconds, documents=made.mix.documents if made.mix else None)
        # Asked before the write: on a cluster the nodes say it, and a run that joins them writes.
        numerics = _numerics_of_training(context)
        record = partial(_record_checkpoints, context, recipe, made, numerics, mark)
        return Finished(made.checkpoint.id, made.checkpoint.uri, meta, spent, record)

    def whole(output: Finished) -> bool:
        between = output.meta["corpus_stage"]
        uris = (output.uri, *(between[1:] if between else ()))
        return all(_is_whole(context, context.located(uri)) for uri in uris)

    return perform(context, row, recipe, work, whole, lambda: _numerics_of_training(context))


def _numerics_of_training(context: RunContext) -> dict[str, Any]:
    settings = context.experiment.training
    return numerics_class(context, settings.threads, settings.workers)


def _trained(context: RunContext, done: Finished) -> CheckpointRef:
    identity, uri = done.meta["checkpoint"]
    return CheckpointRef(identity, context.located(uri))


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
    context: RunContext,
    recipe: Recipe,
    made: Any,
    numerics: dict[str, Any],
    mark: dict[str, Any] | None,
    session: Session,
) -> None:
    """Record the trained model and, where its training had two stages, the one between them."""
    parent = find_checkpoint(session, recipe.inputs["checkpoint"])
    mixed = (recipe.inputs["corpus0"], *recipe.inputs["earlier"])
    read = (("trained_on", recipe.inputs["corpus"]), *(("mixed_from", each) for each in mixed))
    for each in (made.corpus_stage, made.checkpoint):
        if each is None:
            continue
        row = add_checkpoint(
            session,
            each.id,
            uri=each.uri,
            parent=parent,
            recipe_id=recipe.id,
            tokens_seen=made.tokens_seen if each is made.checkpoint else None,
            numerics_class=numerics,
            run=context.run,
            meta=mark,
        )
        for relation, digest in read:
            corpus = find_corpus_version(session, digest) if digest else None
            if corpus is not None:
                derive(session, row, relation, corpus)
