"""The stages of a generation: what each reads, what decides its result, and what it leaves."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from configs.arms import REWRITING
from configs.arms import Arm as ArmName
from configs.experiment import Experiment
from configs.identity import stage_settings
from db.models import Generation, Stage
from db.records import (
    add_corpus_version,
    derive,
    find_checkpoint,
    find_corpus_version,
)
from flows.context import RunContext
from flows.places import ANSWERS_FILE
from flows.sharding import RunShards, sharded
from flows.stages import Finished, Recipe, costs, perform
from workers.assembling import Assembled, assemble
from workers.checkpoints import CheckpointRef
from workers.corpora.store import CorpusRef, open_corpus
from workers.engines.interface import EngineSpec
from workers.jobs import AcceptJob, RateJob, shard_name
from workers.records import Aim
from workers.revise_job import ReviseJob
from workers.sharing import MOUNTED, SharedStore


def asking_engine(context: RunContext, checkpoint: CheckpointRef) -> EngineSpec:
    """The engine that asks a checkpoint in this run."""
    # SQLite is not for a folder that several machines share.
    own = context.cluster() is None or context.store.url is not None
    keeps = own and context.experiment.engine.answers_gb > 0
    answers = str(context.home / ANSWERS_FILE) if keeps else ""
    return engine_spec(context.experiment, checkpoint, context.store, answers)


def engine_spec(
    experiment: Experiment,
    checkpoint: CheckpointRef,
    store: SharedStore = MOUNTED,
    answers: str = "",
) -> EngineSpec:
    """The engine that asks a checkpoint under an experiment's settings.

    Args:
        experiment: its settings.
        checkpoint: the weights.
        store: where they are fetched from.
        answers: file in which answers are kept; none are without.
    """
    engine, revising = experiment.engine, experiment.revising
    # Where a model is split over GPUs, its processes do not know the sources.
    drafts = (
        engine.kind == "vllm"
        and engine.tensor_parallel == 1
        and revising.mode == "rewrite"
        and revising.temperature == 0
    )
    return EngineSpec(
        kind=engine.kind,
        checkpoint_uri=checkpoint.uri,
        checkpoint_id=checkpoint.id,
        dtype=experiment.model.dtype,
        max_length=experiment.model.max_length,
        threads=engine.threads,
        tensor_parallel=engine.tensor_parallel,
        memory_gb=engine.memory_gb,
        gpu_memory_share=engine.gpu_memory_share,
        enforce_eager=engine.enforce_eager,
        batch=engine.batch,
        draft_tokens=engine.draft_tokens if drafts else 0,
        answers=answers,
        answers_gb=engine.answers_gb,
        store=store,
    )


def asking_inputs(
    context: RunContext, checkpoint: CheckpointRef, corpus: CorpusRef
) -> dict[str, Any]:
    """What a model call's result depends on beside settings: contents, and the engine's version."""
    return {
        "checkpoint": checkpoint.id,
        "corpus": corpus.id,
        "principles": context.principles.digest,
        "prompts": context.prompt_file.digest,
        "engine": context.engine_version(),
    }


def rate(
    context: RunContext,
    generation: Generation,
    checkpoint: CheckpointRef,
    corpus: CorpusRef,
    run: RunShards,
) -> Finished:
    """Ratings of every document of a corpus by a model."""
    recipe = Recipe(
        "rate",
        stage_settings(context.experiment, "rate"),
        asking_inputs(context, checkpoint, corpus),
    )
    job = RateJob(**rate_job(context, checkpoint, corpus, recipe))
    return sharded(context, generation, recipe, job, run)


def rate_job(
    context: RunContext, checkpoint: CheckpointRef, corpus: CorpusRef, recipe: Recipe
) -> dict[str, Any]:
    """What every job of rating is made of."""
    return {
        "corpus": corpus,
        "out": str(context.stage_folder(recipe.id)),
        "spec": asking_engine(context, checkpoint),
        "prompt_file": context.prompt_file,
        "principles": context.principles,
        "min_answer_mass": context.experiment.rating.min_answer_mass,
        "store": context.store,
    }


def revise(
    context: RunContext,
    generation: Generation,
    arm: ArmName,
    checkpoint: CheckpointRef,
    corpus: CorpusRef,
    ratings: Finished,
    seed: int,
    run: RunShards,
) -> Finished:
    """Decisions on every document: in the filter arm to drop, else as `revising.mode` says."""
    settings = context.experiment
    mode = "drop" if arm is ArmName.FILTER else settings.revising.mode
    asks = asks_model(context, arm)
    fixed = stage_settings(settings, "revise")
    aim = aim_of(arm)
    inputs = asking_inputs(context, checkpoint, corpus) | {"ratings": ratings.digest, "mode": mode}
    if aim != "revise":
        inputs["aim"] = aim
    if not asks:
        # Without a model call, the decision follows from ratings and threshold alone.
        fixed = {"rating.threshold": fixed["rating.threshold"], "tag": settings.revising.tag}
        inputs = {"corpus": corpus.id, "ratings": ratings.digest, "mode": mode}
    elif settings.revising.temperature > 0:
        inputs["seed"] = seed
    recipe = Recipe("revise", fixed, inputs)
    job = ReviseJob(
        corpus=corpus,
        out=str(context.stage_folder(recipe.id)),
        spec=asking_engine(context, checkpoint) if asks else None,
        prompt_file=context.prompt_file,
        principles=context.principles,
        min_answer_mass=settings.rating.min_answer_mass,
        ratings=ratings.uri,
        store=context.store,
        threshold=settings.rating.threshold,
        mode=mode,
        max_tokens=settings.revising.max_tokens,
        temperature=settings.revising.temperature,
        tag=settings.revising.tag,
        acceptance=settings.acceptance,
        seed=seed,
        aim=aim,
        candidates=settings.revising.candidates,
        quantile=settings.revising.quantile,
    )
    return sharded(context, generation, recipe, job, run)


def accept(
    context: RunContext,
    generation: Generation,
    arm: ArmName,
    rater: CheckpointRef,
    corpus: CorpusRef,
    revisions: Finished,
    run: RunShards,
) -> Finished:
    """The decisions after the acceptance rater, frozen generation 0, has judged the revisions."""
    aim = aim_of(arm)
    inputs = asking_inputs(context, rater, corpus) | {"revisions": revisions.digest}
    if aim != "revise":
        inputs["aim"] = aim
    settings = stage_settings(context.experiment, "accept")
    recipe = Recipe("accept", settings, inputs)
    job = AcceptJob(
        corpus=corpus,
        out=str(context.stage_folder(recipe.id)),
        spec=asking_engine(context, rater),
        prompt_file=context.prompt_file,
        principles=context.principles,
        min_answer_mass=context.experiment.rating.min_answer_mass,
        revisions=revisions.uri,
        store=context.store,
        acceptance=context.experiment.acceptance,
        aim=aim,
    )
    return sharded(context, generation, recipe, job, run)


def make_corpus(
    context: RunContext,
    generation: Generation,
    corpus: CorpusRef,
    decisions: Finished,
    read_by: CheckpointRef,
    accepted_by: CheckpointRef | None,
) -> Assembled:
    """Corpus n out of corpus n-1 and the decisions; the counts must add up.

    Its lineage names the model that rated and revised it, and the one that judged the revisions.
    """
    settings = context.experiment
    recipe = Recipe(
        "assemble",
        stage_settings(settings, "assemble"),
        {"corpus": corpus.id, "decisions": decisions.digest},
    )

    def work(stage: Stage) -> Finished:
        made = assemble(
            corpus,
            folder(decisions),
            context.home,
            settings.intake.shard_documents,
            context.store,
        )
        meta = {"counts": made.counts, "quarantined": list(made.quarantined)}

        def record(session: Any) -> None:
            parent = find_corpus_version(session, corpus.id)
            row = add_corpus(session, context, made.corpus, parent=parent, recipe_id=recipe.id)
            for relation, model in (("read_by", read_by), ("accepted_by", accepted_by)):
                found = find_checkpoint(session, model.id) if model else None
                if found is not None:
                    derive(session, row, relation, found)

        return Finished(
            made.corpus.id,
            made.corpus.uri,
            meta,
            costs(began, documents=corpus.documents),
            record,
        )

    began = time.monotonic()
    done = perform(
        context, generation, recipe, work, lambda output: context.store.folder_stands(output.uri)
    )
    return Assembled(
        corpus_here(context, done.uri), dict(done.meta["counts"]), tuple(done.meta["quarantined"])
    )


def asks_model(context: RunContext, arm: ArmName) -> bool:
    """Whether an arm's decisions come from model replies, and not from ratings alone."""
    return arm in REWRITING and context.experiment.revising.mode in ReviseJob.ASKING_MODES


def aim_of(arm: ArmName) -> Aim:
    """What an arm's documents are written anew for."""
    aims: dict[ArmName, Aim] = {ArmName.PARAPHRASE: "paraphrase", ArmName.INVERT: "invert"}
    return aims.get(arm, "revise")


def folder(output: Finished) -> Path:
    """Folder of a stage's output."""
    return Path(output.uri)


def corpus_here(context: RunContext, uri: str) -> CorpusRef:
    """A recorded corpus version, on this node."""
    return open_corpus(context.store.fetch_folder(context.located(uri)))


def shards_here(context: RunContext, output: Finished, shards: int) -> Path:
    """Folder of a sharded stage's output, with every shard on this node."""
    return context.store.fetch_files(output.uri, map(shard_name, range(shards)))


def add_corpus(session: Any, context: RunContext, corpus: CorpusRef, **more: Any) -> Any:
    """Record a corpus version."""
    return add_corpus_version(
        session,
        corpus.id,
        uri=corpus.uri,
        shards=len(corpus.shards),
        documents=corpus.documents,
        run=context.run,
        **more,
    )
