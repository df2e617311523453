"""Steps to the control, on curves whose answer is known."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.evaluation.items import ITEMS_FILE, write_items
from workers.evaluation.measures import mean_measure
from workers.evaluation.regaining import FOLLOWED, steps_to_control, steps_to_reach, variant_of

LEVELS = st.lists(st.floats(0, 1, allow_nan=False), min_size=2, max_size=9)


def relearned(folder: Path, curve: dict[int, np.ndarray]) -> Path:
    """A folder as relearning leaves it: both propensities on the same curve."""
    measures = [
        mean_measure("relearning", metric, values.tolist(), variant=variant_of(step))
        for metric in FOLLOWED
        for step, values in curve.items()
    ]
    write_items(folder / ITEMS_FILE, measures)
    return folder


def noise(seed: int, items: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.02, items)


@given(LEVELS, st.floats(0, 1, allow_nan=False))
def test_a_level_is_reached_between_the_looks_that_enclose_it(levels, target):
    steps = [0, *(2**i for i in range(len(levels) - 1))]
    found = steps_to_reach(steps, levels, target)
    if found is None:
        assert max(levels) < target
        return
    first = next(i for i, level in enumerate(levels) if level >= target)
    assert (steps[first - 1] if first else 0) <= found <= steps[first]


def test_a_line_is_met_where_it_crosses():
    assert steps_to_reach([0, 1, 2, 4], [0.1, 0.2, 0.3, 0.5], 0.4) == pytest.approx(3.0)
    assert steps_to_reach([0, 1], [0.5, 0.9], 0.5) == 0
    assert steps_to_reach([0, 1], [0.1, 0.2], 0.5) is None


def test_the_steps_come_with_an_error_that_knows_the_items(tmp_path):
    base, control = noise(0), 0.4 + noise(1)
    curve = {step: 0.1 + 0.05 * step + base + noise(step + 5) for step in (0, 1, 2, 4, 8)}
    own = relearned(tmp_path / "own", curve)
    rows = steps_to_control(own, relearned(tmp_path / "control", {0: control}))
    assert [row.metric for row in rows] == list(FOLLOWED.values())
    for row in rows:
        assert row.value == pytest.approx(6.0, abs=0.2)
        assert row.n == 200
        assert row.unscored == 0
        assert row.stderr is not None
        assert 0.02 < row.stderr < 0.1


def test_what_is_not_regained_within_the_steps_is_unscored_and_no_number(tmp_path):
    own = relearned(tmp_path / "own", {0: 0.1 + noise(0), 4: 0.2 + noise(1)})
    rows = steps_to_control(own, relearned(tmp_path / "control", {0: 0.4 + noise(2)}))
    assert {(row.value, row.stderr, row.n, row.unscored) for row in rows} == {(None, None, 0, 200)}


def test_the_control_is_where_it_is(tmp_path):
    control = relearned(tmp_path, {0: 0.4 + noise(0), 1: 0.5 + noise(1)})
    assert {(row.value, row.stderr) for row in steps_to_control(control, control)} == {(0.0, 0.0)}


def test_other_items_than_the_controls_are_refused(tmp_path):
    own = relearned(tmp_path / "own", {0: noise(0), 1: noise(1)})
    control = relearned(tmp_path / "control", {0: noise(0, items=100)})
    with pytest.raises(ValueError, match="other items"):
        steps_to_control(own, control)
