"""Rating a corpus: by the model alone, or with a classifier that it taught in front of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.asking import Cascade
from configs.identity import stage_settings
from db.models import Generation, Stage
from flows import steps
from flows.context import RunContext
from flows.evaluating import count_once
from flows.sharding import RunShards, sharded
from flows.stages import Finished, Recipe, costs, perform
from workers.cascade_jobs import CascadeJob, SampleJob
from workers.checkpoints import CheckpointRef
from workers.corpora.store import CorpusRef

CLASSIFIER = "classifier.safetensors"


@dataclass(frozen=True)
class _Rated:
    """A corpus that is being rated with a cascade, by whom, and for which generation."""

    context: RunContext
    row: Generation
    checkpoint: CheckpointRef
    corpus: CorpusRef
    cascade: Cascade

    def recipe(self, **more: Any) -> Recipe:
        """A stage of rating, with what else decides its result."""
        inputs = steps.asking_inputs(self.context, self.checkpoint, self.corpus) | more
        return Recipe("rate", stage_settings(self.context.experiment, "rate"), inputs)

    def job(self, recipe: Recipe) -> dict[str, Any]:
        """What its jobs have in common with rating by the model alone."""
        return steps.rate_job(self.context, self.checkpoint, self.corpus, recipe)


def rate(
    context: RunContext,
    row: Generation,
    checkpoint: CheckpointRef,
    corpus: CorpusRef,
    run: RunShards,
) -> Finished:
    """Ratings of a corpus, as `rating.cascade` says."""
    cascade = context.experiment.rating.cascade
    if cascade is None:
        return steps.rate(context, row, checkpoint, corpus, run)
    rated = _Rated(context, row, checkpoint, corpus, cascade)
    sample = _sample(rated, run)
    classifier = _classifier(rated, sample)
    ratings = _rest(rated, sample, classifier, run)
    _audit(rated, sample, classifier, ratings)
    return ratings


def _sample(rated: _Rated, run: RunShards) -> Finished:
    """The model's ratings of a random sample."""
    share = min(1.0, rated.cascade.sample / rated.corpus.documents)
    recipe = rated.recipe(sample=share)
    job = SampleJob(**rated.job(recipe), share=share, salt=f"sample|{rated.corpus.id}")
    return sharded(rated.context, rated.row, recipe, job, run)


def _classifier(rated: _Rated, sample: Finished) -> Finished:
    """What the sample teaches; its digest is the classifier's id."""
    from workers import cascade
    from workers.cascade_audit import distil_sample

    context, threshold = rated.context, rated.context.experiment.rating.threshold
    settings = {
        "census": True,
        "cascade": cascade.VERSION,
        "threshold": threshold,
        "max_missed": rated.cascade.max_missed,
    }
    recipe = Recipe("evaluate", settings, {"corpus": rated.corpus.id, "sample": sample.digest})
    file = context.stage_folder(recipe.id) / CLASSIFIER

    def work(stage: Stage) -> Finished:
        began = time.monotonic()
        shards = steps.shards_here(context, sample, len(rated.corpus.shards))
        found = distil_sample(
            rated.corpus, shards, threshold, rated.cascade.max_missed, context.store
        )
        found.classifier.save(file)
        context.store.publish_file(file)
        said = found.why or (
            f"{found.passing:,} of {found.tested:,} documents pass, of which {found.missed} fall "
            "short by the model"
        )
        context.reporter.step(f"  cascade: {said}")
        meta = {"fitted": found.fitted, "tested": found.tested, "passing": found.passing,
                "missed": found.missed, "why": found.why}  # fmt: skip
        return Finished(found.classifier.id, str(file.parent), meta, costs(began))

    def whole(output: Finished) -> bool:
        return context.store.files_standing(output.uri, {CLASSIFIER}) == {CLASSIFIER}

    return perform(context, rated.row, recipe, work, whole)


def _rest(rated: _Rated, sample: Finished, classifier: Finished, run: RunShards) -> Finished:
    """The ratings of all documents: sampled, let pass, audited, or left to the model."""
    share = rated.cascade.audit_share
    recipe = rated.recipe(classifier=classifier.digest, audit=share, taken=sample.digest)
    job = CascadeJob(
        **rated.job(recipe),
        sample=sample.uri,
        classifier=str(Path(classifier.uri) / CLASSIFIER),
        classifier_id=classifier.digest,
        audit_share=share,
        audit_salt=f"audit|{rated.corpus.id}",
    )
    return sharded(rated.context, rated.row, recipe, job, run)


def _audit(rated: _Rated, sample: Finished, classifier: Finished, ratings: Finished) -> None:
    """Record how many documents were let pass, and what of the audited ones falls short."""
    from workers.cascade import Distilled
    from workers.cascade_audit import audited

    context, shards = rated.context, len(rated.corpus.shards)

    def count() -> list[Any]:
        found = audited(
            rated.corpus,
            steps.shards_here(context, sample, shards),
            steps.shards_here(context, ratings, shards),
            Distilled.load(
                context.store.fetch_file(Path(classifier.uri) / CLASSIFIER), classifier.digest
            ),
            context.experiment.rating.threshold,
            context.store,
        )
        return found.rows()

    inputs = {
        "ratings": ratings.digest,
        "classifier": classifier.digest,
        "generation": rated.row.id,
    }
    row_id = rated.row.id
    count_once(context, rated.row, inputs, count, lambda session: session.get(Generation, row_id))
