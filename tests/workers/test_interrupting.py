"""A signal is noted where a run is told to listen, and acted on at the next step."""

import os
import signal

import pytest
from prefect.utilities.engine import capture_sigterm

from workers import interrupting
from workers.interrupting import asked_to_stop, heard, heard_again, stop_if_asked

BOTH = (signal.SIGTERM, signal.SIGINT)


@pytest.mark.parametrize("number", BOTH)
def test_a_flow_within_a_run_notes_a_signal_and_goes_on_to_the_next_step(number, monkeypatch):
    # Put back at the end: tests that come after were not asked to stop.
    monkeypatch.setattr(interrupting, "_requests", 0)
    handlers = {each: signal.getsignal(each) for each in BOTH}
    try:
        # Prefect takes SIGTERM over in each flow, and raises it where it falls.
        with heard(BOTH), capture_sigterm(), heard_again():
            os.kill(os.getpid(), number)
            assert asked_to_stop()
            with pytest.raises(KeyboardInterrupt):
                stop_if_asked()
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)


def test_without_a_run_that_listens_nothing_is_taken_over():
    before = signal.getsignal(signal.SIGTERM)
    with heard_again():
        assert signal.getsignal(signal.SIGTERM) is before
