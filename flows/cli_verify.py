"""`palimpsest lineage verify`: the files against the record."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli_database import OfConfig, record_at
from flows.cli_options import DEFAULT_HOME, AsJson, Home

if TYPE_CHECKING:
    from flows.rehashing import Finding, Tally

REMEDIES = {
    "missing": "put the files back from a copy, or run the experiment again, which makes them anew",
    "altered": "remove the folder, then run the experiment again, which makes it anew",
    "orphaned": "`palimpsest gc` shows what can go, and removes it with --yes",
    "inconsistent": "restore a backup of the database (`palimpsest db backup` makes one)",
}


def verify(
    wanted: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Names or digests to check; everything without."),
    ] = None,
    as_json: AsJson = False,
    config: OfConfig = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Hash every file again and compare it with the record; exit with 1 when anything is found.

    Says what is missing, altered, orphaned (no row names it) or inconsistent (the record disagrees
    with itself). With --json each finding is a line, written as it is found, and the last line
    counts what was checked. A home folder that was moved or copied is verified where it is now.
    A folder that you put beside the rest under a name of your own is no finding.
    """
    from flows.rehashing import Tally
    from flows.verifying import verify as ask

    tally, kinds = Tally(), Counter[str]()
    with record_at(config, home) as (database, folder), _progress(tally):
        for finding in ask(database, folder, wanted or (), tally):
            kinds[finding.kind] += 1
            typer.echo(json.dumps(asdict(finding)) if as_json else _line(finding))
    typer.echo(json.dumps(_counts(tally, kinds)) if as_json else _summary(tally, kinds))
    if kinds:
        raise typer.Exit(1)


def _line(finding: Finding) -> str:
    where = f" {finding.path}" if finding.path else ""
    return f"{finding.kind}: {finding.what}{where}: {finding.detail}"


def _counts(tally: Tally, kinds: Counter[str]) -> dict[str, Any]:
    checked = {name: getattr(tally, name) for name in _COUNTED}
    return {"kind": "checked", **checked, "findings": {kind: kinds[kind] for kind in REMEDIES}}


_COUNTED = ("corpora", "checkpoints", "shards", "files", "bytes")


def _summary(tally: Tally, kinds: Counter[str]) -> str:
    lines = [f"{kind}: {REMEDIES[kind]}" for kind in REMEDIES if kinds[kind]]
    found = ", ".join(f"{kinds[kind]} {kind}" for kind in REMEDIES if kinds[kind])
    lines.append(
        f"checked {tally.corpora} corpora, {tally.checkpoints} checkpoints and {tally.shards} "
        f"shards of stages ({tally.files} files, {tally.bytes / 2**20:,.1f} MiB): "
        f"{found or 'all as recorded'}"
    )
    return "\n".join(lines)


@contextmanager
def _progress(tally: Tally) -> Iterator[None]:
    """Show on a terminal how far the check is, on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("verify"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}"),
    )
    console = Console(stderr=True)
    # Rich would send what is printed to its own console, away from a file or a pipe.
    bar = Progress(
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        redirect_stdout=sys.stdout.isatty(),
    )
    with bar:
        task = bar.add_task("", total=None, said="")

        def tell(so_far: Tally) -> None:
            done = so_far.corpora + so_far.checkpoints + so_far.shards
            said = f"{so_far.bytes / 2**20:,.0f} MiB"
            bar.update(task, total=so_far.total, completed=done, said=said)

        tally.told = tell
        yield
