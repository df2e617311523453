"""Deciding: the gates' tests on a generation of all seeds, and what follows for the arm."""

from __future__ import annotations

import math

from configs.arms import Arm as ArmName
from db.records import (
    ensure_generation,
    evaluations_of,
    find_checkpoint,
    find_corpus_version,
    promote,
    record_gate,
    set_arm_status,
)
from flows import gates
from flows.context import ArmState, RunContext
from flows.document_scores import anchor_difference, self_difference
from flows.gates import CorpusChange, Decision, Turn
from workers.evaluation.replication import SeedEstimate


def decide(context: RunContext, index: int) -> None:
    """Promote a generation of each treated arm, stop the arm, or go on undecided.

    All seeds of an arm are judged together and share their fate; the gates' rows stand at the
    generation of each.
    """
    for name in context.experiment.arms:
        arms = _going_on(context, name)
        if name is ArmName.CONTROL or not arms:
            continue
        decisions = _decisions(context, arms, index)
        for decision in decisions:
            context.reporter.step(
                f"  gate {decision.gate}, {name}: {decision.outcome} ({decision.reason})"
            )
        _note(context, arms, index, decisions)


def _going_on(context: RunContext, name: ArmName) -> list[ArmState]:
    found = [arm for arms in context.arms.values() for arm in arms if arm.name is name]
    return [arm for arm in found if not arm.stopped]


def _decisions(context: RunContext, arms: list[ArmState], index: int) -> list[Decision]:
    settings = context.experiment.gate
    shared = _same_items(context, arms)
    losses = [
        gates.difference(
            arm.seed,
            settings.capability_metric,
            arm.evaluations[index],
            context.arms[arm.seed][0].evaluations[index],
        )
        for arm in arms
    ]
    levels = [_level(context, arm, settings.rater_metric, index) for arm in arms]
    changes = {
        metric: [_change(context, arm, metric, index) for arm in arms]
        for metric in settings.collapse_bounds
    }
    return [
        gates.capability(settings, losses, shared_items=shared),
        gates.rater(settings, levels, shared_items=shared),
        *gates.collapse(settings, changes),
        *_by_anchor(context, arms, index),
    ]


def _by_anchor(context: RunContext, arms: list[ArmState], index: int) -> list[Decision]:
    """What the gates say that hold the corpora against the gate anchor, where one is named."""
    settings, found = context.experiment.gate, list[Decision]()
    shared = _same_documents(arms)
    if settings.anchor_metric is not None:
        gains = [
            anchor_difference(
                arm.seed,
                arm.anchored[index].folder,
                context.arms[arm.seed][0].anchored[index].folder,
            )
            for arm in arms
        ]
        found.append(gates.superiority(settings, gains, shared_items=shared))
    if settings.self_rating_metric is not None:
        first = max(1, index + 1 - gates.RUNNING)
        turns = [_turn(context, arms, each) for each in range(first, index + 1)]
        found.append(gates.goodhart(settings, turns, shared_items=shared))
    return found


def _turn(context: RunContext, arms: list[ArmState], index: int) -> Turn:
    """What a generation's corpora gained on those of the one before, by each rater."""
    scores = [arm.anchored[index].mean for arm in arms]
    known = [score for score in scores if score is not None]
    return Turn(
        [
            self_difference(
                arm.seed, arm.self_rated[index].folder, arm.self_rated[index - 1].folder
            )
            for arm in arms
        ],
        [
            anchor_difference(arm.seed, arm.anchored[index].folder, arm.anchored[index - 1].folder)
            for arm in arms
        ],
        sum(known) / len(known) if known else math.nan,
        sum(context.ceilings[arm.seed] for arm in arms) / len(arms),
    )


def _same_documents(arms: list[ArmState]) -> bool:
    """Whether several seeds began with the same documents."""
    return len(arms) > 1 and len({arm.corpora[0].id for arm in arms}) == 1


def _same_items(context: RunContext, arms: list[ArmState]) -> bool:
    """Whether several seeds were evaluated on the same held-out documents."""
    held_out = [context.held_out[arm.seed] for arm in arms]
    return len(arms) > 1 and len({corpus and corpus.id for corpus in held_out}) == 1


def _level(context: RunContext, arm: ArmState, metric: str, index: int) -> SeedEstimate:
    """A metric of a seed's model, as the evaluation of this generation has it."""
    recipe = arm.evaluations[index].name
    with context.read() as session:
        checkpoint = find_checkpoint(session, arm.checkpoints[index].id)
        rows = evaluations_of(session, checkpoint, variant="") if checkpoint else []
    found = [row for row in rows if row.metric == metric and row.recipe_id == recipe]
    if not found:
        return SeedEstimate(arm.seed, None, None, 0)
    return SeedEstimate(arm.seed, found[-1].value, found[-1].stderr, found[-1].n)


def _change(context: RunContext, arm: ArmState, metric: str, index: int) -> CorpusChange:
    """A collapse metric of a seed's corpus beside corpus 0's, over samples of equal size."""
    found: list[tuple[float | None, int]] = []
    for corpus in (arm.corpora[index], arm.corpora[0]):
        with context.read() as session:
            row = find_corpus_version(session, corpus.id)
            rows = evaluations_of(session, row) if row else []
        numbers = [(each.value, each.n) for each in rows if each.metric == metric]
        found.append(numbers[-1] if numbers else (None, 0))
    (value, n), (baseline, first) = found
    # A smaller sample repeats itself less: nothing is compared across sizes.
    return CorpusChange(arm.seed, value if n == first else None, baseline)


def _note(context: RunContext, arms: list[ArmState], index: int, decisions: list[Decision]) -> None:
    """Record what the gates said of every seed, and promote or stop them together."""
    settings = context.experiment.gate
    outcome = gates.verdict(decisions)
    with context.write() as session:
        for arm in arms:
            row = ensure_generation(session, arm.row, index)
            for decision in decisions:
                record_gate(
                    session,
                    row,
                    decision.gate,
                    decision.outcome,
                    mode="record_only" if settings.record_only else "enforce",
                    value=decision.value,
                    lower=decision.lower,
                    upper=decision.upper,
                    bound=decision.bound,
                    interval_over=decision.interval_over,
                    n=decision.n,
                    reason=decision.reason,
                    run=context.run,
                )
            # Gates are read on what inversion made too; it is promoted by nobody.
            if outcome == "pass" and arm.name is not ArmName.INVERT:
                promote(session, arm.row, row)
            elif outcome == "fail" and not settings.record_only:
                arm.stopped = True
                set_arm_status(session, arm.row, "stopped")
