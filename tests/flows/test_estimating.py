"""`estimate`: what will be asked and trained on follows from the config, the rest from a pilot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from loop_tools import run
from sqlalchemy import select

from configs.loading import load
from db.models import Experiment
from db.records import StageCosts, finish_stage, start_stage
from flows.estimates import how_far_off, keep, said
from flows.estimating import as_rows, estimate, total
from flows.opening import open_run
from flows.piloting import Pilot
from flows.trying import Asked
from workers.engines.interface import Usage

CONFIGS = Path(__file__).parents[2] / "configs"
TINY = CONFIGS / "microworld-tiny.yaml"
PILOT = Pilot(
    documents=1000,
    sample=100,
    asked={
        "rate": Asked(Usage(calls=200, prompt_tokens=8000), 2.0),
        "revise": Asked(Usage(calls=60, prompt_tokens=3000, output_tokens=500), 3.0),
        "accept": Asked(Usage(calls=40, prompt_tokens=1600), 1.0),
    },
    failing=0.3,
    accepted=0.5,
    start_s=4.0,
    train_tokens_per_s=10_000.0,
    evaluate_s=20.0,
)


def lines(config: str, *settings: str):
    found = estimate(load(CONFIGS / config, list(settings)), PILOT)
    return {line.stage: line for line in found}


def test_each_stage_is_counted_as_often_as_a_run_does_it():
    found = lines("microworld.yaml")
    # The control is one model, and generation 0 is given.
    assert (found["train"].stages, found["train"].trained_tokens) == (4, 4 * 250_000)
    assert found["evaluate"].stages == 5
    assert (found["rate"].stages, found["rate"].calls) == (3, 3 * 2000)
    # Of what fell short half is mended in each generation.
    assert found["revise"].calls == pytest.approx(600 * (1 + 0.5 + 0.25))
    # Two actors side by side; each stage starts its engines.
    assert found["rate"].seconds == pytest.approx(3 * (20.0 / 2 + 4.0))
    assert found["train"].seconds == pytest.approx(100.0)


@pytest.mark.parametrize(
    ("settings", "models", "tokens"),
    [
        ((), 35, 35 * 3_200_000),
        (("training.init=parent",), 5 * 10, 5 * 10 * 3_200_000),
        (("skills.source=none",), 35, 35 * 1_200_000),
        (("evaluation.persistence.tokens=1000",), 70, 35 * 3_201_000),
    ],
)
def test_the_studys_models_are_the_seeds_generations_and_arms(
    settings: tuple[str, ...], models: int, tokens: int
):
    found = lines("microworld-study.yaml", *settings)["train"]
    assert (found.stages, found.trained_tokens) == (models, tokens)
    # Two at once.
    assert found.seconds == pytest.approx(tokens / 10_000 / 2)


def test_what_asks_no_model_costs_nothing():
    found = lines("microworld.yaml", "arms=[control, filter]", "acceptance.rater=none")
    assert found["rate"].stages == 3
    assert (found["revise"].stages, found["accept"].calls) == (0, 0)
    assert total(list(found.values())).seconds > sum(each.seconds for each in found.values())


def test_how_far_off_is_told_of_all_runs(tmp_path: Path):
    with open_run(load(TINY, [f"placement.home={tmp_path}"]), 2) as context:
        with context.write() as session:
            made = start_stage(
                session, "r", stage="rate", algorithm_version="1", params={}, run=context.run
            )
            costs = StageCosts(prompt_tokens=900, output_tokens=100)
            finish_stage(session, made, output_digest="d", output_uri="", **costs)
            made = start_stage(
                session, "t", stage="train", algorithm_version="1", params={}, run=context.run
            )
            finish_stage(session, made, output_digest="e", output_uri="",
                         meta={"tokens_seen": 3000})  # fmt: skip
        with context.read() as session:
            row = session.scalars(select(Experiment)).one()
            assert how_far_off(tmp_path, session, row, 60.0) == {}
            keep(tmp_path, row.name, as_rows(estimate(context.experiment, PILOT)))
            off = how_far_off(tmp_path, session, row, 60.0)
    assert (off["asked"][1], off["trained"][1], off["minutes"][1]) == (1000, 3000, 1.0)
    assert [line.split(":")[0] for line in said(off)] == [
        "tokens asked of models and answered", "tokens trained on", "minutes",
    ]  # fmt: skip


@pytest.mark.slow
def test_the_command_measures_on_this_machine_and_keeps_what_it_said(tmp_path: Path):
    budget = ["--set", "budget.cost_per_hour=36", "--set", "budget.tokens=1000"]
    code, out, err = run(tmp_path, "estimate", str(TINY), "--sample", "30", *budget, "--json")
    assert code == 0, err
    found, config = json.loads(out), load(TINY)
    whole = found["stages"][-1]
    each = config.training.corpus.tokens + config.training.skills.tokens
    assert whole["trained_tokens"] == each * (1 + config.generations)
    assert found["sample"] == 30 and 0 < found["failing"] < 1
    assert found["documents"] < config.corpus.documents, "held-out documents are not asked about"
    assert whole["prompt_tokens"] > 50 * found["documents"]
    assert found["cost"] == pytest.approx(whole["seconds"] / 100)
    assert "budget.tokens: 1,000 would stop this run" in err
    (kept,) = tmp_path.rglob(f"estimates/{config.name}.json")
    assert json.loads(kept.read_text())["stages"] == found["stages"]
    assert not list(tmp_path.rglob("palimpsest.db")), "nothing is recorded"
