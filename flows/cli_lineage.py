"""`palimpsest lineage`: questions to the record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli_options import DEFAULT_HOME, AsJson, Home, print_json, print_rows, record, short

lineage = typer.Typer(
    no_args_is_help=True,
    help="Ask the record what a checkpoint, corpus or document is, and what it came from.",
)
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
    """What a checkpoint or corpus was made from, and what that was made from."""
    from db.lineage import ancestors

    _answer(ancestors, wanted, as_json, home)


@lineage.command("descendants")
def lineage_descendants(
    wanted: Identity, as_json: AsJson = False, home: Home = DEFAULT_HOME
) -> None:
    """What was made from a checkpoint or corpus, and what from that."""
    from db.lineage import descendants

    _answer(descendants, wanted, as_json, home)


@lineage.command("document")
def lineage_document(
    doc_id: Annotated[str, typer.Argument(metavar="DOC", help="Id of the document.")],
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Every change of a document, arm by arm and generation by generation."""
    from db.lineage import document_history

    with record(home) as database, database.readers() as session:
        rows = document_history(session, doc_id)
    if as_json:
        print_json(rows)
        return
    shown = ("arm", "seed", "generation", "action", "score_before", "score_after", "reason")
    print_rows(shown, [tuple(short(row.get(name)) for name in shown) for row in rows])


def _answer(ask: Any, wanted: str, as_json: bool, home: Path) -> None:
    with record(home) as database, database.readers() as session:
        found = ask(session, wanted)
    if as_json:
        print_json(found)
    elif isinstance(found, list):
        names = list(found[0]) if found else ["nothing"]
        print_rows(names, [tuple(short(row.get(name)) for name in names) for row in found])
    else:
        print_rows(("field", "value"), [(name, short(value)) for name, value in found.items()])
