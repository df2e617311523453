"""`palimpsest lineage`: questions to the record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli_options import (
    DEFAULT_HOME,
    AsJson,
    GenerationArgument,
    Home,
    Limit,
    print_fields,
    print_first,
    print_json,
    print_lines,
    print_rows,
    record,
    short,
)

if TYPE_CHECKING:
    from db.lineage.ancestry import Direction

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
    """What a checkpoint or corpus was made from, and what that was made from, as a tree.

    The tree has every edge; what stands above already is not gone down into again. With --json each
    artifact is listed once, nearest first, with the edge by which it was reached first.
    """
    _tree("ancestors", wanted, as_json, home)


@lineage.command("descendants")
def lineage_descendants(
    wanted: Identity, as_json: AsJson = False, home: Home = DEFAULT_HOME
) -> None:
    """What was made from a checkpoint or corpus, and what from that, as a tree.

    The tree has every edge; what stands above already is not gone down into again. With --json each
    artifact is listed once, nearest first, with the edge by which it was reached first.
    """
    _tree("descendants", wanted, as_json, home)


@lineage.command("document")
def lineage_document(doc_id: Document, as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """Every version of a document: scores, rater, reason, and what changed, word by word.

    With --json a list with an entry for each generation that did something to it. A document that
    no generation changed is looked up in the files of the imports, and is one object then, with its
    text and the corpora that hold it; `palimpsest lineage ratings EXPERIMENT --doc DOC` has its
    scores.
    """
    from db.problems import UnknownId
    from flows.places import place_of
    from flows.texts import unchanged, versions
    from flows.trees import print_unchanged, print_versions

    with record(home) as database, database.readers() as session:
        place = place_of(session, home)
        try:
            found = list(versions(session, place, doc_id))
        except UnknownId:
            never = unchanged(session, place, doc_id)
            print_json(never) if as_json else print_unchanged(never)
            return
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
    below: Annotated[
        float | None,
        typer.Option(help="Only with a lower score before; where none is on record, after."),
    ] = None,
    above: Annotated[
        float | None, typer.Option(help="Only with a higher score, the same one.")
    ] = None,
    min_change: Annotated[
        float | None, typer.Option(help="Only revisions of at least this edit distance, 0 to 1.")
    ] = None,
    limit: Limit = None,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Which documents changed verdict in a generation, and why.

    A verdict changes because the generation did something to the document, or because its rater
    (cause "rater") judged the same text otherwise than the generation before did. With --json each
    row is a line, written as it is read.
    """
    from db.lineage.flips import CAUSES, COLUMNS, flips
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
        if as_json:
            print_lines(rows, limit)
        else:
            print_first(COLUMNS, ([short(row[name]) for name in COLUMNS] for row in rows), limit)


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
    corpus; what was made from those is "descended". Held-out documents are in a corpus of their
    own; a checkpoint that was only evaluated on them is not touched. "unread" names imported
    corpora of which nothing can be told, for their files are not here.
    """
    from flows.places import place_of
    from flows.texts import tainted
    from flows.trees import SHORT

    with record(home) as database, database.readers() as session:
        found = tainted(session, place_of(session, home), wanted)
    if as_json:
        print_json(found)
        return
    if found["unread"]:
        places = ", ".join(each["uri"] for each in found["unread"])
        said = f"cannot tell of {len(found['unread'])} imported corpora whose files are not here"
        typer.echo(f"{said}: {places}", err=True)
    names = ("kind", "id", "how", "generations")
    typer.echo(f"{found['kind']} {wanted} touched {len(found['touched'])} artifacts")
    rows = ({**row, "id": row["id"][:SHORT]} for row in found["touched"])
    print_rows(names, [tuple(short(row[name]) for name in names) for row in rows])


@lineage.command("sql")
def lineage_sql(
    statement: Annotated[str, typer.Argument(help="One SELECT, in the database's own SQL.")],
    limit: Limit = None,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Ask the record anything in SQL; it can only read. The views begin with lineage_."""
    from flows.querying import print_answer, read_only_sql

    with (
        record(home) as database,
        database.readers() as session,
        read_only_sql(session, statement) as (columns, rows),
    ):
        print_answer(columns, rows, as_json, limit)


def _tree(direction: Direction, wanted: str, as_json: bool, home: Path) -> None:
    from rich.console import Console

    from db.lineage import ancestors, descendants
    from flows.trees import relatives_tree

    ask = {"ancestors": ancestors, "descendants": descendants}[direction]
    with record(home) as database, database.readers() as session:
        if as_json:
            print_json(ask(session, wanted))
            return
        Console(highlight=False).print(relatives_tree(session, wanted, direction))


def _answer(ask: Any, wanted: str, as_json: bool, home: Path) -> None:
    with record(home) as database, database.readers() as session:
        found = ask(session, wanted)
    if as_json:
        print_json(found)
        return
    print_fields(found)
