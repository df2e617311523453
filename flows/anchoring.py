"""The frozen raters in a run: anchors are fitted, score every corpus, and face the self-rater."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from db.models import Generation, Stage
from db.records import ensure_generation, find_corpus_version, record_shard
from flows import document_scores, steps
from flows.context import ArmState, RunContext, Scored
from flows.evaluating import write_rows
from flows.sharding import RunShards
from flows.stages import Finished, Recipe, costs, perform
from workers.corpora.store import CorpusRef
from workers.jobs import shard_file, shard_name
from workers.records import text_digest

if TYPE_CHECKING:
    from workers.evaluation.agreement import LabelScale
    from workers.evaluation.corpus_scores import CorpusScores

FOLDER = "anchors"
# Documents on which self-rater and anchor are compared; the bootstrap's time grows with them.
DOCUMENTS = 2_000


def asked(context: RunContext) -> bool:
    """Whether the experiment measures the evaluation `anchors`."""
    return "anchors" in context.experiment.evaluation.tasks


def score_corpus(context: RunContext, arm: ArmState, index: int) -> None:
    """Score an arm's corpus by both anchors, which are fitted before the first one."""
    with context.write() as session:
        row = ensure_generation(session, arm.row, index)
    if index == 0:
        _have_anchors(context, row)
        _have_ceiling(context, row, arm.seed)
    done = _scored(context, row, arm.corpora[index])
    arm.anchored[index] = Scored(Path(done.uri), done.digest, done.meta["mean"])


def compare_raters(context: RunContext, arm: ArmState, index: int, run: RunShards) -> None:
    """Hold an arm's newest model as a rater against the gate anchor, on the arm's newest corpus.

    Its ratings are those that the next generation acts on, where it reads this corpus.
    """
    with context.write() as session:
        row = ensure_generation(session, arm.row, index)
    corpus = arm.corpora[index]
    ratings = steps.rate(context, row, arm.checkpoints[index], corpus, run)
    folder = steps.shards_here(context, ratings, len(corpus.shards))
    arm.self_rated[index] = Scored(folder, ratings.digest)
    _compare(context, arm, row, index)


def _have_anchors(context: RunContext, row: Generation) -> None:
    """Fit the anchors, or take those on record."""
    from workers.evaluation.anchor_fitting import VERSION
    from workers.evaluation.anchor_items import MICROWORLD_ITEMS, AnchorRole
    from workers.evaluation.anchors import Anchor
    from workers.evaluation.microworld_anchors import ROLES, fit_microworld_anchors

    home, skills = context.home / FOLDER, context.skills
    settings = {"census": True, "anchors": ROLES, "items": MICROWORLD_ITEMS, "fit": VERSION}
    recipe = Recipe("evaluate", settings, {"skills": skills.digest if skills else None})

    def path(identity: str) -> Path:
        return home / f"{identity}.safetensors"

    def work(stage: Stage) -> Finished:
        began = time.monotonic()
        taught = {text_digest(each.text) for each in skills.exemplars} if skills else set()
        fitted = fit_microworld_anchors(taught)
        ids = {role: each.anchor.id for role, each in fitted.items()}
        for each in fitted.values():
            each.anchor.save(home)
        auc = {role: each.auc.row.value for role, each in fitted.items()}
        said = ", ".join(f"{role} {ids[role][:12]} (AUC {auc[role]:.3f})" for role in ids)
        context.reporter.step(f"  anchors: {said}")
        digest = _joined(ids.values())
        return Finished(digest, str(home), {"anchors": ids, "auc": auc}, costs(began))

    def whole(output: Finished) -> bool:
        return all(path(identity).is_file() for identity in output.meta["anchors"].values())

    done = perform(context, row, recipe, work, whole)
    role: AnchorRole
    for role in ROLES:
        if role not in context.anchors:
            context.anchors[role] = Anchor.load(path(done.meta["anchors"][role]))


def _have_ceiling(context: RunContext, row: Generation, seed: int) -> None:
    """What the gate anchor gives to documents that need no revision."""
    held_out = context.held_out[seed]
    ceiling = _scored(context, row, held_out).meta["desirable"] if held_out else None
    context.ceilings[seed] = 1.0 if ceiling is None else ceiling


def _scored(context: RunContext, row: Generation, corpus: CorpusRef) -> Finished:
    """The anchors' scores of a corpus; its means are recorded with it."""
    from workers.evaluation import corpus_scores

    ids = {role: anchor.id for role, anchor in context.anchors.items()}
    settings = {"census": True, "scores": corpus_scores.VERSION}
    recipe = Recipe("evaluate", settings, {"corpus": corpus.id, "anchors": ids})
    out = context.stage_folder(recipe.id)

    def work(stage: Stage) -> Finished:
        began = time.monotonic()
        found = corpus_scores.score_corpus(corpus, context.anchors, out, context.store)
        meta = {"mean": found.rows[0].value, "desirable": found.desirable}
        spent = costs(began, documents=corpus.documents)
        record = partial(_record_scores, stage, corpus, out, found, recipe.id)
        return Finished(_joined(found.digests), str(out), meta, spent, record)

    def whole(output: Finished) -> bool:
        wanted = set(map(shard_name, range(len(corpus.shards))))
        return context.store.files_standing(output.uri, wanted) == wanted

    done = perform(context, row, recipe, work, whole)
    context.store.fetch_files(done.uri, map(shard_name, range(len(corpus.shards))))
    return done


def _record_scores(
    stage: Stage,
    corpus: CorpusRef,
    out: Path,
    found: CorpusScores,
    recipe_id: str,
    session: Session,
) -> None:
    for index, digest in enumerate(found.digests):
        documents = corpus.shards[index].documents
        uri = str(shard_file(out, index))
        record_shard(session, stage, index, uri=uri, digest=digest, documents=documents)
    write_rows(session, find_corpus_version(session, corpus.id), recipe_id, found.rows)


def _compare(context: RunContext, arm: ArmState, row: Generation, index: int) -> None:
    """Measure how far self-rater and gate anchor agree, and record it about the generation."""
    from workers.evaluation.agreement import VERSION, agreement
    from workers.evaluation.catalogue import SELF_RATING
    from workers.evaluation.corpus_scores import TASK

    rated, scores = arm.self_rated, arm.anchored
    inputs = {
        "ratings": rated[index].digest,
        "scores": scores[index].digest,
        "ratings0": rated[0].digest,
        "scores0": scores[0].digest,
        # A number about this generation: recorded for it, whoever shares model and corpus.
        "generation": row.id,
    }
    settings = {"census": True, "agreement": VERSION, "documents": DOCUMENTS}
    recipe = Recipe("evaluate", settings, inputs)

    def work(stage: Stage) -> Finished:
        began = time.monotonic()
        texts, _ = document_scores.rated_texts(
            scores[index].folder, rated[index].folder, scores[0].folder, DOCUMENTS
        )
        found = [measure.row for measure in agreement(texts, _label_scale(arm))]
        mean = document_scores.self_score(rated[index].folder)
        found.append(mean.row(TASK, SELF_RATING, VERSION))

        def record(session: Session) -> None:
            write_rows(session, session.get(Generation, row.id), recipe.id, found)

        out = context.stage_folder(recipe.id)
        return Finished(recipe.id, str(out), {"metrics": len(found)}, costs(began), record)

    perform(context, row, recipe, work, lambda output: True)


def _label_scale(arm: ArmState) -> LabelScale | None:
    """The scale of the labels, by what model 0 and the anchor say of corpus 0; None without."""
    from workers.evaluation.agreement import LabelScale

    first = arm.anchored[0].folder
    texts, labels = document_scores.rated_texts(first, arm.self_rated[0].folder, first, DOCUMENTS)
    known = [(text, label) for text, label in zip(texts, labels, strict=True) if label is not None]
    # Both raters must have scored documents of both labels.
    for side in (0, 1):
        own = [text for text, label in known if label == side]
        if not any(t.self_score is not None for t in own):
            return None
        if not any(t.anchor_score is not None for t in own):
            return None
    return LabelScale.fit([text for text, _ in known], [label for _, label in known])


def _joined(digests: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(digests).encode("ascii")).hexdigest()
