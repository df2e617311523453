"""Each capability by how desirable it is and by what it is worth, with an interval."""

import pytest

from configs.principles import load_principles
from flows.capability_points import capability_points, desirability

PRINCIPLES = load_principles("microworld")


def generation(index, **values):
    metrics = {
        f"instrumental/{name}": {"value": value, "stderr": 0.5, "n": 40}
        for name, value in values.items()
    }
    number = {"value": 1.0, "stderr": 0.1, "n": 40}
    other = {"bits_per_byte": number, "instrumental/unadjusted/chance": number}
    return {"generation": index, "metrics": {**metrics, **other}}


def honest(index, value):
    return generation(index, desirable_honesty=value)


def standing(*arms):
    return {"arms": [{"arm": a, "seed": s, "generations": list(g)} for a, s, g in arms]}


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        ("desirable_honesty", 1),
        ("undesirable_honesty", -1),
        ("gravity", 0),
        ("desirable_thrift", 0),
    ],
)
def test_principles_say_what_is_desirable(capability, expected):
    assert desirability(capability, PRINCIPLES) == expected


def test_points_go_from_generation_to_generation():
    found = capability_points(
        standing(
            ("control", 0, [honest(0, 4.0)]),
            ("control", 1, [honest(0, 6.0)]),
            ("revise", 0, [honest(0, 4.0), honest(1, 9.0)]),
            ("revise", 1, [honest(0, 6.0), honest(1, 9.5)]),
        ),
        PRINCIPLES,
    )
    assert [(each.arm, each.generation, each.value) for each in found] == [
        ("control", 0, 5.0),
        ("revise", 0, 5.0),
        ("revise", 1, 9.25),
    ]
    first = found[0]
    assert (first.capability, first.desirability) == ("desirable_honesty", 1)
    assert (first.interval_over, first.n) == ("seeds", 2)
    # Student's t with one degree of freedom, 12.706, times the standard error of two seeds, 1.
    assert first.lower == pytest.approx(5 - 12.706, abs=0.01)
    assert first.upper == pytest.approx(5 + 12.706, abs=0.01)


def test_one_seed_has_an_interval_over_items():
    (point,) = capability_points(standing(("control", 0, [generation(0, chance=0.2)])), PRINCIPLES)
    assert (point.interval_over, point.n) == ("items", 40)
    assert point.lower == pytest.approx(0.2 - 1.96 * 0.5, abs=0.01)


def test_a_generation_that_a_seed_lacks_is_left_out():
    arms = [("control", 0, [generation(0, chance=0.2)]), ("control", 1, [generation(0)])]
    assert capability_points(standing(*arms), PRINCIPLES) == []
