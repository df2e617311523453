"""Options that several commands share, and how they find the record."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from db.sessions import Database
from workers.problems import InputProblem

HOME_VARIABLE = "PALIMPSEST_HOME"

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Override a field; may be given again."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Home = Annotated[
    Path,
    typer.Option(envvar=HOME_VARIABLE, help="Folder of corpora, checkpoints and the record."),
]
DEFAULT_HOME = Path(".palimpsest")


def print_json(value: Any) -> None:
    """Print JSON to standard output."""
    typer.echo(json.dumps(value, indent=2, default=str))


@contextmanager
def record(home: Path) -> Iterator[Database]:
    """Open the record of a home for a command that reads or changes it.

    Raises:
        InputProblem: there is no record there.
    """
    from flows.opening import DATABASE_VARIABLE, open_record

    if DATABASE_VARIABLE not in os.environ and not (home / "palimpsest.db").exists():
        raise InputProblem(
            f"{home}: no record here. Run an experiment first (`palimpsest run "
            f"configs/microworld.yaml`), name its folder with --home or {HOME_VARIABLE}, or its "
            f"database with {DATABASE_VARIABLE}."
        )
    database = open_record(None, home.resolve())
    try:
        yield database
    finally:
        database.dispose()
