"""Models that are compared were trained alike, or the run stops."""

from types import SimpleNamespace

import pytest

from configs.arms import Arm
from flows.context import ArmState, TrainedOn
from flows.matching import check_matching, left_out
from workers.problems import WorkProblem

ALIKE = TrainedOn(seed=3, corpus_tokens=1000, tokens=1800, steps=14)


def context(*trained: dict[int, TrainedOn], init: str = "scratch", source: str = "fixed"):
    names = (Arm.CONTROL, Arm.PARAPHRASE, Arm.REVISE)[-len(trained) :]
    rows = zip(names, trained, strict=True)
    arms = [ArmState(name, 3, None, trained=each) for name, each in rows]  # pyright: ignore[reportArgumentType]
    said: list[str] = []
    return SimpleNamespace(
        arms={3: arms},
        experiment=SimpleNamespace(
            training=SimpleNamespace(init=init), skills=SimpleNamespace(source=source)
        ),
        reporter=SimpleNamespace(step=said.append),
        said=said,
    )


def test_arms_that_were_trained_alike_are_said_to_be():
    run = context({1: ALIKE}, {1: ALIKE}, {1: ALIKE})
    check_matching(run, 3, 1)
    (line,) = run.said
    assert "1,000 corpus tokens, 1,800 tokens and 14 steps in each of 3 arms, seed 3" in line


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("corpus_tokens", 999, "corpus tokens 999, the control 1,000"),
        ("tokens", 1801, "tokens 1,801, the control 1,800"),
        ("steps", 15, "steps 15, the control 14"),
        ("seed", 4, "seed 4, the control 3"),
        ("late_tokens", 99, "late tokens 99, the control 0"),
        ("persistence_tokens", 2048, "persistence tokens 2,048, the control 0"),
        ("persistence_steps", 1, "persistence steps 1, the control 0"),
    ],
)
def test_an_arm_that_was_trained_otherwise_stops_the_run(field, value, words):
    other = TrainedOn(**{**{n: getattr(ALIKE, n) for n in ALIKE.__slots__}, field: value})
    with pytest.raises(WorkProblem, match="arm revise, seed 3, generation 1") as caught:
        check_matching(context({1: ALIKE}, {1: ALIKE}, {1: other}), 3, 1)
    assert words in str(caught.value)


def test_a_chain_of_models_answers_for_its_forebears():
    late = {1: TrainedOn(3, 900, 1700, 13), 2: ALIKE}
    check_matching(context({1: ALIKE, 2: ALIKE}, late), 3, 2)
    with pytest.raises(WorkProblem, match="generation 1"):
        check_matching(context({1: ALIKE, 2: ALIKE}, late, init="parent"), 3, 2)
    with pytest.raises(WorkProblem, match="generation 1"):
        check_matching(context({1: ALIKE, 2: ALIKE}, late, source="self"), 3, 2)


def test_an_arm_that_was_stopped_is_not_compared():
    check_matching(context({1: ALIKE, 2: ALIKE}, {1: ALIKE}), 3, 2)


def test_what_leaves_one_arm_leaves_them_all():
    run = context({}, {}, {})
    control, placebo, treated = run.arms[3]
    assert left_out(run.arms[3]) == frozenset()
    placebo.quarantined |= {"a"}
    treated.contaminated |= {"b", "c"}
    assert left_out([control, placebo, treated]) == {"a", "b", "c"}
