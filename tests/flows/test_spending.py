"""Budgets: a run that has spent one stops before its next stage, and a larger one goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from configs.loading import ConfigProblem, load
from db.models import Experiment, Run, Stage
from db.records import StageCosts, ensure_generation, start_stage
from db.sessions import open_database
from flows.context import RunContext
from flows.opening import open_run
from flows.spending import BudgetSpent
from flows.stages import Finished, Recipe, perform
from workers.engines.interface import Usage

TINY = Path(__file__).parents[2] / "configs" / "microworld-tiny.yaml"
ASKED = Usage(calls=10, prompt_tokens=900, output_tokens=100)


@contextmanager
def opened(home: Path, *settings: str) -> Iterator[RunContext]:
    with open_run(load(TINY, [f"placement.home={home}", *settings]), 2) as context:
        yield context


def ask(context: RunContext, name: str) -> Finished:
    """A stage that asks a model a thousand tokens."""
    from db.models import Arm

    def work(stage: Stage) -> Finished:
        context.spending.note(ASKED)
        tokens = StageCosts(prompt_tokens=ASKED.prompt_tokens, output_tokens=ASKED.output_tokens)
        return Finished(name, "", {}, tokens)

    with context.write() as session:
        row = ensure_generation(session, session.scalars(select(Arm).order_by(Arm.id)).first(), 1)
    return perform(context, row, Recipe("rate", {}, {"corpus": name}), work, lambda _: True)


def asking(home: Path, names: str, *settings: str) -> None:
    """A run of a stage for each letter."""
    with opened(home, *settings) as context:
        for name in names:
            ask(context, name)


def outcomes(home: Path) -> tuple[list[str | None], str]:
    database = open_database(f"sqlite:///{home}/palimpsest.db")
    with database.readers() as session:
        runs = session.scalars(select(Run.outcome).order_by(Run.id)).all()
        status = session.scalars(select(Experiment.status)).one()
    database.dispose()
    return list(runs), status


def test_a_run_stops_before_the_stage_that_it_cannot_pay_and_a_larger_budget_goes_on(
    tmp_path: Path,
) -> None:
    with pytest.raises(BudgetSpent, match=r"budget\.tokens: 2,000 of 1,500 are spent"):
        asking(tmp_path, "abc", "budget.tokens=1500")
    assert outcomes(tmp_path) == (["stopped"], "stopped")
    # What the first run spent still counts, and what it finished is free.
    with pytest.raises(BudgetSpent, match="2,000 of 2,000"):
        asking(tmp_path, "abc", "budget.tokens=2000")
    with opened(tmp_path, "budget.tokens=3000") as context:
        ask(context, "c")
        assert (context.spending.before.tokens, context.spending.tokens) == (2000, 1000)


def earlier_run(home: Path, *, hours: float, killed: bool) -> None:
    """Put a run on record that began so many hours before its end, or before its last stage's."""
    with opened(home) as context:
        pass
    with context.database.sessions.begin() as session:
        run = session.scalars(select(Run)).one()
        if killed:
            stage = start_stage(
                session, "r", stage="rate", algorithm_version="1", params={}, run=run
            )
            stage.status, stage.finished_at, run.finished_at = "done", run.finished_at, None
            end = stage.finished_at
        else:
            end = run.finished_at
        assert end is not None
        run.started_at = end - timedelta(hours=hours)


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["budget.hours=3"], r"budget\.hours: 3 of 3"),
        (["budget.cost=7.5", "budget.cost_per_hour=2.5"], r"budget\.cost: 7\.5 of 7\.5"),
    ],
)
def test_hours_and_money_are_those_of_all_runs(
    tmp_path: Path, killed: bool, settings: list[str], said: str
) -> None:
    earlier_run(tmp_path, hours=3, killed=killed)
    with pytest.raises(BudgetSpent, match=said):
        asking(tmp_path, "a", *settings)
    asking(tmp_path, "a", f"{settings[0]}1", *settings[1:])


def test_a_cost_without_a_price_is_refused() -> None:
    with pytest.raises(ConfigProblem, match=r"budget\.cost_per_hour"):
        load(TINY, ["budget.cost=5"])
