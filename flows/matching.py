"""Matching: models that are compared have seen as many tokens, in as many steps, by one seed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from flows.context import ArmState, RunContext
from workers.problems import WorkProblem


def left_out(arms: Iterable[ArmState]) -> frozenset[str]:
    """Documents that no arm is trained on, so that all models see the same ones.

    They are what the engine failed on in any arm, and what came to hold an evaluation's items.
    """
    return frozenset[str]().union(*(arm.quarantined | arm.contaminated for arm in arms))


def check_matching(context: RunContext, seed: int, index: int) -> None:
    """Check that a generation's models were trained alike, and say in what.

    Under `init: parent` a model has its forebears' training behind it, and under `skills.source:
    self` their answers, so that all generations so far must agree; otherwise this one.

    Raises:
        WorkProblem: an arm differs from the control.
    """
    arms = [arm for arm in context.arms[seed] if index in arm.trained]
    settings = context.experiment
    chained = settings.training.init == "parent" or settings.skills.source == "self"
    since = 1 if chained else index
    for generation in range(since, index + 1):
        for arm in arms[1:]:
            _compare(arms[0], arm, generation)
    same = arms[0].trained[index]
    context.reporter.step(
        f"  matched: {same.corpus_tokens:,} corpus tokens, {same.tokens:,} tokens and "
        f"{same.steps:,} steps in each of {len(arms)} arms, seed {seed}"
    )


def _compare(control: ArmState, arm: ArmState, index: int) -> None:
    expected, found = asdict(control.trained[index]), asdict(arm.trained[index])
    differs = [name for name in expected if expected[name] != found[name]]
    if differs:
        said = "; ".join(
            f"{name.replace('_', ' ')} {found[name]:,}, the control {expected[name]:,}"
            for name in differs
        )
        raise WorkProblem(
            f"arm {arm.name}, seed {arm.seed}, generation {index}: not trained like the control "
            f"({said}), so that nothing can be said of what the arm did. Finished stages are kept; "
            "look at what was trained with `palimpsest lineage`, and fork the experiment."
        )
