"""Persistence: a model after a short training on unrelated texts, which is measured once more."""

from __future__ import annotations

import time
from dataclasses import replace

from sqlalchemy.orm import Session

from configs.arms import Arm as ArmName
from configs.fingerprint import plain
from configs.stages import Persistence, Stage
from db.models import Generation
from db.models import Stage as StageRow
from db.records import record_sources
from flows.context import ArmState, RunContext
from flows.stages import Finished, Recipe, costs, perform
from flows.steps import add_corpus, corpus_here
from flows.training import TrainingPlan, train_stage, trained
from workers.checkpoints import CheckpointRef
from workers.corpora.store import CorpusRef, source_counts
from workers.mix_specs import MixSpec
from workers.persistence import texts_signature, write_texts


def persist(
    context: RunContext, arm: ArmState, row: Generation, index: int
) -> CheckpointRef | None:
    """Train an arm's model on unrelated texts; None unless `evaluation.persistence` says so.

    What it makes is evaluated and nothing else: no model starts from it.

    Raises:
        InputProblem: the texts cannot be used.
    """
    settings = context.experiment.evaluation.persistence
    if settings is None:
        return None
    texts = _texts(context, arm, row, settings)
    done = train_stage(context, row, _plan(context, arm, index, settings, texts))
    if index in arm.trained:
        arm.trained[index] = replace(
            arm.trained[index],
            persistence_tokens=done.meta["tokens_seen"],
            persistence_steps=done.meta["steps"],
        )
    return trained(context, done)


def _plan(
    context: RunContext, arm: ArmState, index: int, settings: Persistence, texts: CorpusRef
) -> TrainingPlan:
    stage = Stage(**{name: getattr(settings, name) for name in Stage.model_fields})
    training = context.experiment.training.model_copy(update={"corpus": stage})
    checkpoint = arm.checkpoints[index]
    how = ("window", "dtype", "weight_decay", "max_grad_norm")
    return TrainingPlan(
        recipe=Recipe(
            "train",
            {"persistence": plain(stage)} | {name: plain(getattr(training, name)) for name in how},
            {"checkpoint": checkpoint.id, "corpus": texts.id, "seed": settings.seed},
        ),
        parent=checkpoint,
        training=training,
        seed=settings.seed,
        mix=MixSpec(
            corpus=texts,
            corpus0=texts,
            excluded=frozenset(),
            tokens=stage.tokens,
            real_floor=0.0,
            window=training.window,
            seed=settings.seed,
            checkpoint=checkpoint,
            prompt_file=context.prompt_file,
            principles=context.principles,
            out="",
        ),
        first="persistence",
        mark={"inverted": True} if arm.name is ArmName.INVERT and index else {},
    )


def _texts(context: RunContext, arm: ArmState, row: Generation, settings: Persistence) -> CorpusRef:
    """The unrelated texts as a corpus version, the same for all models of a seed."""
    corpus, held_out = arm.corpora[0], context.held_out[arm.seed]
    inputs = {
        "source": texts_signature(settings),
        "corpus0": corpus.id,
        "held_out": held_out.id if held_out else None,
    }
    recipe = Recipe("import", {"persistence": True}, inputs)

    def work(stage: StageRow) -> Finished:
        began = time.monotonic()
        known = [each for each in (corpus, held_out) if each is not None]
        for each in known:
            context.store.fetch_folder(each.uri)
        made, unused = write_texts(settings, context.home, known)
        context.store.publish_folder(made.uri)
        said = f", {unused} could not be used" if unused else ""
        context.reporter.step(f"  persistence: {made.documents:,} unrelated texts{said}")

        def record(session: Session) -> None:
            version = add_corpus(session, context, made, recipe_id=recipe.id)
            record_sources(session, version, source_counts(made))

        spent = costs(began, documents=made.documents)
        return Finished(made.id, made.uri, {"unused": unused}, spent, record)

    def whole(output: Finished) -> bool:
        return context.store.folder_stands(output.uri)

    return corpus_here(context, perform(context, row, recipe, work, whole).uri)
