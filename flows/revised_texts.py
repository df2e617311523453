"""What a generation's decisions made of its texts: fidelity, and what evaluations ask in them."""

from __future__ import annotations

import time
from dataclasses import asdict
from functools import partial

from sqlalchemy.orm import Session

from configs.identity import stage_settings
from db.models import Generation, Stage
from flows import steps
from flows.context import ArmState, RunContext
from flows.evaluating import count_once, world_of, write_rows
from flows.stages import Finished, Recipe, costs, perform
from workers.checkpoints import CheckpointRef
from workers.corpora.store import CorpusRef
from workers.evaluation.census import RevisedTexts, fidelity_census
from workers.evaluation.contamination import Contamination, contaminated, overlap_rule
from workers.evaluation.decontamination import VERSION as DECONTAMINATION
from workers.evaluation.fidelity import VERSION as FIDELITY


def measure_revisions(
    context: RunContext,
    row: Generation,
    corpus: CorpusRef,
    decisions: Finished,
    reviser: CheckpointRef,
) -> None:
    """Record what a generation's revisions kept and leaked, accepted ones and all proposed.

    Args:
        context: the run.
        row: the generation, to which the numbers belong.
        corpus: what was revised.
        decisions: what became of each document.
        reviser: the model that wrote; its tokenizer says what its special tokens are.
    """
    if "fidelity" not in context.experiment.evaluation.tasks:
        return
    texts = RevisedTexts(
        corpus=corpus,
        decisions=steps.folder(decisions),
        reviser=reviser,
        acceptance=context.experiment.acceptance,
        prompt_file=context.prompt_file,
        principles=context.principles,
        store=context.store,
    )
    inputs = {
        "fidelity": FIDELITY,
        "corpus": corpus.id,
        "decisions": decisions.digest,
        "reviser": reviser.id,
        "prompts": context.prompt_file.digest,
        "generation": row.id,
    }
    count = partial(fidelity_census, texts)
    count_once(context, row, inputs, count, lambda session: session.get(Generation, row.id))


def decontaminate(
    context: RunContext, arm: ArmState, row: Generation, corpus: CorpusRef, decisions: Finished
) -> None:
    """Note the documents whose accepted revisions hold what an evaluation asks.

    They leave every arm, as quarantined ones do. The shares are recorded for the generation.
    """
    settings = context.experiment
    if not settings.evaluation.decontaminate:
        return
    held_out = context.held_out[arm.seed]
    search = Contamination(settings, corpus, steps.folder(decisions), held_out, store=context.store)
    inputs = {
        "corpus": corpus.id,
        "decisions": decisions.digest,
        "held_out": held_out.id if held_out else None,
        "world": world_of(context),
        "evaluation": stage_settings(settings, "evaluate")["evaluation"],
        "generation": row.id,
    }
    fixed = {
        "census": True,
        "decontamination": DECONTAMINATION,
        **asdict(overlap_rule(settings.corpus)),
    }
    recipe = Recipe("evaluate", fixed, inputs)

    def work(stage: Stage) -> Finished:
        began = time.monotonic()
        rows, excluded = contaminated(search)

        def record(session: Session) -> None:
            write_rows(session, session.get(Generation, row.id), recipe.id, rows)

        meta = {"metrics": len(rows), "excluded": excluded, "revisions": rows[-1].n}
        out = str(context.stage_folder(recipe.id))
        return Finished(recipe.id, out, meta, costs(began), record)

    found = perform(context, row, recipe, work, lambda output: True).meta
    arm.contaminated |= set(found["excluded"])
    context.reporter.step(
        f"  decontaminated: {len(found['excluded']):,} of {found['revisions']:,} accepted "
        "revisions hold what an evaluation asks, and no arm is trained on those documents"
    )
