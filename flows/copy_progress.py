"""`palimpsest db copy` as a person sees it: how far it is, and what Ctrl-C does."""

from __future__ import annotations

from dataclasses import dataclass

import typer
from rich.markup import escape

from db.copying import Copied, copy_record
from flows.console import Reporter, explain
from flows.lease import holder_is_dead
from workers.interrupting import heard, stop_if_asked

# Most tables of a record are written in no time.
ROWS_WORTH_SAYING = 10_000
EXIT_INTERRUPTED = 130


@dataclass
class CopyReporter(Reporter):
    """Says how far the long tables are, and ends the copy where Ctrl-C was heard."""

    copied: bool = False
    """Whether it is too late to end it."""

    def step(self, what: str) -> None:
        """Say what begins; names in it may look like markup."""
        self._stop_if_asked()
        super().step(escape(what))

    def progress(self, what: str, done: int, total: int, began: float, extra: str = "") -> None:
        """Say how far a table is."""
        self._stop_if_asked()
        if total >= ROWS_WORTH_SAYING:
            super().progress(what, done, total, began, extra)

    def _stop_if_asked(self) -> None:
        if not self.copied:
            stop_if_asked()


def copy_and_say(source: str, target: str) -> Copied:
    """Copy a record; see `db.copying.copy_record`.

    Raises:
        typer.Exit: Ctrl-C was pressed; nothing was copied.
    """
    reporter = CopyReporter()
    try:
        # Raised where it falls, it would leave a driver in the midst of a statement.
        with heard():
            copied = copy_record(source, target, is_dead=holder_is_dead, progress=reporter)
    except KeyboardInterrupt:
        explain("interrupted. The target has no row of the record; the same command begins anew.")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    reporter.copied = True
    reporter.step(f"checking {copied.target}")
    return copied
