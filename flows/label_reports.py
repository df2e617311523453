"""What human labels say of a rater: how well it ranks, how far it is calibrated, where to cut."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from db.lineage.labels import (
    RatedGeneration,
    corpora_of,
    find_label_sets,
    labels_of,
    rated_generations,
)
from db.models import LabelSet
from db.records import EvaluationRow, find_checkpoint, require_experiment
from db.records.labels import StageIdentity, record_label_report
from db.sessions import Database
from flows.label_matching import Item, Rated, match, measure
from flows.labelling import find_documents
from flows.ratings import publish_recorded, ratings_of, rows_of
from flows.stages import Recipe
from workers.problems import InputProblem

TASK = "human_labels"
TASK_VERSION = "1"


def report(
    database: Database,
    home: Path,
    experiment: str | None = None,
    *,
    arm: str | None = None,
    seed: int | None = None,
    generation: int | None = None,
    labels: Sequence[str] = (),
) -> dict[str, Any]:
    """Hold labels against ratings, and record what follows on the checkpoints that rated.

    Args:
        database: the record.
        home: folder with the ratings.
        experiment: its ratings only; those of all without it.
        arm: only this arm's.
        seed: only this seed's.
        generation: only those that this generation acted on.
        labels: digests of the label sets; all without any.

    Raises:
        UnknownId: no such experiment or label set.
        InputProblem: nothing that was asked for was rated.
    """
    with database.readers() as session:
        if experiment is not None:
            require_experiment(session, experiment)
        rated = rated_generations(session, experiment, arm=arm, seed=seed, generation=generation)
        if not rated:
            raise InputProblem(
                "no finished ratings match; `palimpsest status` shows arms and generations, and "
                "the control and generation 0 rate nothing"
            )
        sets = find_label_sets(session, labels)
        items, disputed = gather(session, sets)
    gone = publish_recorded(home, rated)
    entries: list[dict[str, Any]] = []
    for same in _by_stage(each for each in rated if each not in gone):
        entries += _report_stage(database, home, same, items, sets)
    return {
        "labels": [{"id": row.digest, **_size(row)} for row in sets],
        "disputed": disputed,
        "ratings_gone": [_place(each) for each in gone],
        "raters": entries,
    }


def gather(session: Session, sets: Sequence[LabelSet]) -> tuple[list[Item], int]:
    """What the sets say, by majority over annotators; and how many ties there were.

    Where an annotator labelled the same twice, the later set counts.
    """
    votes: dict[tuple[str, str, str | None], dict[str, int]] = defaultdict(dict)
    for labels in sets:
        rows = list(labels_of(session, labels))
        texts = _texts(session, labels, {row.doc_id for row in rows})
        for row in rows:
            votes[row.doc_id, row.principle, texts.get(row.doc_id)][row.annotator] = row.label
    items: list[Item] = []
    for (doc_id, principle, text), said in votes.items():
        balance = 2 * sum(said.values()) - len(said)
        if balance:
            items.append(Item(doc_id, principle, int(balance > 0), text))
    return items, len(votes) - len(items)


def _texts(session: Session, labels: LabelSet, doc_ids: set[str]) -> dict[str, str]:
    """Which text each label is about: the one that it names, else its document's at import."""
    content = labels.content or {}
    named: dict[str, str] = content.get("texts") or {}
    corpora = corpora_of(session, content.get("corpora") or ())
    held = find_documents(session, corpora, doc_ids - named.keys())
    return {doc_id: several[0].text_sha256 for doc_id, several in held.items()} | named


def _by_stage(rated: Iterable[RatedGeneration]) -> list[list[RatedGeneration]]:
    """Generations that acted on the same ratings, experiment by experiment."""
    found: dict[tuple[str, str], list[RatedGeneration]] = defaultdict(list)
    for each in rated:
        found[each.experiment, each.recipe_id].append(each)
    return list(found.values())


def _report_stage(
    database: Database,
    home: Path,
    same: Sequence[RatedGeneration],
    items: Sequence[Item],
    sets: Sequence[LabelSet],
) -> list[dict[str, Any]]:
    """Hold labels against one stage's ratings: an entry for each principle that they speak of."""
    first = same[0]
    with database.readers() as session:
        items = _of_corpus_0(session, first, items)
    ratings = _ratings(home, first, {item.doc_id for item in items})
    matched = match(items, ratings)
    entries = [
        {
            "experiment": first.experiment,
            "generations": [_place(each) for each in same],
            "rater": first.rater,
            "corpus": first.corpus,
            "ratings": first.recipe_id,
            "principle": target or None,
            **measure(found, first.threshold),
        }
        for target, found in sorted(matched.items())
    ]
    _record(database, first, entries, sets)
    return entries


def _of_corpus_0(session: Session, rated: RatedGeneration, items: Sequence[Item]) -> Sequence[Item]:
    """Give labels that name no text the one of the arm's corpus 0."""
    open_ = {item.doc_id for item in items if item.text is None}
    if not open_ or rated.corpus_0 is None:
        return items
    held = find_documents(session, corpora_of(session, [rated.corpus_0]), open_)
    texts = {doc_id: several[0].text_sha256 for doc_id, several in held.items()}
    return [
        Item(item.doc_id, item.principle, item.label, item.text or texts.get(item.doc_id))
        for item in items
    ]


def _ratings(home: Path, rated: RatedGeneration, doc_ids: set[str]) -> dict[str, Rated]:
    rows = ratings_of(
        home,
        experiment=rated.experiment,
        arm=rated.arm,
        seed=rated.seed,
        generation=rated.generation,
        doc_ids=sorted(doc_ids),
    )
    texts: dict[str, str] = {}
    scores: dict[str, dict[str, float | None]] = defaultdict(dict)
    for row in rows_of(rows):
        texts[row["doc_id"]] = row["text_sha256"]
        scores[row["doc_id"]][row["principle"]] = row["score"]
    return {doc_id: Rated(text, scores[doc_id]) for doc_id, text in texts.items()}


def _record(
    database: Database,
    rated: RatedGeneration,
    entries: Sequence[Mapping[str, Any]],
    sets: Sequence[LabelSet],
) -> None:
    """Record the numbers on the rater, by a stage that used it, its ratings and the labels."""
    rows = [
        EvaluationRow(
            TASK,
            f"{TASK}/{name}",
            (entry[name] or {}).get("value"),
            entry["n"],
            stderr=(entry[name] or {}).get("stderr"),
            unscored=entry["unscored"],
            task_version=TASK_VERSION,
            variant=entry["principle"] or "",
        )
        for entry in entries
        if entry["n"]
        for name in ("rater_auc", "brier", "ece", "threshold")
    ]
    if not rows:
        return
    digests = [row.digest for row in sets]
    recipe = Recipe(
        "evaluate",
        {"task": TASK, "task_version": TASK_VERSION},
        {
            "checkpoint": rated.rater,
            "corpus": rated.corpus,
            "corpus0": rated.corpus_0,
            "ratings": rated.output_digest,
            "labels": sorted(digests),
        },
    )
    identity = StageIdentity(recipe.id, recipe.version, recipe.params)
    with database.sessions.begin() as session:
        rater = find_checkpoint(session, rated.rater)
        if rater is not None:
            record_label_report(session, rater, rows, labels=digests, stage=identity)


def _place(rated: RatedGeneration) -> dict[str, Any]:
    return {"arm": rated.arm, "seed": rated.seed, "generation": rated.generation}


def _size(labels: LabelSet) -> dict[str, Any]:
    content = labels.content or {}
    return {name: content.get(name) for name in ("labels", "documents")}
