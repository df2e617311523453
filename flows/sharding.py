"""Stages that work shard by shard: what is kept of an earlier attempt, what each shard took."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from db.models import Generation, Shard, Stage
from db.records import StageCosts, list_shards, record_shard
from flows.context import RunContext
from flows.stages import Finished, Recipe, costs, numerics_class, perform
from workers.engines.interface import Usage
from workers.jobs import Job, shard_name

if TYPE_CHECKING:
    from workers.pool import ShardResult

RunShards = Callable[[Stage, Job, Sequence[int]], "list[ShardResult]"]
"""Does shards of a stage's job."""


def sharded(
    context: RunContext, generation: Generation, recipe: Recipe, job: Job, run: RunShards
) -> Finished:
    """Do a stage shard by shard; finished shards of an interrupted attempt are kept."""

    def work(stage: Stage) -> Finished:
        began = time.monotonic()
        with context.read() as session:
            found = list_shards(session, stage)
        # One on which the engine failed is asked again: the engine may have been mended.
        done = [row for row in found if row.status == "done"]
        digests = {shard_name(row.shard_index): row.digest for row in done}
        there = context.store.files_standing(job.out, digests, digests)
        kept = {r.shard_index: r for r in done if shard_name(r.shard_index) in there}
        missing = [i for i in range(len(job.corpus.shards)) if i not in kept]
        if kept:
            context.reporter.step(f"  {recipe.stage}: {len(kept)} shards kept from before")
        results = run(stage, job, missing)
        digests = {index: row.digest for index, row in kept.items()}
        digests |= {result.shard: result.digest for result in results}
        joined = "\n".join(digests[index] for index in sorted(digests))
        digest = hashlib.sha256(joined.encode("ascii")).hexdigest()
        spent = _sharded_costs(context, job, list(kept.values()), results, began)
        reused = sum(result.usage.reused for result in results)
        if reused:
            context.reporter.step(f"  {recipe.stage}: {reused:,} answers were known")
        return Finished(digest, job.out, {"shards": len(digests), "reused": reused}, spent)

    def whole(output: Finished) -> bool:
        wanted = set(map(shard_name, range(len(job.corpus.shards))))
        return context.store.files_standing(output.uri, wanted) == wanted

    threads = context.experiment.engine.threads
    return perform(
        context,
        generation,
        recipe,
        work,
        whole,
        numerics=lambda: numerics_class(context, threads),
    )


def _sharded_costs(
    context: RunContext,
    job: Job,
    kept: Sequence[Shard],
    results: Sequence[ShardResult],
    began: float,
) -> StageCosts:
    """What all shards took, those of an earlier attempt included; the seconds are this one's."""
    context.model_calls += sum(result.usage.calls for result in results)
    earlier = [Usage(**row.meta["usage"]) for row in kept if "usage" in row.meta]
    usage = [*earlier, *(result.usage for result in results)]
    asked = job.spec is not None
    info = context.pool().info if asked else None
    return costs(
        began,
        engine=info.name if info else None,
        engine_version=info.version if info else None,
        documents=sum(each.documents for each in (*kept, *results)),
        model_calls=sum(each.calls for each in usage),
        prompt_tokens=sum(each.prompt_tokens for each in usage),
        cached_tokens=sum(each.cached_tokens for each in usage),
        output_tokens=sum(each.output_tokens for each in usage),
        errors=sum(result.errors for result in results),
        engine_start_s=context.pool().take_start_s() if asked else 0.0,
    )


def note_shard(context: RunContext, stage: Stage, result: ShardResult) -> None:
    """Record a finished shard."""
    context.spending.note(result.usage)
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
            meta={"usage": asdict(result.usage), "nodes": sorted(result.nodes)},
        )
