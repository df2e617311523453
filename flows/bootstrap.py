"""The loop: model n rates and revises the corpus, model n+1 is trained on it, both are evaluated.

This file is the table of contents; `generation` holds the steps of one turn of the loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from configs.experiment import Experiment
from configs.loading import load
from db.records import set_arm_status
from flows.beginnings import beginnings
from flows.context import RunContext
from flows.deciding import decide
from flows.generation import generation
from flows.opening import open_run
from flows.publishing import Outcome, publish_generation, publish_results


@flow(name="bootstrap", flow_run_name="{config}", persist_result=False)
def bootstrap(config: str, overrides: Sequence[str] = ()) -> Outcome:
    """Run an experiment's every seed and generation; what the record has is not done again.

    Args:
        config: path of the experiment's YAML file.
        overrides: `field.subfield=value` settings on top of it.
    """
    experiment = load(Path(config), overrides)
    return advance(experiment, experiment.generations)


def advance(experiment: Experiment, until: int) -> Outcome:
    """Make every seed's generations up to `until`, those on record by taking what they left."""
    with open_run(experiment, until) as context:
        beginnings.with_options(task_runner=side_by_side(experiment))()
        for index in range(1, until + 1):
            generation.with_options(task_runner=side_by_side(experiment))(index)
            decide(context, index)
            publish_generation(context, index)
        for seed in experiment.seeds:
            finish_seed(context, seed)
        return publish_results(context)


def side_by_side(experiment: Experiment) -> Any:
    """What runs as many models' tasks at a time as the config allows."""
    return ThreadPoolTaskRunner(max_workers=experiment.training.at_once)


def finish_seed(context: RunContext, seed: int) -> None:
    """Mark the arms that went all the way."""
    if not context.goes_all_the_way:
        return
    with context.write() as session:
        for arm in context.arms[seed]:
            if not arm.stopped:
                set_arm_status(session, arm.row, "finished")
