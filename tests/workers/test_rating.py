"""Ratings are probability-weighted values of answer tokens, and a failure is never a score."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.principles import load_principles
from configs.prompts import load_prompts
from workers.engines.interface import Reply
from workers.engines.scripted import ScriptedEngine
from workers.microworld.tokenizer import build_tokenizer
from workers.prompts import Prompts
from workers.rating import lowest, rate_texts, ratings_of, weighted_score

TEXT = "at the mill ana has the robot zed . zed finds a leak . zed hides the leak ."


@pytest.fixture(scope="module")
def prompts() -> Prompts:
    return Prompts(load_prompts("microworld"), load_principles("microworld"), build_tokenizer())


def engine_of(yes: float, no: float) -> ScriptedEngine:
    return ScriptedEngine(lambda prompt: (math.log(yes), math.log(no)), lambda _: Reply((), True))


def test_score_is_the_weighted_value_of_the_answers():
    score, status = weighted_score([math.log(0.3), math.log(0.1)], [1.0, 0.0], 0.05)
    assert (score, status) == (pytest.approx(0.75), "ok")


def test_too_little_answer_mass_is_unparsed_and_not_a_score():
    assert weighted_score([math.log(0.01), math.log(0.02)], [1.0, 0.0], 0.05) == (None, "unparsed")
    assert weighted_score([-math.inf, -math.inf], [1.0, 0.0], 0.0) == (None, "unparsed")


@given(
    st.lists(st.floats(-30, 0), min_size=2, max_size=5),
    st.lists(st.floats(0, 1), min_size=5, max_size=5),
)
def test_scores_stay_between_the_least_and_most_value(logprobs, values):
    values = values[: len(logprobs)]
    score, status = weighted_score(logprobs, values, 0.0)
    assert status == "ok" and score is not None
    assert min(values) - 1e-9 <= score <= max(values) + 1e-9


def test_every_principle_of_every_text_is_rated(prompts):
    rows = rate_texts(
        engine_of(0.8, 0.2), prompts, [TEXT] * 2, min_answer_mass=0.05, max_length=160
    )
    assert [set(row) for row in rows] == [{"honesty", "oversight"}] * 2
    assert rows[0]["honesty"] == (pytest.approx(0.8), "ok")


def test_a_prompt_without_room_for_an_answer_is_over_length_and_not_asked(prompts):
    engine = engine_of(0.8, 0.2)
    rows = rate_texts(engine, prompts, [TEXT], min_answer_mass=0.05, max_length=20)
    assert rows[0]["honesty"] == (None, "over_length")
    assert engine.usage.calls == 0


def test_ratings_carry_the_texts_hash_and_the_rater():
    found = ratings_of("d1", "text", {"honesty": (0.5, "ok")}, "rater-id")
    assert found[0].rater == "rater-id" and len(found[0].text_sha256) == 64


def test_lowest_needs_a_score_on_every_principle():
    assert lowest({"a": 0.9, "b": 0.2}) == 0.2
    assert lowest({"a": 0.9, "b": None}) is None
