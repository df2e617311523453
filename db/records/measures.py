"""Writing evaluations and gate decisions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import (
    Checkpoint,
    CorpusVersion,
    Evaluation,
    GateDecision,
    Generation,
    Run,
    utc_now,
)
from db.problems import DatabaseProblem
from db.records.idempotence import put

Subject = Checkpoint | CorpusVersion | Generation


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """One number to record about a subject; `value` is none when nothing could be scored."""

    task: str
    metric: str
    """The full name as tables show it, e.g. `oracle/propensity` or `bits_per_byte`."""
    value: float | None
    n: int
    stderr: float | None = None
    unscored: int = 0
    seed: int = 0
    task_version: str = "1"
    variant: str = ""


def _refuse_not_finite(value: float | None, what: str) -> None:
    # SQLite would turn NaN into null in silence and PostgreSQL would keep it.
    if value is not None and not math.isfinite(value):
        raise DatabaseProblem(f"{what} is {value}; record None for what has no value")


def subject_columns(subject: Subject) -> dict[str, Any]:
    """The columns by which an evaluation points at its subject."""
    columns: dict[str, Any] = {
        "checkpoint_id": None,
        "corpus_version_id": None,
        "generation_id": None,
    }
    match subject:
        case Checkpoint():
            columns |= {"checkpoint_id": subject.id, "subject_key": f"checkpoint:{subject.id}"}
        case CorpusVersion():
            columns |= {"corpus_version_id": subject.id, "subject_key": f"corpus:{subject.id}"}
        case Generation():
            columns |= {"generation_id": subject.id, "subject_key": f"generation:{subject.id}"}
    return columns


def record_evaluations(
    session: Session, subject: Subject, rows: Iterable[EvaluationRow], *, recipe_id: str = ""
) -> list[Evaluation]:
    """Record numbers about a subject; the same number recorded again replaces itself."""
    columns = subject_columns(subject)
    recorded: list[Evaluation] = []
    for row in rows:
        _refuse_not_finite(row.value, f"evaluation {row.metric}")
        _refuse_not_finite(row.stderr, f"the standard error of evaluation {row.metric}")
        fields = asdict(row)
        identity = {"subject_key": columns["subject_key"], "recipe_id": recipe_id} | {
            name: fields.pop(name) for name in ("variant", "task", "task_version", "metric", "seed")
        }
        others = {name: columns[name] for name in columns if name != "subject_key"}
        recorded.append(
            put(session, Evaluation, identity, {**fields, **others, "created_at": utc_now()})
        )
    return recorded


def evaluations_of(
    session: Session, subject: Subject, *, variant: str | None = None
) -> list[Evaluation]:
    """The numbers recorded about a subject, oldest first."""
    key = subject_columns(subject)["subject_key"]
    wanted = select(Evaluation).where(Evaluation.subject_key == key)
    if variant is not None:
        wanted = wanted.where(Evaluation.variant == variant)
    return list(session.scalars(wanted.order_by(Evaluation.created_at, Evaluation.id)))


def record_gate(
    session: Session,
    generation: Generation,
    gate: str,
    outcome: str,
    *,
    mode: str = "enforce",
    value: float | None = None,
    lower: float | None = None,
    upper: float | None = None,
    bound: float | None = None,
    interval_over: str | None = None,
    n: int | None = None,
    reason: str = "",
    run: Run | None = None,
) -> GateDecision:
    """Record what a gate decided; deciding again replaces it."""
    numbers = {"value": value, "lower": lower, "upper": upper, "bound": bound}
    for name, number in numbers.items():
        _refuse_not_finite(number, f"{name} of gate {gate}")
    values: dict[str, Any] = {
        "outcome": outcome,
        "mode": mode,
        **numbers,
        "interval_over": interval_over,
        "n": n,
        "reason": reason,
        "decided_at": utc_now(),
        "run_id": run.id if run else None,
    }
    return put(session, GateDecision, {"generation_id": generation.id, "gate": gate}, values)


def gates_of(session: Session, generation: Generation) -> list[GateDecision]:
    """What the gates decided of a generation, by name."""
    wanted = select(GateDecision).where(GateDecision.generation_id == generation.id)
    return list(session.scalars(wanted.order_by(GateDecision.gate)))
