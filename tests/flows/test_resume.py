"""Thirty kills at random moments, each followed by the same command: the same bytes at the end."""

import random
import time

import pytest
from loop_tools import TINY, digests, kill_tree, run, start, status

KILLS = 30
SEED = 20261121


@pytest.mark.slow
@pytest.mark.timeout(4000)
def test_thirty_kills_at_random_moments_end_in_the_bytes_of_an_uninterrupted_run(tmp_path):
    code, _, err = run(tmp_path / "whole", "run", str(TINY))
    assert code == 0, err
    wanted = digests(status(tmp_path / "whole"))
    draw = random.Random(SEED)
    killed = 0
    attempt = 0
    while killed < KILLS:
        # Every finished run starts a new folder, so that kills fall into every part of the loop.
        folder = tmp_path / f"run-{attempt}"
        process = start(folder, "run", str(TINY))
        deadline = time.monotonic() + draw.uniform(5.0, 45.0)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if process.poll() is None:
            kill_tree(process)
            killed += 1
            continue
        assert process.returncode == 0, (folder / "err.log").read_text()
        assert digests(status(folder)) == wanted
        attempt += 1
    code, out, err = run(folder, "run", str(TINY))
    assert code == 0, err
    assert "reused" in out
    assert digests(status(folder)) == wanted
