"""What is refused, or warned of, before the first model is asked: tasks and metrics by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from configs.experiment import Experiment
from configs.gating import Gate
from flows.gate_power import expected_items, power_warning
from workers.evaluation.catalogue import (
    GATE_ANCHOR,
    SELF_RATING,
    Line,
    nearest,
    produced,
    tasks_with,
)
from workers.problems import InputProblem


def check_evaluations(experiment: Experiment) -> tuple[dict[str, Any] | None, list[str]]:
    """Check what the evaluations ask, and that gates and predictions name what they give.

    Returns:
        The signature of what the evaluation `harness` asks, None where it is not asked; and what to
        say of gates that cannot decide anything.

    Raises:
        InputProblem: a task, its file or its data cannot be used, or nothing measures a metric.
    """
    signature, metrics = _harness(experiment)
    lines = produced(experiment, metrics)
    for number, each in enumerate(experiment.predictions):
        if not any(line.matches(each.metric) for line in lines):
            field = f"predictions.{number}.metric"
            raise InputProblem(_unmeasured(field, each.metric, lines))
    said = _check_gate(experiment, lines)
    items = expected_items(experiment)
    power = power_warning(experiment.gate, len(experiment.seeds), items) if items else None
    return signature, [*said, *filter(None, [power])]


def _harness(experiment: Experiment) -> tuple[dict[str, Any] | None, Sequence[str]]:
    """Signature and metrics of lm-eval's tasks, once all of them are known to be usable."""
    if "harness" not in experiment.evaluation.tasks:
        return None, ()
    # Imported here: the harness takes seconds to import, and few runs ask it.
    from workers.evaluation.harness import check

    held_out = experiment.intake.held_out_share > 0
    suite = check(experiment.evaluation.harness, held_out=held_out)
    return suite.signature(), suite.metrics()


def _check_gate(experiment: Experiment, lines: Sequence[Line]) -> list[str]:
    """Refuse metrics that a gate cannot read; of defaults that nothing measures, only tell."""
    said: list[str] = []
    for field, metric in experiment.gate.metrics().items():
        fit = [line for line in lines if _readable(field, line)]
        if any(line.matches(metric) for line in fit) and "@" not in metric:
            continue
        message = _unmeasured(f"gate.{field}", metric, fit)
        # Many corpora have no labels, and nobody named what the defaults would need them for.
        if metric != getattr(Gate(), field, None):
            raise InputProblem(message)
        said.append(f"{message} Until then this gate stays inconclusive.")
    return said


def _readable(field: str, line: Line) -> bool:
    """Whether the gate of a field can be held by a metric."""
    if field.startswith("collapse_bounds."):
        return line.metric.startswith("collapse/corpus/")
    return {
        "anchor_metric": line.metric == GATE_ANCHOR,
        "self_rating_metric": line.metric == SELF_RATING,
        "capability_metric": line.of == "model" and line.items,
        "rater_metric": line.of == "model",
    }[field]


def _unmeasured(field: str, metric: str, lines: Sequence[Line]) -> str:
    found = nearest(metric, lines)
    missing = [task for task in tasks_with(metric) if not any(x.matches(metric) for x in lines)]
    said = f"{field}: no evaluation of this experiment measures {metric!r} in a way it can read."
    if found:
        said += f" The nearest {'are' if len(found) > 1 else 'is'} {', '.join(map(repr, found))}."
    if missing:
        said += f" The evaluation `{missing[0]}` gives it, for a corpus that has what it needs."
    return said
