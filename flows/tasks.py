"""Prefect tasks: shard groups, training and evaluating. They take ids and numbers, never text."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from prefect import State, task
from prefect.cache_policies import NO_CACHE

from configs.arms import Arm as ArmName
from db.models import Stage
from db.records import ensure_generation
from flows import anchoring, evaluating, instrumental, relearning, sharding, succession
from flows.context import ArmState, current
from workers.interrupting import stop_if_asked
from workers.jobs import Job

if TYPE_CHECKING:
    from workers.pool import ShardResult

SHARDS_AN_ACTOR = 16
"""Shards for each actor that are recorded by one Prefect task, so that its cost is spread."""


@dataclass(slots=True)
class _Sharded:
    """A stage that is being done, from one Prefect task to the next."""

    stage: Stage
    job: Job
    left: set[int]
    """Shards that are not recorded."""
    began: float = field(default_factory=time.monotonic)
    done: list[ShardResult] = field(default_factory=list)
    documents: int = 0
    """Of the shards that are done; of them, those given up, and the tokens of all."""
    errors: int = 0
    tokens: int = 0
    coming: Iterator[ShardResult] | None = None
    """What the pool makes of those left. No task ends it, so that the actors go on between them."""

    def note(self, result: ShardResult) -> None:
        """Count a shard that is recorded now."""
        self.left.remove(result.shard)
        self.done.append(result)
        self.documents += result.documents
        self.errors += result.errors
        self.tokens += result.usage.prompt_tokens + result.usage.output_tokens


_sharded: dict[str, _Sharded] = {}


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


def run_shards(stage: Stage, job: Job, shards: Sequence[int]) -> list[ShardResult]:
    """Do shards of a stage, so many in each Prefect task, with no barrier between the tasks."""
    context, recipe_id = current(), stage.recipe_id
    work = _sharded[recipe_id] = _Sharded(stage, job, set(shards))
    at_once = SHARDS_AN_ACTOR * context.experiment.engine.actors
    try:
        while work.left:
            context.spending.check()
            shard_group(stage.stage, recipe_id, at_once)
    finally:
        del _sharded[recipe_id]
    return work.done


@task(task_run_name="{stage} shards", **TASK)
def shard_group(stage: str, recipe_id: str, count: int) -> None:
    """Record the next shards of a stage that the engine pool ends, `count` at most.

    Documents that were given up in shards before count against the error budget too. When an
    experiment's budget is reached, what is under way is still finished and recorded.
    """
    context, work = current(), _sharded[recipe_id]
    # Put back at the end alone: a try after one that failed has a pool of its own.
    coming, work.coming = work.coming, None
    if coming is None:
        coming = context.pool().run(
            work.job,
            sorted(work.left),
            stage=stage,
            errors=work.errors,
            go_on=lambda: context.spending.reached() is None,
        )
    shards = work.job.corpus.shards
    total = work.documents + sum(shards[index].documents for index in work.left)
    for result in islice(coming, count):
        sharding.note_shard(context, work.stage, result)
        work.note(result)
        rate = work.tokens / max(time.monotonic() - work.began, 1e-9)
        said = f"{rate:,.0f} tokens/s, {work.errors} errors"
        context.reporter.progress(f"{stage} documents", work.documents, total, work.began, said)
        stop_if_asked()
    work.coming = coming


@task(task_run_name="model {arm} 0", **TASK)
def make_first_model(arm: ArmName, seed: int) -> None:
    """Make an arm's generation 0, or take what is there, and evaluate it."""
    context, state = current(), _arm(arm, seed)
    with context.write() as session:
        row = ensure_generation(session, state.row, 0)
    state.checkpoints[:] = [succession.generation_0(context, state, row)]
    evaluate_model(arm, seed, 0)


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


def evaluate_capabilities(arm: ArmName, seed: int, index: int) -> None:
    """Measure the instrumental value of capabilities in an arm's corpus of this generation.

    As many twins are trained at a time as `training.at_once` says.
    """
    context = current()
    settings = context.experiment
    if "instrumental" not in settings.evaluation.tasks:
        return
    wanted, at_once = settings.evaluation.instrumental.capabilities, settings.training.at_once
    if at_once == 1:
        for capability in wanted:
            evaluate_capability(arm, seed, index, capability)
        return
    # Ray's processes end with the thread that started them, so it is not one of the tasks'.
    context.connect_ray()
    for first in range(0, len(wanted), at_once):
        at_work = [
            evaluate_capability.submit(arm, seed, index, capability)
            for capability in wanted[first : first + at_once]
        ]
        for each in at_work:
            each.result()


@task(task_run_name="capability {arm} {index} {capability}", **TASK)
def evaluate_capability(arm: ArmName, seed: int, index: int, capability: str) -> None:
    """Measure what one capability is worth in an arm's corpus of this generation."""
    instrumental.measure_capability(current(), _arm(arm, seed), index, capability)


def _arm(name: ArmName, seed: int) -> ArmState:
    return next(arm for arm in current().arms[seed] if arm.name is name)
