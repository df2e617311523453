"""Prefect tasks: shard groups, training and evaluating. They take ids and numbers, never text."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from prefect import State, task
from prefect.cache_policies import NO_CACHE

from configs.arms import Arm as ArmName
from db.models import Stage
from flows import anchoring, evaluating, relearning, sharding, succession
from flows.context import ArmState, current
from workers.interrupting import stop_if_asked
from workers.jobs import Job

if TYPE_CHECKING:
    from workers.pool import ShardResult

_jobs: dict[str, tuple[Stage, Job]] = {}


def lost_touch(task: Any, task_run: Any, state: State[Any]) -> bool:
    """Whether a task failed because Ray was lost on the way, so that it is worth another try.

    What no other try can mend, bad input, a full disk or a lost lease, ends the run; lost engines
    and nodes are dealt with below, in the pool. Ray is left, so that the next try joins it anew.
    """
    from ray.exceptions import RayError

    cause = state.result(raise_on_failure=False)
    if not isinstance(cause, RayError | ConnectionError):
        return False
    current().close()
    return True


TASK: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "persist_result": False,
    "retries": 2,
    "retry_delay_seconds": [5, 30],
    "retry_condition_fn": lost_touch,
}


def run_shard_group(
    stage: Stage, job: Job, shards: Sequence[int], errors: int
) -> list[ShardResult]:
    """Run a group of a stage's shards as one Prefect task."""
    _jobs[stage.recipe_id] = (stage, job)
    return shard_group(stage.stage, stage.recipe_id, list(shards), errors)


@task(task_run_name="{stage} shards", **TASK)
def shard_group(stage: str, recipe_id: str, shards: list[int], before: int) -> list[ShardResult]:
    """Give a group of shards to the engine pool, and record each as it ends.

    Documents that were given up in the groups before count against the error budget too.
    """
    context = current()
    row, job = _jobs[recipe_id]
    results: list[ShardResult] = []
    began = time.monotonic()
    total = sum(job.corpus.shards[index].documents for index in shards)
    for result in context.pool().run(job, shards, stage=stage, errors=before):
        sharding.note_shard(context, row, result)
        stop_if_asked()
        results.append(result)
        done = sum(each.documents for each in results)
        tokens = sum(r.usage.prompt_tokens + r.usage.output_tokens for r in results)
        errors = sum(each.errors for each in results)
        rate = tokens / max(time.monotonic() - began, 1e-9)
        said = f"{rate:,.0f} tokens/s, {errors} errors"
        context.reporter.progress(f"{stage} documents", done, total, began, said)
    return results


@task(task_run_name="model {arm} {index}", **TASK)
def make_model(arm: ArmName, seed: int, index: int, excluded: frozenset[str]) -> None:
    """Train an arm's model of this generation on its corpus, and evaluate it."""
    succession.train_model(current(), _arm(arm, seed), index, excluded)
    evaluate_model(arm, seed, index)


@task(task_run_name="evaluate {arm} {index}", **TASK)
def evaluate_model(arm: ArmName, seed: int, index: int) -> None:
    """Evaluate an arm's model of this generation."""
    evaluating.evaluate_model(current(), _arm(arm, seed), index)
    relearning.relearn(current(), _arm(arm, seed), index)


@task(task_run_name="census {arm} {index}", **TASK)
def evaluate_corpus(arm: ArmName, seed: int, index: int) -> None:
    """Evaluate an arm's corpus of this generation."""
    evaluating.evaluate_corpus(current(), _arm(arm, seed), index)
    if anchoring.asked(current()):
        anchoring.score_corpus(current(), _arm(arm, seed), index)


def _arm(name: ArmName, seed: int) -> ArmState:
    return next(arm for arm in current().arms[seed] if arm.name is name)
