"""Comparing two generations: their metrics, their configs and their corpora."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.lineage import find_generation, status
from db.models import Stage, StageUse, Used
from db.records import differing_fields, find_corpus_version, require_experiment
from flows.naming import GenerationName, generation_name
from flows.places import Place, place_of
from workers.evaluation.items import read_items
from workers.evaluation.statistics import paired_difference

_CORPUS_DIFFERENCE = """
SELECT count(*) FILTER (l.text_sha256 = r.text_sha256),
       count(*) FILTER (l.text_sha256 != r.text_sha256),
       count(*) FILTER (r.doc_id IS NULL),
       count(*) FILTER (l.doc_id IS NULL)
FROM (SELECT doc_id, text_sha256 FROM read_parquet(?)) l
FULL JOIN (SELECT doc_id, text_sha256 FROM read_parquet(?)) r ON r.doc_id = l.doc_id
"""
COUNTS = ("documents", "keep", "revise", "drop", "tag", "quarantine", "training_tokens")


def compare(session: Session, left: str, right: str, home: Path | None = None) -> dict[str, Any]:
    """Compare two generations by name: metrics, counts, configs and corpora, right minus left.

    Args:
        session: a reader's.
        left: a generation.
        right: another.
        home: folder where files are looked for; that of the record's own database without it.

    Raises:
        InputProblem: a name has not the form that it must have.
        UnknownId: there is no such generation.
    """
    names = generation_name(left), generation_name(right)
    one, other = (pick(session, name) for name in names)
    place = place_of(session, home)
    items = items_of(session, place, names[0]), items_of(session, place, names[1])
    configs = [require_experiment(session, name.experiment).config for name in names]
    return {
        "left": left,
        "right": right,
        **compare_generations(one, other, items),
        "config": config_difference(*configs),
        "corpus": corpus_difference(
            corpus_folder(session, place, one["corpus"]),
            corpus_folder(session, place, other["corpus"]),
        ),
    }


def pick(session: Session, name: GenerationName) -> dict[str, Any]:
    """Return a generation as `palimpsest status --json` gives it.

    Raises:
        UnknownId: there is no such generation.
    """
    row = find_generation(session, name.experiment, name.arm, name.index, name.seed)
    return next(
        each
        for arm in status(session, name.experiment)[0]["arms"]
        if (arm["arm"], arm["seed"]) == (row.arm.name, row.arm.seed)
        for each in arm["generations"]
        if each["generation"] == row.generation_index
    )


def config_difference(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    """Every field in which two recorded configs differ, with both values."""
    return {
        name: {"left": _at(left, name), "right": _at(right, name)}
        for name in differing_fields(left, right)
    }


def _at(config: dict[str, Any], name: str) -> Any:
    value: Any = config
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def corpus_folder(session: Session, place: Place, digest: str | None) -> Path | None:
    """Where a corpus version stands; None where there is none."""
    found = find_corpus_version(session, digest) if digest else None
    return place.located(found.uri) if found is not None else None


def corpus_difference(left: Path | None, right: Path | None) -> dict[str, int] | None:
    """Documents that are the same, changed, or in one corpus alone; None where files are gone."""
    files = [
        folder and sorted(str(path) for path in folder.glob("shard-*.parquet"))
        for folder in (left, right)
    ]
    if not all(files):
        return None
    import duckdb

    with duckdb.connect() as connection:
        found = connection.execute(_CORPUS_DIFFERENCE, files).fetchone()
    return dict(zip(("same", "changed", "left_only", "right_only"), found or (), strict=True))


def items_of(session: Session, place: Place, name: GenerationName) -> Path | None:
    """File with the items of a generation's evaluation; None where there is none.

    Of the evaluations of its checkpoint that is the newest among those that the generation used,
    as it is with the metrics that are shown; the newest of all where none of those has items.
    """
    row = find_generation(session, name.experiment, name.arm, name.index, name.seed)
    evaluations = (
        select(Stage.output_uri, Stage.params)
        .join(Used, Used.stage_id == Stage.id)
        .where(
            Used.role == "checkpoint",
            Used.artifact_id == row.checkpoint_id,
            Stage.stage == "evaluate",
            Stage.status == "done",
            Stage.output_uri.is_not(None),
        )
        .order_by(Stage.id.desc())
    )
    of_generation = select(StageUse.stage_id).where(StageUse.generation_id == row.id)
    for wanted in (evaluations.where(Stage.id.in_(of_generation)), evaluations):
        for uri, params in session.execute(wanted):
            # Relearning leaves items too, of another model: a copy on its way.
            relearned = "relearning" in params.get("inputs", {})
            path = place.located(f"{uri}/items.parquet")
            if path.is_file() and not relearned:
                return path
    return None


def compare_generations(
    left: dict[str, Any],
    right: dict[str, Any],
    items: tuple[Path | None, Path | None] = (None, None),
) -> dict[str, Any]:
    """Differences, right minus left, with their standard errors.

    Args:
        left: a generation as `palimpsest status --json` gives it.
        right: another.
        items: files with the items of both evaluations; where they hold a metric's items for both,
            its standard error is that of the paired difference, and otherwise that of two
            independent estimates.
    """
    metrics: dict[str, Any] = {}
    for name in sorted(set(left["metrics"]) & set(right["metrics"])):
        one, other = left["metrics"][name], right["metrics"][name]
        if one["value"] is None or other["value"] is None:
            continue
        errors = (one["stderr"], other["stderr"])
        paired = _paired_error(name, items)
        independent = None if None in errors else math.hypot(*errors)
        metrics[name] = {
            "left": one["value"],
            "right": other["value"],
            "difference": other["value"] - one["value"],
            "stderr": independent if paired is None else paired,
            "paired": paired is not None,
            "n": other["n"],
        }
    counts = {name: (left.get(name), right.get(name)) for name in COUNTS}
    return {
        "metrics": metrics,
        "counts": {name: {"left": a, "right": b} for name, (a, b) in counts.items()},
        "corpora": [left["corpus"], right["corpus"]],
        "checkpoints": [left["checkpoint"], right["checkpoint"]],
    }


def _paired_error(name: str, items: tuple[Path | None, Path | None]) -> float | None:
    """Standard error of the difference over the items that both have, if they have the same."""
    metric, _, variant = name.partition("@")
    if items[0] is None or items[1] is None:
        return None
    one, weights = read_items(items[0], metric, variant)
    other, _ = read_items(items[1], metric, variant)
    if len(one) < 2 or len(one) != len(other):
        return None
    return paired_difference(other, one, weights)[1]
