"""`estimate`: what an experiment will ask, train on and take, before it is run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from configs.arms import REWRITING, Arm
from configs.experiment import Experiment
from flows.piloting import Pilot
from workers.revise_job import ReviseJob

SERVERS_S = 20.0
"""Start of Ray and of Prefect's own server, once a run."""


@dataclass(frozen=True)
class Line:
    """All stages of one kind together."""

    stage: str
    stages: int
    calls: float
    prompt_tokens: float
    output_tokens: float
    trained_tokens: float
    seconds: float
    """By the clock, with as much at once as the config says."""

    @property
    def asked_tokens(self) -> float:
        """Tokens of prompts and replies."""
        return self.prompt_tokens + self.output_tokens


def estimate(experiment: Experiment, pilot: Pilot) -> list[Line]:
    """A line for each kind of stage of a run from nothing.

    What falls short is taken to become less in each generation by what the pilot saw accepted.
    """
    return [
        _asking(experiment, pilot, "rate", [1.0] * _ratings(experiment)),
        _asking(experiment, pilot, "revise", list(_revisions(experiment, pilot))),
        _asking(experiment, pilot, "accept", list(_revisions(experiment, pilot))),
        _training(experiment, pilot),
        _evaluating(experiment, pilot),
    ]


def total(lines: list[Line]) -> Line:
    """All of it."""
    return Line(
        "all",
        sum(line.stages for line in lines),
        *(
            sum(getattr(line, name) for line in lines)
            for name in ("calls", "prompt_tokens", "output_tokens", "trained_tokens")
        ),
        seconds=SERVERS_S + sum(line.seconds for line in lines),
    )


def as_rows(lines: list[Line]) -> list[dict[str, Any]]:
    """The lines and their sum, ready for JSON."""
    return [
        {
            "stage": line.stage,
            "stages": line.stages,
            "model_calls": round(line.calls),
            "prompt_tokens": round(line.prompt_tokens),
            "output_tokens": round(line.output_tokens),
            "trained_tokens": round(line.trained_tokens),
            "seconds": line.seconds,
        }
        for line in [*lines, total(lines)]
    ]


def _asking(experiment: Experiment, pilot: Pilot, stage: str, shares: list[float]) -> Line:
    """Stages that ask a model, each about its share of what the pilot's asked of as many."""
    took = pilot.asked.get(stage)
    if took is None or not shares:
        return Line(stage, 0, 0, 0, 0, 0, 0)
    scale = sum(shares) * pilot.documents / pilot.sample
    return Line(
        stage,
        len(shares),
        took.usage.calls * scale,
        took.usage.prompt_tokens * scale,
        took.usage.output_tokens * scale,
        0,
        # Each stage has other weights than the one before, and so starts its engines.
        took.seconds * scale / experiment.engine.actors + pilot.start_s * len(shares),
    )


def _ratings(experiment: Experiment) -> int:
    """Times that a corpus is rated: by the model that reads it, and at the end for the anchors."""
    seeds, last, arms = len(experiment.seeds), experiment.generations, len(_treated(experiment))
    count = 1 + arms * (last - 1) if arms else 0
    if "anchors" in experiment.evaluation.tasks:
        count = 1 + arms * last + _controls(experiment)
    return seeds * count


def _revisions(experiment: Experiment, pilot: Pilot) -> Iterator[float]:
    """For each stage of revising, the documents that fall short, in shares of the pilot's."""
    if experiment.revising.mode not in ReviseJob.ASKING_MODES:
        return
    for arm in _treated(experiment):
        if arm not in REWRITING:
            continue
        mends = arm is Arm.REVISE and experiment.source == "last"
        left = 1.0 - pilot.accepted if mends else 1.0
        for index in range(experiment.generations):
            yield from [left**index] * len(experiment.seeds)


def _controls(experiment: Experiment) -> int:
    """Models of a seed's control after generation 0."""
    chained = experiment.training.init == "parent" or experiment.skills.source == "self"
    if chained or experiment.mix.mode == "accumulate":
        return experiment.generations
    own = experiment.training.init == "scratch" and experiment.training.generation_0 == "trained"
    return 0 if own else 1


def _treated(experiment: Experiment) -> list[Arm]:
    """The arms whose corpus a model reads."""
    return [arm for arm in experiment.arms if arm is not Arm.CONTROL]


def _models(experiment: Experiment) -> int:
    """Models of a seed that are trained, generation 0 left out."""
    return _controls(experiment) + len(_treated(experiment)) * experiment.generations


def _training(experiment: Experiment, pilot: Pilot) -> Line:
    training, seeds = experiment.training, len(experiment.seeds)
    skills = 0 if experiment.skills.source == "none" else training.skills.tokens
    late = training.fine_tune.tokens if training.entry == "fine_tune" else 0
    lasting = experiment.evaluation.persistence
    each = training.corpus.tokens + late + (0 if experiment.skills.source == "once" else skills)
    tokens = seeds * _models(experiment) * each
    if experiment.mix.mode == "accumulate":
        more = range(2, experiment.generations + 1)
        arms = len(experiment.arms)
        tokens += seeds * arms * sum((n - 1) * training.corpus.tokens for n in more)
    count = seeds * _models(experiment)
    if training.generation_0 == "trained":
        tokens, count = tokens + seeds * (training.corpus.tokens + skills), count + seeds
    elif experiment.skills.post_train_base:
        tokens, count = tokens + seeds * skills, count + seeds
    if lasting is not None:
        tokens, count = tokens + count * lasting.tokens, 2 * count
    seconds = tokens / pilot.train_tokens_per_s / _at_once(experiment)
    return Line("train", count, 0, 0, 0, tokens, seconds)


def _evaluating(experiment: Experiment, pilot: Pilot) -> Line:
    own = experiment.training.generation_0 == "trained" or experiment.skills.post_train_base
    seeds = len(experiment.seeds)
    count = seeds * _models(experiment) + (seeds if own else 1)
    rounds = math.ceil(count / _at_once(experiment))
    return Line("evaluate", count, 0, 0, 0, 0, rounds * pilot.evaluate_s)


def _at_once(experiment: Experiment) -> int:
    """Models that are made side by side: of a generation there may be fewer than allowed."""
    made = len(experiment.seeds) * (len(experiment.arms) - (_controls(experiment) <= 1))
    return max(1, min(experiment.training.at_once, made))
