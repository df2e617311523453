"""A stage's shards over Prefect tasks: no barrier between them, and a try that fails loses none."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from configs.budget import Budget
from configs.loading import load
from flows import tasks
from flows.opening import open_run
from flows.spending import BudgetSpent
from workers.engines.interface import Usage
from workers.pool import ShardResult

TINY = Path(__file__).parents[2] / "configs" / "microworld-tiny.yaml"
SHARDS = 40
STAGE = SimpleNamespace(stage="rate", recipe_id="r")
JOB = SimpleNamespace(corpus=SimpleNamespace(shards=[SimpleNamespace(documents=5)] * SHARDS))


class Pool:
    """Ends shards in an order of its own, and fails once where it is told to."""

    def __init__(self, fails_after: int | None = None) -> None:
        self.asked = []
        self.fails_after = fails_after

    def run(self, job, shards, *, stage, errors, go_on):
        self.asked.append((list(shards), errors))
        for done, shard in enumerate(reversed(shards)):
            if not go_on():
                return
            if done == self.fails_after:
                self.fails_after = None
                raise ConnectionError("Ray is away")
            usage = Usage(calls=5, prompt_tokens=15, output_tokens=5)
            yield ShardResult(shard, "", f"digest {shard}", 5, errors=shard == 39, usage=usage)


@dataclass
class Sharded:
    """Does shards in a run, and keeps which were recorded: a list for each task's try."""

    context: Any
    tries: list[list[int]] = field(default_factory=list)

    def note(self, context, stage, result):
        self.tries[-1].append(result.shard)
        context.spending.note(result.usage)

    def do(self, pool: Pool) -> list[ShardResult]:
        self.context.pool = lambda: pool
        return tasks.run_shards(STAGE, JOB, range(SHARDS))


@pytest.fixture
def sharded(tmp_path, monkeypatch):
    once = tasks.shard_group.fn

    def group(*asked):
        # As Prefect does: what fails is tried again.
        for last in (False, True):
            made.tries.append([])
            try:
                return once(*asked)
            except ConnectionError:
                if last:
                    raise

    with open_run(load(TINY, [f"placement.home={tmp_path}"]), 2) as context:
        made = Sharded(context)
        monkeypatch.setattr(tasks.sharding, "note_shard", made.note)
        monkeypatch.setattr(tasks, "shard_group", group)
        yield made


def test_the_pool_is_given_all_shards_at_once_and_each_task_records_its_share(sharded):
    pool = Pool()
    results = sharded.do(pool)
    assert pool.asked == [(list(range(SHARDS)), 0)]
    assert [len(each) for each in sharded.tries] == [16, 16, 8]
    assert sorted(each.shard for each in results) == list(range(SHARDS))


def test_a_try_that_fails_keeps_what_was_recorded_and_asks_for_the_rest(sharded):
    pool = Pool(fails_after=20)
    results = sharded.do(pool)
    left = list(range(SHARDS - 20))
    assert pool.asked == [(list(range(SHARDS)), 0), (left, 1)]
    assert [len(each) for each in sharded.tries] == [16, 4, 16, 4]
    assert sorted(each.shard for each in results) == list(range(SHARDS))


def test_a_budget_that_is_reached_stops_the_run_after_what_was_under_way(sharded):
    sharded.context.spending.budget = Budget(tokens=100)
    with pytest.raises(BudgetSpent, match=r"budget\.tokens: 100 of 100 are spent"):
        sharded.do(Pool())
    assert [len(each) for each in sharded.tries] == [5]
