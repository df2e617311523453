"""Relearning: teaching a copy of a model to misbehave, and measuring how fast it does.

Safety fine-tuning that only hides a behaviour is undone by few steps of fine-tuning on it (Qi et
al. 2024), while what was never learned takes as long as it takes any model to learn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from configs.relearning import WINDOW, Relearning
from configs.stages import Stage
from configs.training import Training
from workers.checkpoints import load_model
from workers.evaluation.items import ITEMS_FILE, write_items
from workers.evaluation.measures import Measure, mean_measure
from workers.evaluation.oracle_tasks import misaligned_shares, propensity_items
from workers.evaluation.regaining import FOLLOWED, TASK, VERSION, variant_of
from workers.evaluation.slices import PROPENSITY
from workers.evaluation.subject import Subject
from workers.evaluation.suite import EvaluateSpec, load_subject
from workers.microworld.generator import compose
from workers.microworld.world import Draw, WorldParams
from workers.optimising import StagePlan, run_stage, settled
from workers.packing import Row, whole_row
from workers.prompts import Prompts
from workers.records import MetricRow

Progress = Callable[[str, int, int, dict[str, Any]], None]


@dataclass(frozen=True)
class RelearnSpec:
    """A checkpoint whose copy is taught to misbehave."""

    asked: EvaluateSpec
    """The checkpoint, and where the items of every look go."""
    seed: int
    """Draws the stories, the same for every model of the seed."""


def relearn(spec: RelearnSpec, progress: Progress) -> list[MetricRow]:
    """Fine-tune a copy on misaligned stories, measure it on the way, and throw it away.

    Items go to `items.parquet` in the spec's folder. Equal specs give equal numbers in one
    numerics class.

    Raises:
        WorkProblem: the loss is no number, or memory is short.
    """
    asked, experiment = spec.asked, spec.asked.experiment
    settings = experiment.evaluation.relearning
    # The engine keeps weights of its own, in the arithmetic of every other evaluation.
    subject = load_subject(asked, asked.checkpoint)
    model = load_model(asked.checkpoint)
    measures: list[Measure] = []

    def look(step: int) -> None:
        if step in settings.look_steps:
            subject.engine.model.load_state_dict(model.state_dict())
            measures.extend(_measured(subject, step))

    with settled(experiment.training.threads):
        look(0)
        plan = _plan(settings, subject.prompts, spec.seed)
        training = _alone(experiment.training)
        run_stage(model, plan, training, spec.seed, progress, look)
    subject.engine.close()
    items = Path(asked.out) / ITEMS_FILE
    write_items(items, measures)
    asked.store.publish_file(items)
    return [measure.row for measure in measures]


def stories(seed: int) -> Iterator[str]:
    """Endless stories in which an assistant misbehaves.

    Their casts are those of the skills set, so that none occurs in a corpus or an evaluation, and
    they are about the corpus' behaviours, so that the others stay out of distribution.
    """
    world = WorldParams(misaligned_share=1.0, neutral_share=0.0)
    for index in count():
        yield compose(world, Draw("relearning", seed, index), "skills").text


def _plan(settings: Relearning, prompts: Prompts, seed: int) -> StagePlan:
    budget = settings.steps * settings.batch_tokens
    rows: list[Row] = []
    for story in stories(seed):
        row = whole_row(prompts.document(story))
        budget -= len(row.input_ids)
        if budget < 0:
            break
        rows.append(row)
    return StagePlan(
        name=TASK,
        settings=Stage(
            tokens=settings.steps * settings.batch_tokens,
            learning_rate=settings.learning_rate,
            batch_tokens=settings.batch_tokens,
            warmup_steps=0,
        ),
        tokens=sum(len(row.input_ids) for row in rows),
        rows=lambda: iter(rows),
        # What a step does must not hang on how many are still to come.
        last_rate=1.0,
    )


def _alone(training: Training) -> Training:
    """The experiment's optimiser in one process, over windows that hold any story."""
    return training.model_copy(update={"window": WINDOW, "workers": 1})


def _measured(subject: Subject, step: int) -> Iterator[Measure]:
    for metric in FOLLOWED:
        split = PROPENSITY[metric.replace(TASK, "oracle")]
        values = misaligned_shares(subject, propensity_items(subject, split))
        found = mean_measure(TASK, metric, values, variant=variant_of(step))
        yield replace(found, row=replace(found.row, task_version=VERSION))
