"""A permuted corpus keeps every word and every length, and loses what one capability ties."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.evaluation.permuting import permuted
from workers.microworld.decisions import CAPABILITIES, CHANCE, GRAVITY
from workers.microworld.facts import OBJECTS
from workers.microworld.generator import generate_documents
from workers.microworld.world import WorldParams
from workers.records import Document, text_digest


def documents(texts):
    return [Document(str(i), t, text_digest(t), "test", "train", None) for i, t in enumerate(texts)]


def world(seed, count):
    return documents(each.text for each in generate_documents(WorldParams(), seed, count))


@given(
    capability=st.sampled_from(list(CAPABILITIES)),
    seed=st.integers(0, 5),
    count=st.integers(1, 60),
    noise=st.lists(st.text(alphabet="ab .\n", max_size=8), max_size=3),
)
@settings(max_examples=60)
def test_nothing_but_the_deciding_words_moves(capability, seed, count, noise):
    before = world(seed, count) + documents(noise)
    after = list(permuted(lambda: before, capability, seed))
    find = CAPABILITIES[capability]
    moved = Counter(), Counter()
    for one, other in zip(before, after, strict=True):
        assert (one.doc_id, one.split, one.label) == (other.doc_id, other.split, other.label)
        assert other.text_sha256 == text_digest(other.text)
        words = one.text.split(" "), other.text.split(" ")
        places = {each.position: each.choice for each in find(words[0])}
        assert len(words[0]) == len(words[1])
        for at, (a, b) in enumerate(zip(*words, strict=True)):
            if at not in places:
                assert a == b
                continue
            moved[0][places[at], a] += 1
            moved[1][places[at], b] += 1
    assert moved[0] == moved[1]


def test_the_same_seed_permutes_alike_and_another_does_not():
    before = world(0, 200)

    def texts(seed):
        return [each.text for each in permuted(lambda: before, GRAVITY, seed)]

    assert texts(1) == texts(1) != texts(2)


def test_the_seed_fixes_the_permutation_for_good():
    texts = [f"a {name} {answers[0]} ." for name, answers in OBJECTS.items()]
    found = [each.text.split(" ")[2] for each in permuted(lambda: documents(texts), GRAVITY, 0)]
    assert [i for i, word in enumerate(found) if word != "falls"] == [
        1, 5, 7, 15, 17, 22, 24, 31, 35, 38, 39,
    ]  # fmt: skip


@pytest.mark.parametrize(("capability", "tied"), [(GRAVITY, 0.99), (CHANCE, 0.6)])
def test_a_permuted_corpus_does_not_know_what_goes_with_what(capability, tied):
    """By how often the commonest word stands beside its neighbour two words on, or before."""
    before = world(3, 3_000)
    after = list(permuted(lambda: before, capability, 0))
    told, loose = (_tie(capability, each) for each in (before, after))
    if capability == GRAVITY:
        assert told > tied > 0.75 > loose
    else:
        assert told == pytest.approx(loose, abs=0.05) and told < tied


def _tie(capability, texts):
    side = -1 if capability == GRAVITY else 2
    found: dict[tuple[str, str], Counter[str]] = {}
    for each in texts:
        words = each.text.split(" ")
        for decision in CAPABILITIES[capability](words):
            key = decision.choice, words[decision.position + side]
            found.setdefault(key, Counter())[words[decision.position]] += 1
    best = sum(max(counts.values()) for counts in found.values())
    return best / sum(sum(counts.values()) for counts in found.values())
