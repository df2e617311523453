"""Ctrl-C: noted when it is pressed, and acted on at the next step of the run, a second or so later.

Raised where it falls, an interrupt can be swallowed by a finaliser or a hook, or leave a lock held
that other threads wait for: of ten tries one ran on to its end and one stood still. So the first
two are noted; a third is raised at once, for those who cannot wait.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_requests = 0


def _note(number: int, frame: FrameType | None) -> None:
    global _requests
    _requests += 1
    if _requests > 2:
        raise KeyboardInterrupt


@contextmanager
def heard() -> Iterator[None]:
    """Note Ctrl-C while the block runs; to be used in the main thread."""
    global _requests
    _requests = 0
    before = signal.signal(signal.SIGINT, _note)
    try:
        yield
    finally:
        # Once it was heard, the process is on its way out, and another one has nothing to add.
        signal.signal(signal.SIGINT, signal.SIG_IGN if _requests else before)


def asked_to_stop() -> bool:
    """Whether Ctrl-C was pressed."""
    return _requests > 0


def stop_if_asked() -> None:
    """Raise KeyboardInterrupt if Ctrl-C was pressed; called where a run can stop safely."""
    if _requests:
        raise KeyboardInterrupt
