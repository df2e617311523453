"""Being asked to stop: noted when it happens, acted on at the next step, a second or so later.

Raised where it falls, an interrupt can be swallowed by a finaliser or a hook, or leave a lock held
that other threads wait for: of ten tries one ran on to its end and one stood still; in the midst of
a call of Ray's it becomes a SystemError. So the first two are noted; a third is raised at once, for
those who cannot wait.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

_requests = 0
_signals: Sequence[signal.Signals] = ()
_deadline: float | None = None


def _note(number: int, frame: FrameType | None) -> None:
    global _requests
    _requests += 1
    if _requests > 2:
        raise KeyboardInterrupt


@contextmanager
def heard(
    signals: Sequence[signal.Signals] = (signal.SIGINT,), limit_s: float | None = None
) -> Iterator[None]:
    """Note these signals while the block runs, and its time; to be used in the main thread.

    Args:
        signals: Ctrl-C; SIGTERM too where a run is stopped by a program.
        limit_s: seconds after which the block is to stop, at the next step too.
    """
    global _requests, _signals, _deadline
    _requests, _signals = 0, signals
    _deadline = time.monotonic() + limit_s if limit_s is not None else None
    before = {number: signal.signal(number, _note) for number in signals}
    try:
        yield
    finally:
        _signals, _deadline = (), None
        # Once it was heard, the process is on its way out, and another one has nothing to add.
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if _requests else handler)


@contextmanager
def heard_again() -> Iterator[None]:
    """Note the signals of `heard`, around this one, where a library has taken them for itself.

    Prefect does so in each flow, a flow within a flow too, and raises them where they fall.
    """
    before = {number: signal.signal(number, _note) for number in _signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def asked_to_stop() -> bool:
    """Whether one of the signals came."""
    return _requests > 0


def stop_if_asked() -> None:
    """Stop here if it was asked for; called where a run can stop safely.

    Raises:
        KeyboardInterrupt: one of the signals came.
        TimeoutError: the time is over.
    """
    if _requests:
        raise KeyboardInterrupt
    if _deadline is not None and time.monotonic() > _deadline:
        raise TimeoutError("the time is over; what was finished is kept, and the next run goes on")
