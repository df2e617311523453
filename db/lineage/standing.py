"""`status`: how each experiment stands, arm by arm and generation by generation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session, joinedload

from db.models import (
    Arm,
    Evaluation,
    Experiment,
    GateDecision,
    Generation,
    Stage,
    StageUse,
)
from db.records.experiments import list_experiments, require_experiment

SHARED_GENERATION_0 = ("seeds_share_generation_0",)
# The outcome that a generation's gates come to together is the worst of them.
_WORST_FIRST = ("fail", "inconclusive", "pass")


def status(
    session: Session,
    experiment: str | None = None,
    *,
    seeds_share_generation_0: bool | None = None,
    shared_at: Sequence[str] = SHARED_GENERATION_0,
) -> list[dict[str, Any]]:
    """All experiments, or one, ready for a table or for JSON.

    Whether seeds share a generation 0 is read from the stored config at the path `shared_at`; what
    the caller passes stands in where the config does not say.
    """
    if experiment is None:
        experiments = list_experiments(session)
    else:
        experiments = [require_experiment(session, experiment)]
    return [
        _experiment(session, row, _at(row.config, shared_at, seeds_share_generation_0))
        for row in experiments
    ]


def _at(config: Mapping[str, Any], path: Sequence[str], otherwise: bool | None) -> bool | None:
    value: Any = config
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return otherwise
        value = cast(Mapping[str, Any], value)[name]
    return bool(value)


def _experiment(session: Session, row: Experiment, shared: bool | None) -> dict[str, Any]:
    of_experiment = Arm.experiment_id == row.id
    arms = session.scalars(select(Arm).where(of_experiment).order_by(Arm.id)).all()
    generations = session.scalars(
        select(Generation)
        .join(Generation.arm)
        .where(of_experiment)
        .order_by(Generation.arm_id, Generation.generation_index)
        .options(joinedload(Generation.checkpoint), joinedload(Generation.corpus_version))
    ).all()
    metrics = _metrics(session, of_experiment)
    gates = _gates(session, of_experiment)
    recipes = _recipes(session, of_experiment)
    by_arm: dict[int, list[Generation]] = defaultdict(list)
    for generation in generations:
        by_arm[generation.arm_id].append(generation)
    return {
        "experiment": row.name,
        "status": row.status,
        "created_at": row.created_at.isoformat(),
        "seeds_share_generation_0": shared,
        "arms": [_arm(arm, by_arm[arm.id], metrics, gates, recipes) for arm in arms],
    }


def _arm(
    arm: Arm,
    generations: Iterable[Generation],
    metrics: Mapping[str, Iterable[Evaluation]],
    gates: Mapping[int, Iterable[GateDecision]],
    recipes: Mapping[int, set[str]],
) -> dict[str, Any]:
    rows = [
        _generation(
            generation,
            generation.id == arm.promoted_generation_id,
            _own_last(generation, metrics, recipes.get(generation.id, set())),
            gates.get(generation.id, ()),
        )
        for generation in generations
    ]
    promoted = [row["generation"] for row in rows if row["promoted"]]
    return {
        "arm": arm.name,
        "seed": arm.seed,
        "status": arm.status,
        "promoted_generation": promoted[0] if promoted else None,
        "generations": rows,
    }


def _generation(
    row: Generation,
    promoted: bool,
    metrics: Iterable[Evaluation],
    gates: Iterable[GateDecision],
) -> dict[str, Any]:
    decided = {gate.gate: gate.outcome for gate in gates}
    return {
        "generation": row.generation_index,
        "status": row.status,
        "documents": row.corpus_version.documents if row.corpus_version else None,
        "documents_in": row.documents_in,
        "keep": row.keep,
        "revise": row.revise,
        "drop": row.drop,
        "tag": row.tag,
        "quarantine": row.quarantine,
        "checkpoint": row.checkpoint.digest if row.checkpoint else None,
        "corpus": row.corpus_version.digest if row.corpus_version else None,
        "training_documents": row.training_documents,
        "training_tokens": row.training_tokens,
        "unique_tokens": row.unique_tokens,
        "epochs": row.epochs,
        "promoted": promoted,
        "gate": next((word for word in _WORST_FIRST if word in decided.values()), None),
        "gates": decided,
        "metrics": {metric_key(metric): metric_entry(metric) for metric in metrics},
    }


def metric_key(row: Evaluation) -> str:
    """The name under which a number is shown: the metric, and the variant unless it is plain."""
    return f"{row.metric}@{row.variant}" if row.variant else row.metric


def metric_entry(row: Evaluation) -> dict[str, Any]:
    """A number with its standard error (none for a census) and the items that it stands on."""
    return {"value": row.value, "stderr": row.stderr, "n": row.n}


def _subject_keys(generation: Generation) -> list[str]:
    keys = [f"generation:{generation.id}"]
    if generation.corpus_version_id is not None:
        keys.insert(0, f"corpus:{generation.corpus_version_id}")
    if generation.checkpoint_id is not None:
        keys.insert(0, f"checkpoint:{generation.checkpoint_id}")
    return keys


def _metrics(session: Session, of_experiment: ColumnElement[bool]) -> dict[str, list[Evaluation]]:
    """Every number about the experiment's subjects, oldest first, so that the newest is shown."""
    own = [
        column.in_(select(key).join(Generation.arm).where(of_experiment, key.is_not(None)))
        for column, key in (
            (Evaluation.checkpoint_id, Generation.checkpoint_id),
            (Evaluation.corpus_version_id, Generation.corpus_version_id),
            (Evaluation.generation_id, Generation.id),
        )
    ]
    wanted = select(Evaluation).where(or_(*own)).order_by(Evaluation.created_at, Evaluation.id)
    metrics: dict[str, list[Evaluation]] = defaultdict(list)
    for row in session.scalars(wanted):
        metrics[row.subject_key].append(row)
    return metrics


def _own_last(
    generation: Generation, metrics: Mapping[str, Iterable[Evaluation]], recipes: set[str]
) -> list[Evaluation]:
    """Numbers about a generation's subjects, those of its own evaluation last, so that they show.

    One checkpoint may have been evaluated for several seeds or experiments, on other items.
    """
    found = [row for key in _subject_keys(generation) for row in metrics.get(key, ())]
    return sorted(found, key=lambda row: row.recipe_id in recipes)


def _recipes(session: Session, of_experiment: ColumnElement[bool]) -> dict[int, set[str]]:
    """Recipes of the stages that each generation used."""
    wanted = (
        select(StageUse.generation_id, Stage.recipe_id)
        .join(Stage, Stage.id == StageUse.stage_id)
        .join(Generation, Generation.id == StageUse.generation_id)
        .join(Generation.arm)
        .where(of_experiment)
    )
    recipes: dict[int, set[str]] = defaultdict(set)
    for generation, recipe in session.execute(wanted):
        recipes[generation].add(recipe)
    return recipes


def _gates(session: Session, of_experiment: ColumnElement[bool]) -> dict[int, list[GateDecision]]:
    wanted = (
        select(GateDecision)
        .join(Generation, GateDecision.generation_id == Generation.id)
        .join(Generation.arm)
        .where(of_experiment)
        .order_by(GateDecision.gate)
    )
    gates: dict[int, list[GateDecision]] = defaultdict(list)
    for row in session.scalars(wanted):
        gates[row.generation_id].append(row)
    return gates
