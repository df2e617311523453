"""One generation: treat each arm's corpus, train, evaluate."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from prefect import flow

from configs.arms import Arm as ArmName
from db.models import Generation
from db.records import (
    ensure_generation,
    find_corpus_version,
    find_stage,
    record_changed_documents,
    set_generation,
)
from flows import anchoring, cascading, steps
from flows.context import ArmState, RunContext, current
from flows.labelled_skills import label_skills
from flows.matching import check_matching, left_out
from flows.ratings import publish_ratings
from flows.readers import reader_of
from flows.relearning import compare_with_control
from flows.revised_texts import decontaminate, measure_revisions
from flows.tasks import evaluate_capabilities, evaluate_corpus, make_model, run_shards
from workers.assembling import Assembled, changed_documents
from workers.interrupting import heard_again
from workers.records import ACTIONS
from workers.storage import explain_full_disk

Rows = Iterable[dict[str, Any]]


@flow(name="generation", flow_run_name="generation-{index}")
@heard_again()
def generation(index: int) -> None:
    """Make generation `index` of every seed's arms that go on, out of generation `index` - 1."""
    context = current()
    seeds = {
        seed: [arm for arm in context.arms[seed] if not arm.stopped]
        for seed in context.experiment.seeds
    }
    rows: list[Generation] = []
    for arm in chain(*seeds.values()):
        rows.append(row := treat(context, arm, index))
        # At once, while the engines still hold the model that has read.
        label_skills(context, arm, index, row, run_shards)
    _make_models(context, seeds.values(), index)
    for seed, arms in seeds.items():
        check_matching(context, seed, index)
        compare_with_control(context, seed, index)
        for arm in arms:
            if anchoring.asked(context):
                anchoring.compare_raters(context, arm, index, run_shards)
    with context.write() as session:
        for row in rows:
            set_generation(session, row, status="finished")


def _make_models(context: RunContext, seeds: Iterable[list[ArmState]], index: int) -> None:
    """Train and evaluate each arm's model, as many at a time as `training.at_once` says."""
    wanted = [(arm.name, arm.seed, index, left_out(arms)) for arms in seeds for arm in arms]
    if context.experiment.training.at_once == 1:
        for each in wanted:
            make_model(*each)
        return
    # Ray's processes end with the thread that started them, so it is not one of the tasks'.
    context.connect_ray()
    for at_work in [make_model.submit(*each) for each in wanted]:
        at_work.result()


def treat(context: RunContext, arm: ArmState, index: int) -> Generation:
    """Make an arm's corpus: rate, revise, accept and assemble, or for the control nothing."""
    with context.write() as session:
        row = ensure_generation(session, arm.row, index)
        set_generation(session, row, status="running")
    context.reporter.step(f"[bold]{arm.name}[/], seed {arm.seed}, generation {index}")
    source = 0 if context.experiment.source == "base" else -1
    corpus = arm.corpora[source]
    if arm.name is ArmName.CONTROL:
        counts = dict.fromkeys(ACTIONS, 0) | {"keep": corpus.documents}
        arm.corpora.append(corpus)
        _note_corpus(context, arm, row, counts)
        return row
    checkpoint = reader_of(context, arm)
    ratings = cascading.rate(context, row, checkpoint, corpus, run_shards)
    publish_ratings(
        context.home,
        context.experiment.name,
        arm.name.value,
        arm.seed,
        index,
        steps.shards_here(context, ratings, len(corpus.shards)),
    )
    decisions = steps.revise(
        context, row, arm.name, checkpoint, corpus, ratings, arm.seed, run_shards
    )
    accepted_by = None
    if context.experiment.acceptance.rater == "base" and steps.asks_model(context, arm.name):
        rater = arm.checkpoints[0]
        decisions = steps.accept(context, row, arm.name, rater, corpus, decisions, run_shards)
        accepted_by = rater
    made = steps.make_corpus(context, row, corpus, decisions, checkpoint, accepted_by)
    arm.corpora.append(made.corpus)
    arm.quarantined |= set(made.quarantined)
    if steps.asks_model(context, arm.name):
        measure_revisions(context, row, corpus, decisions, checkpoint)
        decontaminate(context, arm, row, corpus, decisions)

    def changed() -> Rows:
        return changed_documents(corpus, steps.folder(decisions), context.store)

    _note_corpus(context, arm, row, made.counts, changed, decisions.recipe_id)
    _say_counts(context, made)
    return row


def _note_corpus(
    context: RunContext,
    arm: ArmState,
    row: Generation,
    counts: dict[str, int],
    changed: Callable[[], Rows] = tuple,
    decided_by: str | None = None,
) -> None:
    """Record a generation's corpus, and with it, in one transaction, what led to that corpus.

    Args:
        context: the run.
        arm: whose newest corpus it is.
        row: the generation.
        counts: documents by action.
        changed: reads what was done to documents.
        decided_by: recipe of the stage that decided it; None where no stage did.
    """
    with context.read() as session:
        found = find_corpus_version(session, arm.corpora[-1].id)
    assert found is not None, "the stage that made the corpus has recorded it"
    # A resumed run may have made another corpus than is on record, on another machine say.
    anew = row.documents_in is None or row.corpus_version_id != found.id
    # Read before the write: a server ends a transaction that waits for files for long.
    with _set_aside(context.home, changed() if anew else ()) as rows, context.write() as session:
        if anew and decided_by is not None:
            decided = find_stage(session, decided_by)
            record_changed_documents(session, row, rows, stage=decided)
        set_generation(
            session,
            row,
            corpus_version_id=found.id,
            documents_in=sum(counts.values()),
            **counts,  # pyright: ignore[reportArgumentType]
        )
    evaluate_corpus(arm.name, arm.seed, row.generation_index)
    evaluate_capabilities(arm.name, arm.seed, row.generation_index)


@contextmanager
def _set_aside(home: Path, rows: Rows) -> Iterator[Rows]:
    """Give rows to read once more, out of a nameless file in the home: there may be millions."""
    with explain_full_disk(home), tempfile.TemporaryFile("w+", dir=home, encoding="utf-8") as file:
        file.writelines(json.dumps(each) + "\n" for each in rows)
        file.seek(0)
        yield map(json.loads, file)


def _say_counts(context: RunContext, made: Assembled) -> None:
    said = ", ".join(f"{count:,} {action}" for action, count in made.counts.items() if count)
    context.reporter.step(f"  corpus {made.corpus.id[:12]}: {said}")
