"""`palimpsest db` and `gc`: looking after the record itself, and after the home folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli_options import DEFAULT_HOME, AsJson, Home, print_json, print_rows, record

if TYPE_CHECKING:
    from db.copying import Copied
    from db.sessions import Database

database = typer.Typer(
    no_args_is_help=True,
    help=(
        "Look after the record itself. PALIMPSEST_DATABASE names another database than the one in "
        "the home folder, and so does placement.database of a config."
    ),
)
OfConfig = Annotated[
    Path | None,
    typer.Option("--config", metavar="CONFIG", help="Home and database of this experiment."),
]


def _place(config: Path | None, home: Path) -> tuple[str, Path]:
    """URL of the record and the home folder, a config's before the options'."""
    from configs.loading import load
    from flows.opening import database_url, home_of

    experiment = load(config) if config else None
    folder = home_of(experiment) if experiment else home.resolve()
    return database_url(experiment, folder), folder


@contextmanager
def record_at(config: Path | None, home: Path) -> Iterator[tuple[Database, Path]]:
    """Open the record of a config, or of a home without one; give it with the home folder.

    Raises:
        InputProblem: there is no record there.
    """
    url, folder = _place(config, home)
    if config is None:
        with record(home) as opened:
            yield opened, folder
        return
    from db.sessions import open_database

    _refuse_absent(url)
    opened = open_database(url)
    try:
        yield opened, folder
    finally:
        opened.dispose()


def _refuse_absent(url: str) -> None:
    """SQLite would make the file that it is asked to look at."""
    from db.engines import parse_url
    from workers.problems import InputProblem

    parsed = parse_url(url)
    path = Path(parsed.database or "")
    embedded = parsed.get_backend_name() == "sqlite" and not str(path).startswith("file:")
    if embedded and not path.exists():
        raise InputProblem(
            f"{path}: no record here. Name its folder with --home, its experiment with --config, "
            "or its database with PALIMPSEST_DATABASE."
        )


@database.command("upgrade")
def db_upgrade(config: OfConfig = None, home: Home = DEFAULT_HOME) -> None:
    """Bring the record's schema up to this version of the program. The data stay.

    Back up first: `palimpsest db backup FILE`. An empty database on a server gets its tables, and
    so does the record of a --config.
    """
    from db.engines import parse_url, shown
    from db.sessions import schema_state, upgrade

    url, _ = _place(config, home)
    # A mistyped home would get an empty record and be called current.
    if config is None:
        _refuse_absent(url)
    before = schema_state(url)
    after = upgrade(url)
    where = shown(parse_url(url))
    if before.found == after.found:
        typer.echo(f"{where}: the schema is current ({after.found})")
    else:
        typer.echo(f"{where}: upgraded from {before.found or 'nothing'} to {after.found}")


@database.command("check")
def db_check(config: OfConfig = None, as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """Look whether the database is sound: schema, integrity, and the record against itself.

    Exits with 1 when something is wrong, and says how to mend it. `palimpsest lineage verify`
    looks at the files as well.
    """
    from db.upkeep import check_database

    url, _ = _place(config, home)
    _refuse_absent(url)
    checks = list(check_database(url))
    if as_json:
        print_json([{**asdict(check), "ok": check.ok} for check in checks])
    else:
        rows = [(c.name, "ok" if c.ok else "FAILED", c.found, c.remedy) for c in checks]
        print_rows(("check", "status", "found", "what to do"), rows)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


@database.command("backup")
def db_backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to make; none is replaced.")],
    config: OfConfig = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Copy the record into one file, while it is in use, and check the copy.

    SQLite: a database file. PostgreSQL: an archive of pg_dump. Corpora and checkpoints are files of
    the home folder and are not in it.
    """
    from db.backups import back_up

    url, _ = _place(config, home)
    _refuse_absent(url)
    typer.echo(back_up(url, file.resolve()))


@database.command("copy")
def db_copy(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Record to read: a URL, or a SQLite file.")
    ],
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="Empty database to fill: a URL, or a file.")
    ],
    as_json: AsJson = False,
) -> None:
    """Move a record to another database: SQLite to PostgreSQL, or back. SOURCE stays as it is.

    \b
    palimpsest db copy .palimpsest/palimpsest.db postgresql://palimpsest@db.example/palimpsest
    export PALIMPSEST_DATABASE=postgresql://palimpsest@db.example/palimpsest

    Every row keeps its key. TARGET has to be empty and gets its tables here. It is written in one
    transaction: after a kill or Ctrl-C it holds no row, and the same command begins anew. Neither
    database takes writes meanwhile, and nothing is copied while a run goes on or from a record of
    another schema (`palimpsest db upgrade`). At the end the rows are counted and the new record is
    checked as by `palimpsest db check`; exits with 1 when anything was refused or failed.

    A password is best left out of the URL, which others on the machine can read: PGPASSWORD and
    ~/.pgpass are looked at, and for the URL that PALIMPSEST_DATABASE names, the file that
    PALIMPSEST_DATABASE_PASSWORD_FILE names. Corpora and checkpoints are files of the home folder:
    they stay where they are, and PALIMPSEST_HOME goes on naming them.
    """
    from db.upkeep import check_database
    from flows.copy_progress import copy_and_say

    old, new = as_url(source), as_url(target)
    _refuse_absent(old)
    copied = copy_and_say(old, new)
    checks = list(check_database(new))
    sound = all(check.ok for check in checks)
    if as_json:
        said = {**asdict(copied), "rows": copied.rows, "sound": sound}
        print_json({**said, "checks": [{**asdict(each), "ok": each.ok} for each in checks]})
    else:
        print_rows(("table", "rows"), [(name, f"{n:,}") for name, n in copied.tables.items()])
        wrong = [(c.name, "FAILED", c.found, c.remedy) for c in checks if not c.ok]
        if wrong:
            print_rows(("check", "status", "found", "what to do"), wrong)
        typer.echo(_what_now(copied, sound))
    if not sound:
        raise typer.Exit(1)


def as_url(place: str) -> str:
    """The URL of a database that is named by its URL or, where it is SQLite, by its file."""
    from flows.opening import DATABASE_VARIABLE, database_url

    if place == os.environ.get(DATABASE_VARIABLE):
        # With its password, wherever that is kept.
        return database_url(None, Path())
    return place if "://" in place else f"sqlite:///{Path(place).resolve()}"


def _what_now(copied: Copied, sound: bool) -> str:
    """What was done, and what is left to do by hand."""
    done = f"{copied.rows:,} rows of {len(copied.tables)} tables in {copied.seconds:.1f} s"
    if not sound:
        return f"{done}, but {copied.target} is not sound: go on with {copied.source}, as before"
    return (
        f"{done}, checked. Name the new record from now on, with its password if it has one:\n"
        f"  export PALIMPSEST_DATABASE={copied.target}\n"
        f"{copied.source} is unchanged: put it aside, for what is recorded there from now on is "
        "not in the new record. Corpora and checkpoints stay where they are."
    )


def gc(
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove it; without, it is only shown.")
    ] = False,
    all_failed: Annotated[
        bool,
        typer.Option(
            "--failed",
            help="Also finished shards of failed stages whose experiment is unfinished, which the "
            "next run would reuse.",
        ),
    ] = False,
    config: OfConfig = None,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Show what the home folder holds that no generation needs, and with --yes remove it.

    That is: folders that no row of the record names, what killed processes left half written, and
    what failed stages of finished experiments left. Nothing that the record names is touched, and
    nothing at all while a run goes on.
    """
    from db.upkeep import in_mebibytes
    from flows.housekeeping import collect, removable

    with record_at(config, home) as (opened, folder):
        found = (collect if yes else removable)(opened, folder, all_failed=all_failed)
    total = sum(each.bytes for each in found)
    if as_json:
        listed = [{"path": str(e.path), "why": e.why, "bytes": e.bytes} for e in found]
        print_json({"removed": yes, "bytes": total, "leftovers": listed})
        return
    rows = [(e.path.relative_to(folder), in_mebibytes(e.bytes), e.why) for e in found]
    if rows:
        print_rows(("in " + str(folder), "size", "why"), rows)
    said = f"{len(found)} leftovers, {in_mebibytes(total)}"
    then = "removed" if yes else "nothing removed; --yes removes them"
    typer.echo(f"{said}: {then if found else 'nothing to do'}")
