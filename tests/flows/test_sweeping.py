"""A grid's points are checked before the first is run, named by their values, and run apart."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.loading import ConfigProblem
from flows.sweeping import Swept, grid_of, sweep
from workers.problems import WorkProblem

TINY = Path(__file__).parents[2] / "configs" / "microworld-tiny.yaml"


def test_every_combination_is_an_experiment_of_its_own():
    points = grid_of(TINY, ["mix.real_floor=0,0.5", "training.init=base,scratch"], ["seeds=[1]"])
    assert [point.name for point in points] == [
        "microworld-tiny-real-floor-0-init-base",
        "microworld-tiny-real-floor-0-init-scratch",
        "microworld-tiny-real-floor-0.5-init-base",
        "microworld-tiny-real-floor-0.5-init-scratch",
    ]
    assert [p.experiment.mix.real_floor for p in points] == [0.0, 0.0, 0.5, 0.5]
    assert all(point.experiment.seeds == (1,) for point in points)


def test_a_list_is_one_value():
    points = grid_of(TINY, ["arms=[control, revise],[control, filter]"], [])
    assert [len(point.experiment.arms) for point in points] == [2, 2]
    assert len({point.name for point in points}) == 2


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ([], "at least one field"),
        (["mix.real_floor"], "write it as"),
        (["mix.real_floor="], "write it as"),
        (["name=a,b"], "take it out"),
        (["mix.real_floor=0,0"], "twice"),
        (["mix.floor=0,1"], "no such field"),
        (["mix.real_floor=0,2"], "real_floor"),
        (["mix.mode=Replace,replace"], "mix.mode"),
    ],
)
def test_a_grid_that_cannot_be_run_is_refused_before_its_first_point(grid, words):
    with pytest.raises(ConfigProblem, match=words):
        grid_of(TINY, grid, [])


def test_one_point_that_fails_leaves_the_others():
    points = grid_of(TINY, ["rating.threshold=0.4,0.5,0.6"], [])
    asked: list[str] = []

    def run(config, overrides):
        asked.append(overrides[-1])
        if "0.5" in overrides[-1]:
            raise WorkProblem("the disk is full")

    said: list[str] = []
    ended = sweep(TINY, points, said.append, run)
    assert len(asked) == 3
    assert [each.outcome for each in ended] == ["finished", "failed", "finished"]
    assert ended[1] == Swept(
        points[1].name, ("rating.threshold=0.5",), "failed", "the disk is full"
    )
    assert said[0] == f"point 1 of 3: {points[0].name}"


@settings(max_examples=30)
@given(st.lists(st.floats(0, 1, allow_nan=False), min_size=1, max_size=5, unique=True))
def test_values_come_back_as_they_were_written(values):
    points = grid_of(TINY, ["rating.threshold=" + ",".join(map(repr, values))], [])
    assert [point.experiment.rating.threshold for point in points] == values
