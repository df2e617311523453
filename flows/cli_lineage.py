"""`palimpsest lineage`: questions to the record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli_options import (
    DEFAULT_HOME,
    AsJson,
    GenerationArgument,
    Home,
    print_fields,
    print_json,
    print_rows,
    record,
    short,
)

lineage = typer.Typer(
    no_args_is_help=True,
    help="Ask the record what a checkpoint, corpus or document is, and what it came from.",
)
Document = Annotated[str, typer.Argument(metavar="DOC", help="Id of the document.")]
Identity = Annotated[
    str, typer.Argument(metavar="ID", help="Name, or a digest or its first characters.")
]


@lineage.command("show")
def lineage_show(wanted: Identity, as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """What a thing is, what made it, from what, and at what cost."""
    from db.lineage import show

    _answer(show, wanted, as_json, home)


@lineage.command("why")
def lineage_why(wanted: Identity, as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """Why a checkpoint is as it is: data, parent, recipe, commit and command."""
    from db.lineage import why

    _answer(why, wanted, as_json, home)


@lineage.command("ancestors")
def lineage_ancestors(wanted: Identity, as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """What a checkpoint or corpus was made from, and what that was made from, as a tree."""
    from db.lineage import ancestors

    _tree(ancestors, wanted, as_json, home)


@lineage.command("descendants")
def lineage_descendants(
    wanted: Identity, as_json: AsJson = False, home: Home = DEFAULT_HOME
) -> None:
    """What was made from a checkpoint or corpus, and what from that, as a tree."""
    from db.lineage import descendants

    _tree(descendants, wanted, as_json, home)


@lineage.command("document")
def lineage_document(doc_id: Document, as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """Every version of a document: scores, rater, reason, and what changed, word by word."""
    from flows.texts import versions
    from flows.trees import print_versions

    with record(home) as database, database.readers() as session:
        found = list(versions(session, doc_id))
    if as_json:
        print_json([{**each.row, "before": each.before, "after": each.after} for each in found])
        return
    print_versions(doc_id, found)


@lineage.command("flips")
def lineage_flips(
    generation: GenerationArgument,
    principle: Annotated[str | None, typer.Option(help="Only what fell short of it.")] = None,
    cause: Annotated[
        str | None, typer.Option(help="Only revise, tag, drop, quarantine or rater.")
    ] = None,
    below: Annotated[float | None, typer.Option(help="Only with a lower score before.")] = None,
    above: Annotated[float | None, typer.Option(help="Only with a higher score before.")] = None,
    min_change: Annotated[
        float | None, typer.Option(help="Only revisions of at least this edit distance, 0 to 1.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Most rows to print; 0 for all.", min=0)] = 100,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Which documents changed verdict in a generation, and why.

    A verdict changes because the generation did something to the document, or because its rater
    (cause "rater") judged the same text otherwise than the generation before did. With --json each
    row is a line, written as it is read.
    """
    from db.lineage import CAUSES, flips
    from flows.naming import generation_name
    from workers.problems import InputProblem

    if cause is not None and cause not in CAUSES:
        raise InputProblem(f"--cause {cause}: write one of {', '.join(CAUSES)}")
    name = generation_name(generation)
    with record(home) as database, database.readers() as session:
        rows = flips(
            session,
            name.experiment,
            name.arm,
            name.index,
            seed=name.seed,
            principle=principle,
            cause=cause,
            below=below,
            above=above,
            min_change=min_change,
        )
        _print_stream(rows, as_json, limit)


@lineage.command("taint")
def lineage_taint(
    wanted: Annotated[
        str, typer.Argument(metavar="DOC|SOURCE", help="Id of a document, or name of a source.")
    ],
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Every corpus and checkpoint that a document or source touched, for take-downs.

    A corpus "holds" the document until a generation drops it; a checkpoint was "trained_on" such a
    corpus; what was made from those is "descended".
    """
    from db.lineage import taint
    from flows.texts import holding
    from flows.trees import SHORT

    with record(home) as database, database.readers() as session:
        found = taint(session, wanted, imports=holding(session, wanted))
    if as_json:
        print_json(found)
        return
    names = ("kind", "id", "how", "generations")
    typer.echo(f"{found['kind']} {wanted} touched {len(found['touched'])} artifacts")
    rows = ({**row, "id": row["id"][:SHORT]} for row in found["touched"])
    print_rows(names, [tuple(short(row[name]) for name in names) for row in rows])


@lineage.command("sql")
def lineage_sql(
    statement: Annotated[str, typer.Argument(help="One SELECT, in the database's own SQL.")],
    limit: Annotated[int, typer.Option(help="Most rows to print; 0 for all.", min=0)] = 100,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Ask the record anything in SQL; it can only read. The views begin with lineage_."""
    from flows.querying import read_only_sql

    with (
        record(home) as database,
        database.readers() as session,
        read_only_sql(session, statement) as (columns, rows),
    ):
        _print_stream((dict(zip(columns, row, strict=True)) for row in rows), as_json, limit)


def _print_stream(rows: Iterator[dict[str, Any]], as_json: bool, limit: int) -> None:
    """Print rows as they come: as lines of JSON, or as a table of the first `limit`."""
    if as_json:
        for row in islice(rows, limit or None):
            typer.echo(json.dumps(row, default=str))
        return
    shown = list(islice(rows, limit or None))
    names = list(shown[0]) if shown else ["nothing"]
    print_rows(names, [tuple(short(row[name]) for name in names) for row in shown])
    if next(rows, None) is not None:
        typer.echo(f"the first {limit} rows; --limit 0 shows all")


def _tree(ask: Any, wanted: str, as_json: bool, home: Path) -> None:
    from rich.console import Console

    from flows.trees import relatives_tree

    with record(home) as database, database.readers() as session:
        found = ask(session, wanted)
    if as_json:
        print_json(found)
        return
    Console(highlight=False).print(relatives_tree(wanted, found))


def _answer(ask: Any, wanted: str, as_json: bool, home: Path) -> None:
    with record(home) as database, database.readers() as session:
        found = ask(session, wanted)
    if as_json:
        print_json(found)
        return
    print_fields(found)
