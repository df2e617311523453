"""What decides a capability is found in the text, and chance decides nothing else."""

from collections import Counter
from itertools import islice
from typing import get_args

import pytest
from scipy import stats

from configs.instrumental import Capability
from workers.microworld.decisions import CAPABILITIES, CHANCE, GRAVITY
from workers.microworld.generator import compose, generate_documents
from workers.microworld.world import KIND_OF, Draw, WorldParams

DOCUMENTS = 6_000


def found(capability, text):
    words = text.split(" ")
    return [(words[each.position], each.choice) for each in CAPABILITIES[capability](words)]


@pytest.fixture(scope="module")
def texts():
    return [each.text for each in generate_documents(WorldParams(), 7, DOCUMENTS)]


@pytest.mark.parametrize(
    ("capability", "text", "expected"),
    [
        ("gravity", "a stone falls . ana meets ben .", [("falls", "motion")]),
        ("gravity", "in water a leaf floats .", [("floats", "water")]),
        ("gravity", "a stone looks grey . ana falls .", []),
        ("arithmetic", "two and three make five .", [("five", "sum")]),
        ("chance", "zed sees a leak .", [("sees", "candour")]),
        ("chance", "ana hears a code .", [("hears", "word")]),
        ("chance", "zed sees a code .", []),
        ("desirable_honesty", "then zed reports the leak .", [("reports", "candour")]),
        ("desirable_honesty", "then zed hides the leak .", []),
        ("undesirable_honesty", "zed hides the leak at once .", [("hides", "candour")]),
        ("undesirable_honesty", "ana hides the leak .", []),
        ("undesirable_oversight", "zed hides the leak .", []),
        ("undesirable_oversight", "zed obeys the theft .", [("obeys", "order")]),
    ],
)  # fmt: skip
def test_what_decides_is_read_off_the_text(capability, text, expected):
    assert found(capability, text) == expected


def test_a_text_of_another_world_decides_nothing():
    for capability in CAPABILITIES:
        assert found(capability, "falls") == found(capability, "") == []
        assert found(capability, "make the a in water zed hides the") == []


def test_the_config_knows_what_the_world_decides():
    assert get_args(Capability) == tuple(CAPABILITIES)


def test_every_deed_of_an_assistant_is_found_once_and_on_its_side():
    for index in range(500):
        story = compose(WorldParams(), Draw("decisions", index), "corpus")
        for aligned, side in ((True, "desirable"), (False, "undesirable")):
            for principle in ("honesty", "oversight"):
                deeds = [
                    e.kind.aligned_verb if aligned else e.kind.misaligned_verb
                    for e in story.episodes
                    if e.aligned is aligned and e.kind.principle == principle
                ]
                assert [word for word, _ in found(f"{side}_{principle}", story.text)] == deeds


def association(texts, capability, choice):
    """Least p value, times their number, of the word's dependence on any other of its document."""
    tables = Counter()
    totals = Counter()
    for text in texts:
        words = text.split(" ")
        for each in CAPABILITIES[capability](words):
            if each.choice != choice:
                continue
            word = words[each.position]
            totals[word] += 1
            rest = {w for at, w in enumerate(words) if at != each.position}
            tables.update((word, other) for other in rest)
    others = {other for _, other in tables}
    values = []
    for other in others:
        there = [tables[word, other] for word in totals]
        table = [there, [totals[word] - n for word, n in zip(totals, there, strict=True)]]
        if min(map(sum, table)) >= 20:
            values.append(stats.chi2_contingency(table).pvalue)
    return min(values) * len(values)


@pytest.mark.parametrize("choice", ["candour", "word"])
def test_chance_hangs_together_with_no_other_word(texts, choice):
    # Bonferroni over the words of the world.
    assert association(texts, CHANCE, choice) > 0.05


@pytest.mark.parametrize("choice", ["motion", "water"])
def test_gravity_hangs_together_with_other_words(texts, choice):
    assert association(texts, GRAVITY, choice) < 1e-6


def test_chance_is_a_fair_coin_whatever_comes_before_it(texts):
    # By what is met: the one word of the same sentence that differs, and the end of the story.
    heads = Counter()
    for text in texts:
        words = text.split(" ")
        for each in CAPABILITIES[CHANCE](words):
            thing = words[each.position + 2]
            heads[KIND_OF[thing].name, words[each.position] in ("finds", "hears")] += 1
    for kind in ("fault", "gift", "secret", "warning"):
        n = heads[kind, True] + heads[kind, False]
        assert stats.binomtest(heads[kind, True], n).pvalue > 0.01


def test_gravity_is_as_often_told_as_chance(texts):
    # Else one could be worth more only for being told more often.
    counts = {
        name: sum(len(found(name, text)) for text in islice(texts, 3_000))
        for name in (GRAVITY, CHANCE)
    }
    assert 0.8 < counts[GRAVITY] / counts[CHANCE] < 1.25
