"""Instrumental value: one stage for a model of a corpus, and one for each twin of it."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from configs.identity import twin_settings
from db.models import Generation, Stage
from db.records import ensure_generation, find_corpus_version
from flows.context import ArmState, RunContext
from flows.evaluating import write_rows
from flows.remotely import remotely
from flows.stages import Finished, Recipe, costs, numerics_class, perform
from workers.corpora.store import CorpusRef
from workers.evaluation.instrumental import BITS_FILE, VERSION
from workers.versions import ALGORITHM_VERSIONS


def measure_capability(context: RunContext, arm: ArmState, index: int, capability: str) -> None:
    """Measure what a capability is worth in an arm's corpus; equal corpora are measured once."""
    original = _perform(context, arm, index, None, None)
    _perform(context, arm, index, capability, f"{original.uri}/{BITS_FILE}")


def _perform(
    context: RunContext, arm: ArmState, index: int, capability: str | None, original: str | None
) -> Finished:
    """Do the stage of one model: its bits of the held-out documents, and what it lost."""
    assert context.admitted is not None, "the model is admitted before any is trained"
    corpus, shape = arm.corpora[index], context.admitted
    with context.write() as session:
        row: Generation = ensure_generation(session, arm.row, index)
    inputs = {
        "corpus": corpus.id,
        # Not as `checkpoint`: it is no evaluation of that model.
        "shape": shape.id,
        "seed": arm.seed,
        "capability": capability,
        "instrumental": VERSION,
        "train": ALGORITHM_VERSIONS["train"],
    }
    recipe = Recipe("evaluate", {"twin": True, **twin_settings(context.experiment)}, inputs)
    out = context.stage_folder(recipe.id)

    def work(stage: Stage) -> Finished:
        # Imported here: a run that reuses everything does not wait for torch.
        from workers.evaluation.twins import TwinSpec, measure_twin

        began = time.monotonic()
        spec = TwinSpec(
            experiment=context.experiment,
            corpus=corpus,
            shape=shape,
            prompt_file=context.prompt_file,
            principles=context.principles,
            seed=arm.seed,
            out=str(out),
            capability=capability,
            original=original,
            store=context.store,
        )
        rows = remotely(context, measure_twin, spec)
        record = partial(_record, corpus, recipe.id, rows)
        meta = {"capability": capability, "metrics": len(rows)}
        return Finished(recipe.id, str(out), meta, costs(began), record)

    def whole(output: Finished) -> bool:
        return BITS_FILE in context.store.files_standing(output.uri, [BITS_FILE])

    threads = context.experiment.training.threads
    return perform(context, row, recipe, work, whole, lambda: numerics_class(context, threads))


def _record(corpus: CorpusRef, recipe_id: str, rows: Any, session: Session) -> None:
    write_rows(session, find_corpus_version(session, corpus.id), recipe_id, rows)
