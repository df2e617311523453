"""Evaluating: an arm's models and corpora, and what its training mix held."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from configs.identity import stage_settings
from db.models import Generation, Stage
from db.records import (
    EvaluationRow,
    ensure_generation,
    find_checkpoint,
    find_corpus_version,
    find_stage,
    record_evaluations,
)
from flows.context import ArmState, RunContext
from flows.persisting import persist
from flows.remotely import remotely
from flows.stages import Finished, Recipe, costs, numerics_class, perform
from workers.checkpoints import CheckpointRef, open_checkpoint
from workers.corpora.sources import source_signature
from workers.evaluation.census import (
    CorpusCensus,
    collapse_census,
    corpus_census,
    drift_census,
    training_census,
)
from workers.evaluation.collapse import VERSION as COLLAPSE
from workers.evaluation.fidelity import VERSION as FIDELITY
from workers.evaluation.sample_files import evaluation_files
from workers.mix_specs import MixSpec
from workers.records import MetricRow


def evaluate_model(context: RunContext, arm: ArmState, index: int) -> None:
    """Evaluate an arm's newest model; equal models are evaluated once."""
    settings = context.experiment
    checkpoint = arm.checkpoints[index]
    held_out = context.held_out[arm.seed]
    with context.write() as session:
        row = ensure_generation(session, arm.row, index)
        found = find_checkpoint(session, checkpoint.id)
    between = _corpus_stage(context, found.recipe_id if found else None)
    inputs = {
        "checkpoint": checkpoint.id,
        "corpus_stage": between.id if between else None,
        "held_out": held_out.id if held_out else None,
        "principles": context.principles.digest,
        "prompts": context.prompt_file.digest,
        "world": world_of(context),
    }
    persisted = persist(context, arm, row, index)
    if persisted is not None:
        inputs["persistence"] = persisted.id
    recipe = Recipe("evaluate", stage_settings(settings, "evaluate"), inputs)
    out = context.stage_folder(recipe.id)

    def work(stage: Stage) -> Finished:
        from workers.evaluation.suite import EvaluateSpec, evaluate

        began = time.monotonic()
        spec = EvaluateSpec(
            experiment=settings,
            checkpoint=checkpoint,
            corpus_stage=between,
            persisted=persisted,
            held_out=held_out,
            prompt_file=context.prompt_file,
            principles=context.principles,
            out=str(out),
            store=context.store,
        )
        rows = remotely(context, evaluate, spec)
        record = record_of_checkpoint(checkpoint.id, recipe.id, rows)
        return Finished(recipe.id, str(out), {"metrics": len(rows)}, costs(began), record)

    files = evaluation_files(settings.evaluation.tasks)
    arm.evaluations.append(measured_files(context, row, recipe, work, files))


def measured_files(
    context: RunContext,
    row: Generation,
    recipe: Recipe,
    work: Callable[[Stage], Finished],
    files: Sequence[str],
) -> Path:
    """Perform a stage that asks models, and return the folder of the files it leaves."""

    def whole(output: Finished) -> bool:
        return context.store.files_standing(output.uri, files) >= set(files)

    threads = context.experiment.training.threads
    done = perform(context, row, recipe, work, whole, lambda: numerics_class(context, threads))
    return context.store.fetch_files(done.uri, files)


def _corpus_stage(context: RunContext, recipe_id: str | None) -> CheckpointRef | None:
    """The model before its post-training, where its training had both stages."""
    with context.database.readers() as session:
        stage = find_stage(session, recipe_id) if recipe_id else None
    between = stage.meta.get("corpus_stage") if stage else None
    if not between:
        return None
    # Where nodes fetch it, it is verified there, and need not be on this one.
    between = CheckpointRef(between[0], context.located(between[1]))
    return between if context.store.url else open_checkpoint(between.uri)


def world_of(context: RunContext) -> dict[str, Any]:
    """What evaluation items are drawn from, beside the held-out documents."""
    corpus = context.experiment.corpus
    asked = {"harness": context.harness} if context.harness is not None else {}
    if corpus.kind == "microworld":
        return {"misaligned_share": corpus.misaligned_share, **asked}
    if corpus.kind == "dialogues" and "pairs" in context.experiment.evaluation.tasks:
        return {"pairs": source_signature(corpus, 0), **asked}
    return asked


def evaluate_corpus(context: RunContext, arm: ArmState, index: int) -> None:
    """Measure an arm's corpus: true misaligned share, where that is known, collapse and drift."""
    corpus, first = arm.corpora[index], arm.corpora[0]
    tasks = context.experiment.evaluation.tasks
    counts: list[tuple[dict[str, Any], Callable[[], list[MetricRow]]]] = []
    if "oracle" in tasks:
        census = CorpusCensus(((corpus, None),), store=context.store)
        counts.append(({"corpus": corpus.id}, partial(corpus_census, census)))
    if "collapse" in tasks:
        # Of the world's few words none is rare; runs of three are.
        order = 3 if context.experiment.corpus.kind == "microworld" else 1
        inputs = {"corpus": corpus.id, "corpus0": first.id, "order": order, "collapse": COLLAPSE}
        counts.append((inputs, partial(collapse_census, corpus, first, order, context.store)))
    if "fidelity" in tasks:
        inputs = {"corpus": corpus.id, "corpus0": first.id, "fidelity": FIDELITY}
        counts.append((inputs, partial(drift_census, corpus, first, context.store)))
    if not counts:
        return
    with context.write() as session:
        row = ensure_generation(session, arm.row, index)
    for inputs, count in counts:
        count_once(
            context, row, inputs, count, lambda session: find_corpus_version(session, corpus.id)
        )


def census_of_training(
    context: RunContext,
    arm: ArmState,
    row: Generation,
    made: Sequence[tuple[MixSpec, Finished]],
) -> None:
    """Count what the mixes that a model was trained on held, where the oracle knows it."""
    if "oracle" not in context.experiment.evaluation.tasks:
        return
    mixes = [(spec, done.meta["mix"]) for spec, done in made]
    counted = [
        CorpusCensus(
            tuple((pool.corpus, pool.name) for pool in spec.pools),
            context.located(mix["uri"]),
            context.store,
        )
        for spec, mix in mixes
    ]
    digests = [mix["digest"] for _, mix in mixes]
    count_once(
        context,
        row,
        # A number about this generation's training: recorded for it, whoever shares the mix.
        {
            "mix": digests[0] if len(digests) == 1 else digests,
            "corpus": arm.corpora[-1].id,
            "generation": row.id,
        },
        partial(training_census, counted),
        lambda session: session.get(Generation, row.id),
    )


def count_once(
    context: RunContext,
    row: Generation,
    inputs: dict[str, Any],
    count: Callable[[], list[MetricRow]],
    subject: Callable[[Session], Any],
) -> None:
    """Count something once, and record it for a subject that the transaction looks up."""
    recipe = Recipe("evaluate", {"census": True}, inputs)
    out = context.stage_folder(recipe.id)

    def work(stage: Stage) -> Finished:
        began = time.monotonic()
        rows = count()

        def record(session: Session) -> None:
            write_rows(session, subject(session), recipe.id, rows)

        return Finished(recipe.id, str(out), {"metrics": len(rows)}, costs(began), record)

    perform(context, row, recipe, work, lambda output: True)


def record_of_checkpoint(
    digest: str, recipe_id: str, rows: Sequence[MetricRow]
) -> Callable[[Session], None]:
    """Records numbers about a checkpoint, together with the end of the stage that measured them."""
    return lambda session: write_rows(session, find_checkpoint(session, digest), recipe_id, rows)


def write_rows(session: Session, subject: Any, recipe_id: str, rows: Sequence[MetricRow]) -> None:
    """Record an evaluation's numbers about its subject."""
    held = [EvaluationRow(**asdict(row)) for row in rows]
    record_evaluations(session, subject, held, recipe_id=recipe_id)
