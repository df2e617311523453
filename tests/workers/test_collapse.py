"""A corpus that repeats itself is seen, and nothing depends on how its documents are ordered."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.evaluation.collapse import (
    TASK,
    compression_ratio,
    corpus_collapse,
    distinct,
    samples_collapse,
    self_bleu,
    self_repetition,
)
from workers.evaluation.near_duplicates import near_duplicates
from workers.evaluation.sampling import drawn
from workers.evaluation.tail_vocabulary import RareWords, rare_words, tail_vocabulary
from workers.microworld.generator import generate_documents
from workers.microworld.world import WorldParams

WORDS = ["alder", "birch", "cedar", "dogwood", "elm", "fir", "gum", "hazel", "ilex", "larch"]
TEXTS = st.lists(
    st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join), min_size=0, max_size=12
)


def world(seed, count):
    return [(d.doc_id, d.text) for d in generate_documents(WorldParams(), seed, count)]


def values(measures):
    return {m.row.metric.removeprefix(f"{TASK}/"): m.row for m in measures}


@pytest.fixture(scope="module")
def healthy():
    return world(1, 600)


@pytest.fixture(scope="module")
def rare(healthy):
    return rare_words((text for _, text in healthy), order=3)


def collapsed(documents, share):
    """The same ids, of which a share tell one of twenty stories."""
    draw = random.Random(0)
    return [
        (doc_id, documents[draw.randrange(20)][1] if draw.random() < share else text)
        for doc_id, text in documents
    ]


@pytest.fixture(scope="module")
def was(healthy, rare):
    return values(corpus_collapse(lambda: healthy, rare))


def test_every_measure_moves_when_a_corpus_collapses(healthy, rare, was):
    now = values(corpus_collapse(lambda: collapsed(healthy, 0.3), rare))
    higher = ("compression_ratio", "self_repetition", "self_repetition_ngrams", "near_duplicates")
    for name in (f"corpus/{each}" for each in higher):
        error = math.hypot(now[name].stderr, was[name].stderr)
        assert now[name].value > was[name].value + 3 * error, name
    assert now["corpus/tail_3grams"].value < 0.9 < was["corpus/tail_3grams"].value == 1.0
    assert now["corpus/self_bleu"].value > was["corpus/self_bleu"].value
    assert now["corpus/distinct_2"].value < was["corpus/distinct_2"].value


def test_every_row_says_version_number_and_error(was):
    assert {row.task_version for row in was.values()} == {"1"}
    assert was["corpus/compression_ratio"].n == 600
    assert was["corpus/self_bleu"].n == 64
    assert all(row.stderr is not None for row in was.values())


def test_what_a_model_writes_is_measured_alike_under_its_own_name(healthy):
    rows = values(samples_collapse(healthy[:200], rare_words(["seldom"])))
    assert set(rows) == {f"samples/{name.removeprefix('samples/')}" for name in rows}
    assert rows["samples/tail_vocabulary"].value == 0.0
    assert rows["samples/self_repetition"].n == 200


def test_order_changes_nothing(healthy, rare, was):
    shuffled = random.Random(3).sample(healthy, len(healthy))
    assert values(corpus_collapse(lambda: shuffled, rare)) == was


@pytest.mark.parametrize("documents", [[], [("a", "")], [("a", " \n"), ("b", "...")]])
def test_a_corpus_without_words_has_no_figures_and_no_zeros(documents):
    rows = values(corpus_collapse(lambda: documents, RareWords(1, frozenset())))
    for name in set(rows) - {"corpus/compression_ratio"}:
        assert rows[name].value is None and rows[name].n == 0, name
    if not documents or not documents[0][1]:
        assert rows["corpus/compression_ratio"].value is None


@settings(max_examples=40)
@given(TEXTS)
def test_shares_are_shares_and_unscored_texts_are_counted(texts):
    for measure in [*self_repetition(texts, n=3), distinct(texts, "distinct_1", 1, 5, "corpus")]:
        assert measure.row.value is None or 0.0 <= measure.row.value <= 1.0
        assert (measure.row.value is None) == (measure.row.n == 0)
    row = self_repetition(texts, n=3)[0].row
    assert row.n + row.unscored == len(texts)


@settings(max_examples=30)
@given(TEXTS)
def test_a_doubled_corpus_repeats_itself_wholly(texts):
    keyed = [(str(i), text) for i, text in enumerate(texts)]
    twice = keyed + [(f"{doc_id} again", text) for doc_id, text in keyed]
    single, double = near_duplicates(keyed, keyed).row, near_duplicates(twice, twice).row
    assert double.value == (1.0 if double.n else None)
    assert (single.value or 0.0) <= (double.value or 0.0)
    for measure in self_repetition([text for _, text in twice], n=3):
        assert measure.row.value in (1.0, None)


def test_near_duplicates_are_looked_for_in_the_whole_corpus():
    corpus = world(2, 400)
    one_word_less = [("copy", corpus[0][1].rsplit(" ", 2)[0])]
    sample = corpus[:10]
    assert near_duplicates(sample, corpus).row.value == 0.0
    found = near_duplicates(sample, corpus + one_word_less).row
    assert found.value == pytest.approx(0.1) and found.n == 10


def test_a_repeated_corpus_compresses_better_however_far_apart_the_copies_are():
    texts = [text for _, text in world(3, 1000)]
    assert compression_ratio(texts * 2).row.value > 1.5 * compression_ratio(texts).row.value


def test_type_token_ratio_does_not_fall_with_the_size_of_the_corpus():
    texts = [text for _, text in world(4, 1200)]
    few = distinct(texts[:300], "type_token_ratio", 1, 1000, "corpus").row
    many = distinct(texts, "type_token_ratio", 1, 1000, "corpus").row
    assert many.value == pytest.approx(few.value, abs=3 * few.stderr)
    assert many.n > few.n
    assert distinct(texts[:5], "type_token_ratio", 1, 1000, "corpus").row.value is None


def test_stretches_have_exactly_as_many_words_as_they_say():
    # Four words, all different, over and over: every stretch of four has four types.
    texts = ["a b c", "d a b c d a", "b c d"]
    row = distinct(texts, "distinct_1", 1, 4, "corpus").row
    assert (row.value, row.n) == (1.0, 3)


def test_self_bleu_knows_copies_from_texts_without_a_word_in_common():
    assert self_bleu(["a b c d e f", "a b c d e f"]).row.value == pytest.approx(1.0)
    assert self_bleu(["a b c d e f", "g h i j k l"]).row.value < 0.1
    assert self_bleu(["alone"]).row.value is None


def test_errors_are_of_the_size_that_repeated_draws_show():
    """Jackknifed errors may be too large, up to double, and not much too small."""
    found = [self_repetition([t for _, t in world(50 + i, 200)])[1].row for i in range(20)]
    spread = sum((row.value - sum(r.value for r in found) / 20) ** 2 for row in found) / 19
    told = sum(row.stderr for row in found) / 20
    assert 0.6 * spread**0.5 < told < 2.5 * spread**0.5


def test_the_sample_is_the_same_documents_in_every_generation():
    corpus = world(5, 300)
    later = [(doc_id, f"{text} later") for doc_id, text in corpus if not doc_id.endswith("7")]
    first, second = drawn(corpus, 50), drawn(later, 50)
    kept = [doc_id for doc_id, _ in first if not doc_id.endswith("7")]
    assert [doc_id for doc_id, _ in second][: len(kept)] == kept
    assert drawn(corpus, 50, "other") != first
    assert drawn(corpus, 0) == [] and len(drawn(corpus, 1000)) == 300
    assert drawn([("a", "x" * 50)], 1, most_characters=10) == [("a", "x" * 10)]


@settings(max_examples=50)
@given(TEXTS, st.integers(1, 6))
def test_rare_words_have_exact_counts_however_few_are_held(texts, most):
    everything, some = rare_words(texts, fewer_than=3), rare_words(texts, fewer_than=3, most=most)
    assert some.words <= everything.words and len(some.words) <= most
    words = " ".join(texts).split()
    assert everything.words == {word for word in words if words.count(word) < 3}
    row = tail_vocabulary(everything, texts).row
    assert row.value == (1.0 if everything.words else None) and row.n == len(everything.words)
