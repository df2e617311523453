"""Revised documents for people to read, before and after, chosen by rules that the page names."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Arm, Experiment, Generation, Stage, StageUse
from db.records import require_experiment
from flows.context import running
from flows.places import Place, place_of
from workers.assembling import decided
from workers.corpora.store import open_corpus

# The stage whose rows are the final decisions: the last of these that a generation used.
DECIDING_STAGES = ("accept", "revise")
EACH = 4
"""Documents shown of an arm for each of the reasons."""


@dataclass(frozen=True)
class Change:
    """A document for which a revision was proposed, before and after."""

    doc_id: str
    arm: str
    seed: int
    generation: int
    action: str
    """`revise` where the proposal was accepted; `keep` where it was refused."""
    reason: str
    before: str
    after: str
    principles: tuple[str, ...] = ()
    score_before: float | None = None
    """Lowest score over the principles, by the model itself."""
    score_after: float | None = None
    acceptance_before: float | None = None
    """The same by the acceptance rater."""
    acceptance_after: float | None = None
    similarity: float | None = None
    chosen_for: str = ""
    """A key of `CHOICES`."""


def change(found: Change) -> float | None:
    """Share of the characters that went or came, of a revision that was accepted."""
    if found.action != "revise" or found.similarity is None:
        return None
    return 1.0 - found.similarity


def disagreement(found: Change) -> float | None:
    """How far self-rater and acceptance rater are apart about the revised text."""
    if found.score_after is None or found.acceptance_after is None:
        return None
    return abs(found.score_after - found.acceptance_after)


CHOICES = {
    "change": "Largest change: accepted revisions that differ most from their originals.",
    "threshold": "Nearest to the threshold: documents that the self-rater's score put only just "
    "under it.",
    "disagreement": "Largest disagreement: revised texts that the self-rater and the acceptance "
    "rater score most differently.",
}


def chosen_changes(session: Session, experiment: str, each: int = EACH) -> Sequence[Change]:
    """The documents to show: of every arm a few for each reason, the most telling first.

    Raises:
        UnknownId: there is no such experiment.
    """
    row = require_experiment(session, experiment)
    threshold = (row.config.get("rating") or {}).get("threshold", 0.5)

    def nearness(found: Change) -> float | None:
        return None if found.score_before is None else -abs(found.score_before - threshold)

    return choose(
        _changes(session, row),
        {"change": change, "threshold": nearness, "disagreement": disagreement},
        each,
    )


def choose(
    changes: Iterator[Change], rules: dict[str, Callable[[Change], float | None]], each: int
) -> list[Change]:
    """For every rule and arm the changes that it puts highest, each document once.

    Holds no more than that many, however many there are.
    """
    held: dict[tuple[str, str], dict[str, tuple[float, Change]]] = defaultdict(dict)
    for found in changes:
        for name, rule in rules.items():
            value = rule(found)
            best = held[name, found.arm]
            if value is None or best.get(found.doc_id, (-float("inf"),))[0] >= value:
                continue
            best[found.doc_id] = (value, replace(found, chosen_for=name))
            if len(best) > each:
                worst = min(best.values(), key=lambda pair: (pair[0], pair[1].doc_id))
                del best[worst[1].doc_id]
    return [
        found
        for name in rules
        for arm in sorted({arm for _, arm in held})
        for _, found in heapq.nlargest(
            each, held[name, arm].values(), key=lambda pair: (pair[0], pair[1].doc_id)
        )
    ]


def _changes(session: Session, experiment: Experiment) -> Iterator[Change]:
    # In a run its own home is meant, which the record on a server does not know.
    run = running()
    place = run.place if run else place_of(session)
    first = experiment.config.get("source") == "base"
    generations = session.scalars(
        select(Generation)
        .join(Generation.arm)
        .where(Arm.experiment_id == experiment.id)
        .order_by(Generation.arm_id, Generation.generation_index)
    ).all()
    corpora = {(each.arm_id, each.generation_index): each.corpus_version for each in generations}
    for generation in generations:
        read = corpora.get((generation.arm_id, 0 if first else generation.generation_index - 1))
        folder = decisions_of(session, place, generation) if read is not None else None
        if read is not None and folder is not None:
            yield from _proposals(place.located(read.uri), folder, generation)


def _proposals(corpus: Path, decisions: Path, generation: Generation) -> Iterator[Change]:
    for document, row in decided(open_corpus(str(corpus)), decisions):
        if row.text is not None and row.action in ("revise", "keep"):
            yield Change(
                doc_id=document.doc_id,
                arm=generation.arm.name,
                seed=generation.arm.seed,
                generation=generation.generation_index,
                action=row.action,
                reason=row.reason,
                before=document.text,
                after=row.text,
                principles=row.principles,
                score_before=row.score_before,
                score_after=row.score_after,
                acceptance_before=row.acceptance_before,
                acceptance_after=row.acceptance_after,
                similarity=row.similarity,
            )


def decisions_of(session: Session, place: Place, generation: Generation) -> Path | None:
    """Folder of a generation's final decisions; None for a control or a generation 0."""
    stages = session.scalars(
        select(Stage)
        .join(StageUse, StageUse.stage_id == Stage.id)
        .where(StageUse.generation_id == generation.id, Stage.stage.in_(DECIDING_STAGES))
    ).all()
    by_name = {stage.stage: stage for stage in stages}
    for name in DECIDING_STAGES:
        if name in by_name and by_name[name].output_uri:
            return place.located(str(by_name[name].output_uri))
    return None
