"""Writing changed documents, evaluations and gate decisions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from db.models import (
    DOC_ID_LIMIT,
    ChangedDocument,
    Checkpoint,
    CorpusVersion,
    Evaluation,
    GateDecision,
    Generation,
    storable,
    utc_now,
)
from db.nearest import nearest, or_nearest, quoted
from db.problems import DatabaseProblem
from db.records.idempotence import put

Subject = Checkpoint | CorpusVersion | Generation

# Past some thousands a chunk a longer one is no faster, and this many rows weigh some megabytes.
ROWS_A_CHUNK = 5_000

_REQUIRED = ("doc_id", "action", "before_sha256")
_NULLABLE = (
    "after_sha256",
    "principle",
    "score_before",
    "score_after",
    "acceptance_score",
    "edit_distance",
)
_WORDS = ("reason", "source")
_SCORES = ("score_before", "score_after", "acceptance_score", "edit_distance")


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


def record_changed_documents(
    session: Session, generation: Generation, rows: Iterable[Mapping[str, Any]]
) -> int:
    """Record what a generation changed, in place of what was recorded of it; how many rows.

    Each row has `doc_id`, `action` and `before_sha256`, and may have the other columns.
    """
    session.flush()
    session.execute(
        delete(ChangedDocument).where(ChangedDocument.generation_id == generation.id),
        execution_options={"synchronize_session": False},
    )
    checked = (_document_row(row, generation.id) for row in rows)
    total = 0
    for chunk in _chunks(checked, ROWS_A_CHUNK):
        session.execute(insert(ChangedDocument.__table__), chunk)  # pyright: ignore[reportArgumentType]
        total += len(chunk)
    return total


def _document_row(row: Mapping[str, Any], generation_id: int) -> dict[str, Any]:
    if unknown := sorted(set(row) - {*_REQUIRED, *_NULLABLE, *_WORDS}):
        known = [*_REQUIRED, *_NULLABLE, *_WORDS]
        raise DatabaseProblem(
            f"a changed document has no column {unknown[0]!r}; "
            f"{or_nearest(nearest(unknown[0], known))}"
        )
    doc_id = row["doc_id"]
    if not storable(doc_id) or not 1 <= len(doc_id) <= DOC_ID_LIMIT:
        raise DatabaseProblem(
            f"document id {quoted(doc_id)} cannot be recorded: ids have 1 to {DOC_ID_LIMIT} "
            "characters and no NUL; give the document another id at import"
        )
    for name in _SCORES:
        _refuse_not_finite(row.get(name), f"{name} of document {quoted(doc_id)}")
    return {
        "generation_id": generation_id,
        **{name: row[name] for name in _REQUIRED},
        **{name: row.get(name) for name in _NULLABLE},
        **{name: row.get(name) or "" for name in _WORDS},
    }


def _chunks(rows: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    stream = iter(rows)
    while chunk := list(islice(stream, size)):
        yield chunk


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
    }
    return put(session, GateDecision, {"generation_id": generation.id, "gate": gate}, values)


def gates_of(session: Session, generation: Generation) -> list[GateDecision]:
    """What the gates decided of a generation, by name."""
    wanted = select(GateDecision).where(GateDecision.generation_id == generation.id)
    return list(session.scalars(wanted.order_by(GateDecision.gate)))
