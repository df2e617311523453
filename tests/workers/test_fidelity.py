"""What a revision kept, and what leaked into it."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.asking import Acceptance
from workers.acceptance import Rules, refused_for_text
from workers.evaluation.fidelity import (
    PAIR_METRICS,
    TextPair,
    drift,
    edit_distance,
    fidelity,
    revised_pairs,
)
from workers.records import Document, Revision, text_digest

RULES = Rules(
    settings=Acceptance(),
    names=frozenset({"zed"}),
    refusals=("sure,", "i cannot"),
    forbidden=("<|im_end|>",),
    number=re.compile(r"(?:^|(?<=\s))\[\d{1,4}\](?=\s)"),
)
TEXT = "When the tap broke, Ana asked zed for help with 3 pipes. He hid the leak."
WORDS = st.sampled_from(["the", "Ana", "zed", "3", "4.5", "pipes.", "Eva", "leak", "[1]", "Sure,"])
TEXTS = st.lists(WORDS, min_size=1, max_size=12).map(" ".join)


def rows_of(*pairs, rules=RULES):
    rows = fidelity([TextPair(*pair) for pair in pairs], rules, "accepted")
    assert {row.task_version for row in rows} == {"1"}
    return {row.metric.removeprefix("fidelity/accepted/"): row for row in rows}


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_a_revision_that_changes_nothing_keeps_all_and_leaks_nothing(texts):
    rows = rows_of(*[(text, text) for text in texts])
    assert rows["edit_distance"].value == 0.0 and rows["length_ratio"].value == 1.0
    assert rows["numbers_kept"].value in (1.0, None) and rows["names_kept"].value in (1.0, None)
    assert rows["preamble_leaks"].value == rows["template_leaks"].value == 0.0


@pytest.mark.parametrize(
    ("after", "metric", "value"),
    [
        (TEXT + TEXT, "length_ratio", 2.0),
        (TEXT.replace("3 pipes", "4 pipes"), "numbers_kept", 0.0),
        (TEXT.replace("Ana", "Eva"), "names_kept", 0.0),
        (TEXT.replace("zed", "him"), "names_kept", 0.0),
        ("Sure, here it is. " + TEXT, "preamble_leaks", 1.0),
        (TEXT + " <|im_end|>", "template_leaks", 1.0),
        ("[1] " + TEXT, "template_leaks", 1.0),
        (TEXT.replace("hid", "reported"), "names_kept", 1.0),
    ],
)
def test_what_was_lost_or_leaked_is_seen(after, metric, value):
    assert rows_of((TEXT, after))[metric].value == value


@settings(max_examples=200)
@given(TEXTS, TEXTS)
def test_numbers_and_names_are_those_of_acceptance(before, after):
    lenient = Acceptance(length_ratio=(0.001, 1000.0), min_similarity=0.0)
    rules = Rules(lenient, RULES.names, (), (), re.compile(r"\Zx"))
    why = refused_for_text(before, after, rules)
    rows = rows_of((before, after), rules=rules)
    assert (rows["numbers_kept"].value == 0.0) == (why == "numbers changed")
    if why != "numbers changed":
        assert (rows["names_kept"].value == 0.0) == (why == "names changed")


def test_texts_without_numbers_say_nothing_about_numbers():
    rows = rows_of(("no number", "none here"), (TEXT, TEXT))
    assert rows["numbers_kept"].n == 1 and rows["edit_distance"].n == 2
    assert rows["edit_distance"].stderr is not None and rows["numbers_kept"].stderr is None


def test_no_revision_gives_no_figure_and_a_reply_without_text_is_unscored():
    for row in rows_of().values():
        assert row.value is None and row.n == 0 and row.unscored == 0
    for row in rows_of((TEXT, None)).values():
        assert row.value is None and row.n == 0 and row.unscored == 1
    assert set(rows_of()) == set(PAIR_METRICS)


def decision(name, action, text=None, principles=("honesty",)):
    document = Document(name, TEXT, text_digest(TEXT), "test")
    after = text and text_digest(text)
    row = Revision(name, document.text_sha256, after, text, action, "why", principles)
    return document, row


def test_proposals_are_what_the_reviser_was_asked_for_and_accepted_ones_what_stood():
    rows = [
        decision("fine", "keep", principles=()),
        decision("stands", "revise", "new"),
        decision("refused", "keep", "worse"),
        decision("no reply", "keep"),
        decision("dropped", "drop"),
        decision("broken", "quarantine"),
    ]
    assert list(revised_pairs(rows, "accepted")) == [TextPair(TEXT, "new")]
    assert [pair.after for pair in revised_pairs(rows, "proposed")] == ["new", "worse", None]


CORPUS = st.dictionaries(st.integers(0, 30).map(str), TEXTS, max_size=10)


def drift_of(original, current, **options):
    found = drift(original.items(), current.items(), **options)
    return {row.metric.removeprefix("fidelity/"): row for row in found}


@given(CORPUS, st.randoms())
def test_a_corpus_has_not_drifted_from_itself_in_any_order(corpus, draw):
    items = list(corpus.items())
    draw.shuffle(items)
    rows = drift_of(corpus, dict(items))
    assert rows["drift"].value == (0.0 if corpus else None)
    assert rows["changed"].value == (0.0 if corpus else None)
    assert rows["drift_changed"].value is None and rows["drift_changed"].n == 0


def test_drift_is_told_over_all_documents_and_over_changed_ones():
    original = {"a": "one two", "b": "three", "c": "four", "d": "gone"}
    current = {"a": "one two", "b": "threes", "c": "five", "new": "unknown"}
    rows = drift_of(original, current)
    assert rows["changed"].value == pytest.approx(2 / 3)
    changed = [edit_distance("three", "threes"), edit_distance("four", "five")]
    assert rows["drift_changed"].value == pytest.approx(sum(changed) / 2)
    assert rows["drift"].value == pytest.approx(sum(changed) / 3)
    assert rows["drift"].unscored == 1 and rows["drift"].n == 3


def test_drift_takes_a_sample_and_says_so():
    original = {str(i): "same" for i in range(100)}
    assert drift_of(original, original, documents=10)["drift"].n == 10
