"""A prediction is hit or missed by the difference to the control, and open until it is measured."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.models import Prediction
from flows.predicting import _judged, as_rows, outcome_of


def said(direction: str, size: float = 0.1) -> Prediction:
    return Prediction(
        metric="oracle/propensity", arm="revise", direction=direction, size=size,
        by_generation=2, recorded_at=datetime(2026, 1, 1, tzinfo=UTC), digest="d",
    )  # fmt: skip


def standing(differences: list[float | None], stderr: float = 0.005) -> dict:
    def arms() -> Iterator[dict]:
        for seed, difference in enumerate(differences):
            for arm, value in (("control", 0.5), ("revise", difference and 0.5 + difference)):
                found = {"value": value, "stderr": stderr, "n": 100}
                row = {"generation": 2, "metrics": {"oracle/propensity": found}}
                yield {"arm": arm, "seed": seed, "generations": [row]}

    return {"arms": list(arms())}


@pytest.mark.parametrize(
    ("direction", "differences", "outcome", "sure"),
    [
        ("lower", [-0.30, -0.31, -0.29], "hit", True),
        ("lower", [-0.10, -0.02, -0.21], "hit", False),
        ("lower", [-0.01, 0.01, 0.02], "miss", True),
        ("higher", [0.30, 0.31, 0.29], "hit", True),
        ("higher", [-0.30, -0.31, -0.29], "miss", True),
        ("within", [0.01, 0.0001, -0.01], "hit", True),
        ("within", [0.4, -0.4, 0.01], "hit", False),
        ("within", [0.30, 0.31, 0.29], "miss", True),
        ("lower", [-0.3], "hit", True),
    ],
)
def test_it_is_judged_by_the_mean_over_seeds_and_sure_by_the_interval(
    direction, differences, outcome, sure
):
    found = _judged(said(direction), False, standing(differences))
    assert (found.outcome, found.sure, found.n) == (outcome, sure, len(differences))
    assert found.interval_over == ("seeds" if len(differences) > 1 else "items")
    assert json.loads(json.dumps(as_rows([found])))[0]["recorded_at"].startswith("2026-01-01")


@pytest.mark.parametrize("seen", [{"arms": []}, standing([-0.3, None])])
def test_it_is_open_until_every_seed_is_measured(seen):
    found = _judged(said("lower"), True, seen)
    assert (found.outcome, found.value, found.late) == ("open", None, True)


@given(st.floats(-1, 1), st.floats(0, 1))
def test_lower_and_higher_are_mirror_images_and_never_both_hit(value, size):
    assert outcome_of("lower", size, value) == outcome_of("higher", size, -value)
    if size > 0:
        assert "miss" in {outcome_of("lower", size, value), outcome_of("higher", size, value)}
