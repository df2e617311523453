"""From the replies to lm-eval's requests to measures: ties are wrong, what has no score counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import lm_eval
import numpy as np
from lm_eval.api.metrics import bits_per_byte, mean
from scipy import stats

from workers.evaluation.measures import Measure, mean_measure
from workers.records import MetricRow

TASK = "harness"
RESAMPLES = 1_000
# lm-eval takes the first of equally likely choices, which in many tasks is always the right one.
CHOSEN = ("acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match")


@dataclass(frozen=True, slots=True)
class Item:
    """An item of a task, and the replies to its requests."""

    number: int
    document: Any
    replies: Sequence[Any]
    """Log-likelihoods in nats, with whether greedy decoding gives the text unless it is whole."""
    values: Mapping[str, Any]
    """What lm-eval makes of them for each metric; nothing where a reply has no score."""


def ask(task: Any, model: Any, limit: int | None) -> list[Item]:
    """Ask a model the items of a task, as `lm_eval.evaluator.evaluate` does.

    That one also sums up, and fails on replies that have no score.
    """
    task.build_all_requests(limit=limit)
    held: dict[int, list[Any]] = {}
    for kind in sorted({request.request_type for request in task.instances}):
        requests = [request for request in task.instances if request.request_type == kind]
        for request, reply in zip(requests, getattr(model, kind)(requests), strict=True):
            request.resps.append(reply)
            held.setdefault(request.doc_id, []).append(request)
    task.apply_filters()
    items: list[Item] = []
    for number, document in task.doc_iterator(limit=limit):
        requests = sorted(held[number], key=lambda request: request.idx)
        replies = [next(iter(request.filtered_resps.values())) for request in requests]
        whole = _scorable(task, document, replies)
        values = task.process_results(document, replies) if whole else {}
        items.append(Item(number, document, replies, values))
    return items


def _scorable(task: Any, document: Any, replies: Sequence[Any]) -> bool:
    if any(math.isnan(r[0] if isinstance(r, tuple | list) else r) for r in replies):
        return False
    if task.OUTPUT_TYPE != "multiple_choice" or getattr(task, "multiple_input", 0):
        return True
    choices, right = task.doc_to_choice(document), task.doc_to_target(document)
    # A right answer that is none of the choices says nothing about the model.
    return all(
        0 <= each < len(choices) if isinstance(each, int) else each in choices
        for each in (right if isinstance(right, list) else [right])
    )


@dataclass(frozen=True)
class Answered:
    """A task with its items."""

    name: str
    task: Any
    items: Sequence[Item]
    cut: frozenset[int]
    """Numbers of the items whose context lost its beginning."""
    variant: str = ""

    def measures(self) -> list[Measure]:
        """Every metric of the task, with the share of items that tied or were cut if any did."""
        scored = [item for item in self.items if item.values]
        found = [
            self._measure(metric, total, scored)
            for metric, total in self.task.aggregation().items()
        ]
        extra: dict[str, list[float]] = {}
        if self.task.OUTPUT_TYPE == "multiple_choice":
            extra["tied"] = [float(self._ties(item, "acc")) for item in scored]
            if (self.task.config.metadata or {}).get("shuffle"):
                found.append(self._mean("position_bias", [self._bias(item) for item in scored]))
        extra["cut"] = [float(item.number in self.cut) for item in scored]
        return found + [self._mean(name, values) for name, values in extra.items() if any(values)]

    def _measure(
        self, metric: str, total: Callable[[list[Any]], float], scored: list[Item]
    ) -> Measure:
        scored = [item for item in scored if metric in item.values]
        values = [item.values[metric] for item in scored]
        if total is bits_per_byte:
            bits = [-logprob / math.log(2) for logprob, _ in values]
            return self._mean(metric, bits, [float(size) for _, size in values])
        if total is mean:
            wrong = self.task.OUTPUT_TYPE == "multiple_choice" and metric in CHOSEN
            tied = [wrong and self._ties(item, metric) for item in scored]
            kept = [0.0 if tie else float(v) for tie, v in zip(tied, values, strict=True)]
            return self._mean(metric, kept)
        unscored = len(self.items) - len(values)
        value = float(total(values)) if values else None
        row = MetricRow(TASK, "", value, len(values), _stderr(values, total), unscored)
        return self._named(metric, Measure(row))

    def _mean(
        self, metric: str, values: list[float], weights: list[float] | None = None
    ) -> Measure:
        unscored = len(self.items) - len(values)
        if not any(weights or [1.0]):
            values, weights, unscored = [], [], len(self.items)
        return self._named(metric, mean_measure(TASK, "", values, weights, unscored=unscored))

    def _named(self, metric: str, measure: Measure) -> Measure:
        return named(self.name, metric, self.task.VERSION, self.variant, measure)

    def _choice_scores(self, item: Item, metric: str) -> list[float]:
        """What `metric` compares: log-likelihoods of the choices, normalised as it does."""
        choices = self.task.doc_to_choice(item.document)
        scores = [logprob for logprob, _ in item.replies]
        own, bare = scores[: len(choices)], scores[len(choices) :]
        if metric == "acc_norm":
            return [score / len(text) for score, text in zip(own, choices, strict=True)]
        if metric == "acc_bytes":
            return [score / len(text.encode()) for score, text in zip(own, choices, strict=True)]
        if metric == "acc_mutual_info":
            return [score - alone for score, alone in zip(own, bare, strict=True)]
        return own

    def _ties(self, item: Item, metric: str) -> bool:
        scores = self._choice_scores(item, metric)
        return scores.count(max(scores)) > 1

    def _bias(self, item: Item) -> float:
        """How much more the first choice was taken than by chance; tied ones share the item."""
        scores = self._choice_scores(item, "acc")
        taken = scores[0] == max(scores)
        return taken / scores.count(max(scores)) - 1 / len(scores)


def group_measure(
    group: str, metric: str, version: Any, parts: Sequence[Measure], *, by_size: bool
) -> Measure:
    """Mean of a metric over the tasks of a group.

    Args:
        group: its name.
        metric: the metric's name.
        version: of the group.
        parts: the metric in every task of the group, each a mean over items.
        by_size: weigh the tasks by their items, rather than all the same.

    Returns:
        The mean with the standard error of a stratified sample (Cochran 1977, 5.3); without a value
        where a task has none.
    """
    weights = [sum(part.weights) if by_size else 1.0 for part in parts]
    unscored = sum(part.row.unscored for part in parts)
    variant = parts[0].row.variant
    if not all(part.values for part in parts):
        row = MetricRow(TASK, "", None, 0, unscored=unscored)
        return named(group, metric, version, variant, Measure(row))
    scales = [weight / sum(part.weights) for weight, part in zip(weights, parts, strict=True)]
    pooled = mean_measure(
        TASK,
        "",
        [value * scale for part, scale in zip(parts, scales, strict=True) for value in part.values],
        [each * scale for part, scale in zip(parts, scales, strict=True) for each in part.weights],
        unscored=unscored,
    )
    errors = [part.row.stderr for part in parts]
    stderr = None
    if all(error is not None for error in errors):
        stderr = math.hypot(
            *(weight * (error or 0.0) for weight, error in zip(weights, errors, strict=True))
        ) / sum(weights)
    row = replace(pooled.row, stderr=stderr)
    return named(group, metric, version, variant, replace(pooled, row=row))


def named(name: str, metric: str, version: Any, variant: str, measure: Measure) -> Measure:
    """The measure under its full name, with lm-eval's version of the task and of itself."""
    row = replace(
        measure.row,
        metric=f"{TASK}/{name}/{metric}",
        task_version=f"{version} (lm-eval {lm_eval.__version__})",
        variant=variant,
    )
    return replace(measure, row=row)


def _stderr(values: list[Any], total: Callable[[list[Any]], float]) -> float | None:
    """Standard error of a metric that is no mean, by the bootstrap over items."""
    if len(values) < 2:
        return None
    found = stats.bootstrap(
        (np.arange(len(values)),),
        lambda drawn: float(total([values[i] for i in drawn])),
        n_resamples=RESAMPLES,
        vectorized=False,
        method="percentile",
        rng=0,
    )
    return float(found.standard_error)
