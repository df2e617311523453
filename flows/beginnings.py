"""Generation 0 of a seed: corpus 0 is taken in, model 0 admitted, and both are evaluated."""

from __future__ import annotations

import time
from typing import Any

from prefect import flow
from sqlalchemy.orm import Session

from configs.arms import Arm as ArmName
from configs.identity import stage_settings
from db.models import Experiment, Generation, Stage
from db.records import (
    add_checkpoint,
    ensure_arm,
    ensure_generation,
    find_checkpoint,
    find_corpus_version,
    promote,
    record_changed_documents,
    record_sources,
    require_experiment,
    set_arm_status,
    set_generation,
)
from flows import anchoring, steps
from flows.context import ArmState, RunContext, current
from flows.readers import admit_reviser
from flows.relearning import compare_with_control
from flows.stages import Finished, Recipe, costs, perform
from flows.tasks import evaluate_capabilities, evaluate_corpus, make_first_model, run_shards
from workers.checkpoints import CheckpointRef, admit
from workers.corpora.intake import import_corpus
from workers.corpora.sources import source_signature
from workers.corpora.store import CorpusRef, source_counts
from workers.interrupting import heard_again
from workers.problems import InputProblem
from workers.records import ACTIONS, Quarantined


def row_of(session: Session, context: RunContext) -> Experiment:
    """The experiment's row."""
    return require_experiment(session, context.experiment.name)


@flow(name="beginnings", flow_run_name="generation-0")
@heard_again()
def beginnings() -> None:
    """Make generation 0 of every seed."""
    context = current()
    for seed in context.experiment.seeds:
        take_up(context, seed)
    _make_first_models(context)
    for seed in context.experiment.seeds:
        begin(context, seed)


def take_up(context: RunContext, seed: int) -> None:
    """Put a seed's arms on record, the control first, and take corpus 0 in."""
    names = sorted(context.experiment.arms, key=lambda name: name is not ArmName.CONTROL)
    context.arms[seed] = []
    rows: list[Generation] = []
    for name in names:
        with context.write() as session:
            arm = ensure_arm(session, row_of(session, context), name.value, seed)
            set_arm_status(session, arm, "running")
            rows.append(ensure_generation(session, arm, 0))
        context.arms[seed].append(ArmState(name, seed, arm))
    context.reporter.step(f"[bold]seed {seed}[/], generation 0")
    context.admitted = admit_model(context)
    context.reviser = admit_reviser(context)
    for arm, row in zip(context.arms[seed], rows, strict=True):
        corpus, quarantined = take_in(context, row, seed)
        arm.corpora.append(corpus)
        _note_start(context, row, corpus, quarantined)


def _make_first_models(context: RunContext) -> None:
    """Make and evaluate the controls' models, as many at a time as `training.at_once` says."""
    seeds = context.experiment.seeds
    if context.experiment.training.at_once == 1:
        for seed in seeds:
            make_first_model(ArmName.CONTROL, seed)
        return
    # Ray's processes end with the thread that started them, so it is not one of the tasks'.
    context.connect_ray()
    at_work = [make_first_model.submit(ArmName.CONTROL, seed) for seed in seeds]
    for each in at_work:
        each.result()


def begin(context: RunContext, seed: int) -> None:
    """Give every arm of a seed the control's model 0, and measure what generation 0 is."""
    for arm in context.arms[seed]:
        if not arm.checkpoints:
            make_first_model(arm.name, seed)
        checkpoint = arm.checkpoints[0]
        with context.write() as session:
            row = ensure_generation(session, arm.row, 0)
            found = find_checkpoint(session, checkpoint.id)
            row = set_generation(session, row, checkpoint_id=found.id if found else None)
            if arm.row.promoted_generation_id is None:
                promote(session, arm.row, row)
        evaluate_corpus(arm.name, seed, 0)
        evaluate_capabilities(arm.name, seed, 0)
        if anchoring.asked(context):
            anchoring.compare_raters(context, arm, 0, run_shards)
        with context.write() as session:
            set_generation(session, row, status="finished")
    compare_with_control(context, seed, 0)


def admit_model(context: RunContext) -> CheckpointRef:
    """Check the configured model, copy it home, and record it.

    Raises:
        InputProblem: the model cannot be used.
    """
    model = context.experiment.model
    checkpoint = admit(model.path, model.revision, context.home)
    context.store.publish_folder(checkpoint.uri)
    with context.write() as session:
        add_checkpoint(session, checkpoint.id, uri=checkpoint.uri, run=context.run)
    return checkpoint


def take_in(
    context: RunContext, generation: Generation, seed: int
) -> tuple[CorpusRef, list[dict[str, Any]]]:
    """Import corpus 0 and the held-out documents; return it with what was quarantined.

    Raises:
        InputProblem: the source cannot be used, or holds no document out where one is needed.
    """
    settings = context.experiment
    corpus = settings.corpus
    recipe = Recipe(
        "import",
        stage_settings(settings, "import"),
        {"source": source_signature(corpus, seed), "seed": seed},
    )

    def work(stage: Stage) -> Finished:
        began = time.monotonic()

        def tell(done: int) -> None:
            context.reporter.step(f"  import: {done:,} documents")

        made = import_corpus(corpus, settings.intake, seed, context.home, tell)
        for each in filter(None, (made.corpus, made.held_out)):
            context.store.publish_folder(each.uri)
        meta = {
            "held_out": made.held_out.uri if made.held_out else None,
            "quarantined": [_quarantined(each) for each in made.quarantined],
        }

        def record(session: Session) -> None:
            for each in filter(None, (made.corpus, made.held_out)):
                row = steps.add_corpus(session, context, each, recipe_id=recipe.id)
                record_sources(session, row, source_counts(each))

        spent = costs(began, documents=made.corpus.documents)
        return Finished(made.corpus.id, made.corpus.uri, meta, spent, record)

    def whole(output: Finished) -> bool:
        folders = (output.uri, *map(context.located, filter(None, [output.meta["held_out"]])))
        return all(map(context.store.folder_stands, folders))

    done = perform(context, generation, recipe, work, whole)
    held_out = done.meta["held_out"]
    if not held_out and "samples" in settings.evaluation.tasks:
        raise InputProblem(
            "evaluation.tasks: `samples` continues held-out documents, and of so small a corpus "
            "none was held out. Raise intake.held_out_share or give more documents, or take "
            "`samples` out."
        )
    context.held_out[seed] = steps.corpus_here(context, held_out) if held_out else None
    return steps.corpus_here(context, done.uri), done.meta["quarantined"]


def _quarantined(document: Quarantined) -> dict[str, Any]:
    """The row of a document that was set aside at import."""
    return {
        "doc_id": document.doc_id,
        "action": "quarantine",
        "before_sha256": document.text_sha256,
        "reason": document.reason,
        "source": document.source,
    }


def _note_start(
    context: RunContext, row: Generation, corpus: CorpusRef, quarantined: list[dict[str, Any]]
) -> None:
    counts = dict.fromkeys(ACTIONS, 0)
    counts |= {"keep": corpus.documents, "quarantine": len(quarantined)}
    with context.write() as session:
        if row.documents_in is None and quarantined:
            record_changed_documents(session, row, quarantined)
        found = find_corpus_version(session, corpus.id)
        set_generation(
            session,
            row,
            status="running",
            corpus_version_id=found.id if found else None,
            documents_in=sum(counts.values()),
            **counts,  # pyright: ignore[reportArgumentType]
        )
