"""`palimpsest db`: looking after the record itself."""

from __future__ import annotations

import typer

from flows.cli_options import DEFAULT_HOME, Home

database = typer.Typer(no_args_is_help=True, help="Look after the record itself.")


@database.command("upgrade")
def db_upgrade(home: Home = DEFAULT_HOME) -> None:
    """Bring the record's schema up to this version of the program."""
    from db.sessions import upgrade
    from flows.opening import database_url

    upgrade(database_url(None, home.resolve()))
    typer.echo("the schema is current")
