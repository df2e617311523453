"""Revised text that holds an evaluation's items is found, and nothing else is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.evaluation.decontamination import (
    MICROWORLD,
    REAL_TEXT,
    EvaluationIndex,
    Offence,
    OverlapRule,
    decontaminate,
)
from workers.microworld.generator import generate_documents
from workers.microworld.world import WorldParams

ITEM = (
    "The keeper of the lighthouse wrote in his log that the lamp had failed twice "
    "before the storm came over the hills."
)
SHORT = "Report the fault at once, then stop the engine."  # nine words
TINY = "Yes, it is."


def index(rule=REAL_TEXT, **evaluations):
    return EvaluationIndex(evaluations or {"risk": [ITEM, SHORT, TINY]}, rule)


def offences(text, rule=REAL_TEXT):
    return list(index(rule).offences([("doc", text)]))


def test_thirteen_shared_words_offend_whatever_their_case_and_punctuation():
    shared = " ".join(ITEM.split()[3:16]).upper().replace(" ", ",  ")
    (found,) = offences(f"It was said: {shared}! And so on.")
    assert (found.doc_id, found.evaluation, found.kind) == ("doc", "risk", "overlap")
    assert 0 < found.share < 1


def test_twelve_shared_words_do_not():
    assert offences("It was said: " + " ".join(ITEM.split()[3:15])) == []


def test_an_item_of_eight_to_twelve_words_offends_as_a_whole():
    assert offences(f"He said: {SHORT} And he did.")[0].share == 1.0
    assert offences(f"He said: {SHORT.replace('engine', 'clock')} And he did.") == []


def test_a_shorter_item_offends_only_where_it_is_the_document():
    assert offences("yes it is") == [Offence("doc", "risk", "equal", 1.0)]
    assert offences(f"Is it so? {TINY} He knew.") == []


def test_every_evaluation_is_named_and_counted_apart():
    both = index(a=[ITEM, SHORT], b=[ITEM], c=["something else altogether"])
    found = decontaminate(both, [("x", ITEM), ("y", f"So: {SHORT} Yes."), ("z", "clean")])
    assert found.counts == {"a": 2, "b": 1, "c": 0}
    assert found.doc_ids == {"x", "y"}
    assert {(o.doc_id, o.evaluation, o.kind) for o in found.offences} == {
        ("x", "a", "equal"),
        ("x", "b", "equal"),
        ("y", "a", "overlap"),
    }
    rows = {row.metric: row for row in found.rows}
    assert rows["decontamination/a"].value == pytest.approx(2 / 3)
    assert rows["decontamination/c"].value == 0.0 and rows["decontamination/c"].n == 3


def test_nothing_to_search_or_to_search_for_gives_no_figure():
    (row,) = decontaminate(index(), []).rows
    assert row.value is None and row.n == 0 and row.unscored == 0
    for texts in ([], ["...", ""]):
        found = decontaminate(index(empty=texts), [("x", ITEM), ("y", "...")])
        assert found.rows[0].value is None and found.rows[0].n == 0 and found.rows[0].unscored == 2
        assert found.offences == []
    assert decontaminate(EvaluationIndex({}, REAL_TEXT), [("x", ITEM)]).rows == []


WORDS = st.sampled_from(["a", "b", "c", "d", "e"])
TEXTS = st.lists(WORDS, max_size=25).map(" ".join)


@settings(max_examples=200)
@given(st.lists(TEXTS, max_size=5), TEXTS)
def test_the_index_finds_what_a_plain_search_finds(items, text):
    rule = OverlapRule(n=5, shortest=3, share=0.0)
    words = text.split()

    def runs(of, n):
        return {tuple(of[i : i + n]) for i in range(len(of) - n + 1)}

    def offends(item):
        own = item.split()
        n = min(5, len(own))
        shared = len(own) >= 3 and runs(own, n) & runs(words, n)
        return bool(own) and (own == words or bool(shared))

    found = list(EvaluationIndex({"e": items}, rule).offences([("x", text)]))
    assert bool(found) == any(map(offends, items))
    assert all(0.0 < offence.share <= 1.0 for offence in found)


@given(st.lists(TEXTS, max_size=6), st.lists(TEXTS, max_size=6), st.randoms())
def test_order_changes_no_count(items, texts, draw):
    rule = OverlapRule(n=4, shortest=3, share=0.5)
    keyed = [(str(i), text) for i, text in enumerate(texts)]
    other_items, other_keyed = list(items), list(keyed)
    draw.shuffle(other_items)
    draw.shuffle(other_keyed)
    one = decontaminate(EvaluationIndex({"e": items}, rule), keyed)
    other = decontaminate(EvaluationIndex({"e": other_items}, rule), other_keyed)
    assert one.rows == other.rows and one.counts == other.counts
    assert set(one.offences) == set(other.offences)


def test_the_microworld_rule_spares_a_world_that_repeats_itself_and_finds_copies():
    items = [document.text for document in generate_documents(WorldParams(), 1, 500)]
    corpus = [(d.doc_id, d.text) for d in generate_documents(WorldParams(), 2, 2000)]
    world = index(MICROWORLD, held_out=items)
    assert decontaminate(world, corpus).counts == {"held_out": 0}
    assert decontaminate(index(REAL_TEXT, held_out=items), corpus).counts["held_out"] > 0
    copies = [(str(i), item) for i, item in enumerate(items)]
    assert decontaminate(world, copies).counts == {"held_out": 500}
    longer = [(name, f"{item} a stone falls .") for name, item in copies]
    assert decontaminate(world, longer).counts == {"held_out": 500}
