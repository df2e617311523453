"""What a person sees while a run goes on: a line for each step, and live progress."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

QUIET_S = 5.0


def explain(message: str) -> None:
    """Print an error as a paragraph of its own, as it is: names in it may look like markup."""
    said = Text.assemble(("error", "bold red"), " ", message)
    # Paths and ids are for copying: only the terminal itself may wrap them.
    Console(stderr=True, highlight=False).print(said, soft_wrap=True)


@dataclass
class Reporter:
    """Prints steps and progress; on a terminal the progress line is rewritten in place."""

    console: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))
    reused: int = 0
    redone: int = 0
    _began: float = field(default_factory=time.monotonic)
    _last: float = 0.0

    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    def step(self, what: str) -> None:
        """Say what happened, with the seconds since the run began."""
        took = self.elapsed()
        self.console.print(f"[dim]{took:6.1f}s[/] {what}", soft_wrap=True, emoji=False)

    def progress(self, what: str, done: int, total: int, began: float, extra: str = "") -> None:
        """Say how far something is, at most once in a few seconds, and how long it may take."""
        now = time.monotonic()
        if done < total and now - self._last < QUIET_S:
            return
        self._last = now
        took = now - began
        rate = done / took if took > 0 else 0.0
        eta = f", {(total - done) / rate:.0f}s left" if rate > 0 and done < total else ""
        self.step(
            f"  {what}: {done:,}/{total:,} ({rate:,.0f}/s{eta}){' · ' + extra if extra else ''}"
        )
