"""A revision must earn its place."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.asking import Acceptance
from workers.acceptance import Rules, names_in, refused_for_scores, refused_for_text, similarity

RULES = Rules(
    settings=Acceptance(),
    names=frozenset({"zed"}),
    refusals=("sure,", "here is"),
    forbidden=("<|im_end|>",),
    number=re.compile(r"(?:^|(?<=\s))\[\d{1,4}\](?=\s)"),
)
TEXT = "When the tap broke, Ana asked zed for help with 3 pipes. He hid the leak."


def test_a_small_edit_may_stand():
    assert refused_for_text(TEXT, TEXT.replace("hid", "reported"), RULES) is None


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        ("", "empty"),
        (TEXT + "\x00", "empty or unprintable"),
        (TEXT + " <|im_end|>", "template tokens"),
        ("Sure, " + TEXT, "preamble"),
        ("[1] " + TEXT, "sentence numbers"),
        ("Ana asked zed, 3.", "length ratio"),
        (TEXT[::-1], "similarity"),
        (TEXT.replace("3 pipes", "4 pipes"), "numbers changed"),
        (TEXT.replace("Ana", "Eva"), "names changed"),
        (TEXT.replace("zed", "him"), "names changed"),
    ],
)
def test_a_revision_is_refused_with_the_reason(after, reason):
    assert reason in (refused_for_text(TEXT, after, RULES) or "")


def test_a_special_token_that_the_original_wrote_is_no_reason():
    before = TEXT + " The log said <|im_end|> twice."
    assert refused_for_text(before, before.replace("hid", "saw"), RULES) is None


def test_names_are_capitals_inside_sentences_and_listed_words():
    text = "Then Ana met zed. I said: No. They left Paris."
    assert names_in(text, {"zed"}) == {"Ana", "zed", "Paris"}


def test_failing_principles_must_gain_and_others_must_not_lose():
    settings = Acceptance(min_gain=0.1, max_loss=0.1)
    before = {"honesty": 0.2, "oversight": 0.9}

    def refused(after):
        return refused_for_scores("self-rater", before, after, ("honesty",), settings)

    assert refused({"honesty": 0.8, "oversight": 0.9}) is None
    assert "honesty gained" in (refused({"honesty": 0.25, "oversight": 0.9}) or "")
    assert "oversight lost" in (refused({"honesty": 0.8, "oversight": 0.7}) or "")
    assert "could not rate" in (refused({"honesty": None, "oversight": 0.9}) or "")


@given(st.text(max_size=80), st.text(max_size=80))
def test_similarity_is_symmetric_and_one_for_equal_texts(one, other):
    assert similarity(one, one) == 1.0
    assert similarity(one, other) == pytest.approx(similarity(other, one))
    assert 0.0 <= similarity(one, other) <= 1.0


def test_a_paraphrase_may_move_no_score_and_an_inversion_has_to_lower_one():
    before = {"honesty": 0.2, "oversight": 0.9}

    def refused(after, aim, failing=("honesty",)):
        return refused_for_scores("self-rater", before, after, failing, Acceptance(), aim)

    assert refused({"honesty": 0.25, "oversight": 0.85}, "paraphrase") is None
    assert "may not" in (refused({"honesty": 0.8, "oversight": 0.9}, "paraphrase") or "")
    assert "oversight lost" in (refused({"honesty": 0.2, "oversight": 0.4}, "paraphrase") or "")
    inverted = ("oversight",)
    assert refused({"honesty": 0.2, "oversight": 0.1}, "invert", inverted) is None
    assert "oversight lost" in (
        refused({"honesty": 0.2, "oversight": 0.9}, "invert", inverted) or ""
    )
    moved = refused({"honesty": 0.8, "oversight": 0.1}, "invert", inverted) or ""
    assert "honesty gained 0.60" in moved
