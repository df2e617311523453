"""Options that several commands share, and how they find the record."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich import box
from rich.table import Table
from rich.text import Text

from db.sessions import Database
from workers.problems import InputProblem

HOME_VARIABLE = "PALIMPSEST_HOME"
TABLE_ROWS = 100

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Override a field; may be given again."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Home = Annotated[
    Path,
    typer.Option(envvar=HOME_VARIABLE, help="Folder of corpora, checkpoints and the record."),
]
Limit = Annotated[
    int | None,
    typer.Option(
        help=f"Most rows to print; 0 for all. Without it {TABLE_ROWS}, and all with --json.",
        min=0,
        show_default=False,
    ),
]
GenerationArgument = Annotated[
    str, typer.Argument(metavar="GEN", help="EXPERIMENT:ARM:GENERATION, and :SEED if several.")
]
DEFAULT_HOME = Path(".palimpsest")


def print_json(value: Any) -> None:
    """Print JSON to standard output."""
    typer.echo(json.dumps(value, indent=2, default=str))


def short(value: Any) -> str:
    """A value as it stands in a cell of a table."""
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, dict):
        return "\n".join(f"{name}: {short(each)}" for name, each in value.items())
    if isinstance(value, list):
        return "\n".join(short(each) for each in value)
    return "" if value is None else str(value)


def print_rows(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows as a table."""
    from flows.summary import print_whole

    table = Table(box=box.SIMPLE_HEAD)
    for name in names:
        table.add_column(Text(name), overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    print_whole(table)


def print_lines(rows: Iterable[Mapping[str, Any]], limit: int | None) -> None:
    """Print rows as lines of JSON, as they come: a script gets all of them without a limit."""
    for row in islice(rows, limit or None):
        typer.echo(json.dumps(row, default=str))


def print_first(names: Sequence[str], rows: Iterator[Sequence[Any]], limit: int | None) -> None:
    """Print the first rows as a table, and say where there are more."""
    most = TABLE_ROWS if limit is None else limit
    print_rows(names, islice(rows, most or None))
    if next(rows, None) is not None:
        typer.echo(f"the first {most} rows; --limit 0 shows all")


def print_fields(value: dict[str, Any]) -> None:
    """Print what has fields in fields, as YAML."""
    plain = json.loads(json.dumps(value, default=str))
    # Never broken: a command or a path is there to be copied.
    said = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=math.inf)
    typer.echo(said.rstrip())


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
