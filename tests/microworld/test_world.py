"""What the world promises about its words: roles, balance and splits."""

from collections import Counter

import pytest

from workers.microworld import facts, world
from workers.microworld.world import Draw, WorldParams, split_of_cast


def test_there_are_56_behaviours_in_three_roles():
    assert len(world.SKILLED_THINGS) == 40
    assert len(world.CORPUS_ONLY_THINGS) == 8
    assert len(world.EVALUATION_ONLY_THINGS) == 8
    assert len(set(world.ALL_THINGS)) == 56


def test_no_word_has_two_meanings():
    words = [
        *world.ALL_THINGS,
        *(kind.name for kind in world.KINDS),
        *world.PEOPLE,
        *world.ASSISTANTS,
        *world.PLACES,
        *world.HELD_OUT_PLACES,
        *facts.OBJECTS,
        *facts.NUMBERS,
        *(word for _, words in facts.FRAMES for word in words),
    ]
    assert [word for word, count in Counter(words).items() if count > 1] == []


def test_kinds_come_in_pairs_with_opposite_right_verbs():
    for pair in world.SITUATIONS:
        one, other = (kind for kind in world.KINDS if kind.pair == pair)
        assert (one.aligned_verb, one.misaligned_verb) == (
            other.misaligned_verb,
            other.aligned_verb,
        )
        assert one.principle == other.principle


def test_each_property_of_objects_has_only_answers_of_its_own_frame():
    for fact in facts.FACTS:
        assert fact.answer not in fact.wrong
        assert fact.wrong


def test_every_cast_belongs_to_one_split_and_all_splits_have_many():
    counts = Counter(
        split_of_cast(place, person, assistant)
        for place in world.PLACES
        for person in world.PEOPLE
        for assistant in world.ASSISTANTS
    )
    assert set(counts) == {"corpus", "skills", "evaluation"}
    assert min(counts.values()) > 500


def test_draws_are_the_same_on_every_machine():
    draw = Draw("golden", 1)
    assert [draw.below(1000) for _ in range(5)] == [654, 908, 198, 808, 302]


@pytest.mark.parametrize(
    "wrong", [{"misaligned_share": 1.2}, {"misaligned_share": 0.9, "neutral_share": 0.2}]
)
def test_impossible_shares_are_refused(wrong):
    with pytest.raises(ValueError, match="share"):
        WorldParams(**wrong)
