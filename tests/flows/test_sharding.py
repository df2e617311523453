"""A stage that works shard by shard is resumed, and says what all of it took."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from configs.loading import load
from db.models import Stage
from db.records import ensure_generation
from flows import sharding
from flows.opening import open_run
from flows.stages import Recipe
from workers.engines.interface import Usage
from workers.jobs import shard_file
from workers.pool import ShardResult
from workers.problems import WorkProblem

TINY = Path(__file__).parents[2] / "configs" / "microworld-tiny.yaml"
DOCUMENTS = 100
RECIPE = Recipe("rate", {}, {"corpus": "c"})


@dataclass
class FakeJob:
    out: str
    corpus: SimpleNamespace
    spec: None = None


@pytest.fixture
def context(tmp_path):
    with open_run(load(TINY, [f"placement.home={tmp_path}"]), 2) as context:
        yield context


@pytest.fixture
def job(tmp_path):
    (tmp_path / "out").mkdir()
    return FakeJob(str(tmp_path / "out"), SimpleNamespace(shards=range(4), documents=DOCUMENTS))


def rate(context, job, *, dies_at: int | None = None, errors_at: int | None = None) -> list[int]:
    """Do the stage; the shards that were asked for."""
    asked: list[int] = []

    def run(stage, job, shards):
        results = []
        for shard in shards:
            if shard == dies_at:
                raise WorkProblem("the machine went down")
            asked.append(shard)
            Path(shard_file(job.out, shard)).write_text(str(shard))
            made = ShardResult(
                shard,
                job.out,
                f"digest {shard}",
                documents=DOCUMENTS // 4,
                errors=10 if shard == errors_at else 0,
                usage=Usage(calls=25, prompt_tokens=1000, cached_tokens=200, output_tokens=50),
            )
            sharding.note_shard(context, stage, made)
            results.append(made)
        return results

    with context.write() as session:
        row = ensure_generation(session, next(iter_arms(context, session)), 1)
    sharding.sharded(context, row, RECIPE, job, run)
    return asked


def iter_arms(context, session):
    from db.models import Arm

    yield from session.scalars(select(Arm).order_by(Arm.id))


def recorded(context) -> Stage:
    with context.read() as session:
        return session.scalars(select(Stage).where(Stage.recipe_id == RECIPE.id)).one()


def test_a_resumed_stage_costs_what_all_its_shards_took(context, job):
    with pytest.raises(WorkProblem, match="went down"):
        rate(context, job, dies_at=3)
    assert rate(context, job) == [3]
    stage = recorded(context)
    assert (stage.status, stage.documents, stage.model_calls) == ("done", DOCUMENTS, 100)
    assert (stage.prompt_tokens, stage.cached_tokens, stage.output_tokens) == (4000, 800, 200)
    # Calls made in this run, which is what it says of itself.
    assert context.model_calls == 25


def test_a_shard_on_which_the_engine_failed_is_asked_again(context, job):
    for _ in range(2):
        with pytest.raises(WorkProblem, match="went down"):
            rate(context, job, errors_at=2, dies_at=3)
    assert rate(context, job) == [2, 3]
    assert recorded(context).errors == 0
