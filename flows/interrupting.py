"""Ctrl-C: heard at once where Python lets it through, and else at the next step of the run."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_requested = False


def _note(number: int, frame: FrameType | None) -> None:
    global _requested
    _requested = True
    raise KeyboardInterrupt


@contextmanager
def heard() -> Iterator[None]:
    """Note Ctrl-C while the block runs; to be used in the main thread."""
    global _requested
    _requested = False
    before = signal.signal(signal.SIGINT, _note)
    try:
        yield
    finally:
        # Once it was heard, the process is on its way out, and a second one has nothing to add.
        signal.signal(signal.SIGINT, signal.SIG_IGN if _requested else before)


def stop_if_asked() -> None:
    """Raise KeyboardInterrupt if Ctrl-C was pressed and got lost.

    An interrupt that falls into an import, a finaliser or a library's own handler can be swallowed
    there; a run that goes on for hours after Ctrl-C is no run that anyone can stop.
    """
    if _requested:
        raise KeyboardInterrupt
