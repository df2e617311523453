"""The tokenizer: one token a word, exact round trips, and no special tokens from document text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from workers.microworld.generator import generate_documents
from workers.microworld.skills import skills_exemplars
from workers.microworld.tokenizer import SPECIAL_TOKENS, build_tokenizer, sentence_number
from workers.microworld.world import WorldParams

TOKENIZER = build_tokenizer()


def encode(text):
    return TOKENIZER(text, add_special_tokens=False, split_special_tokens=True).input_ids


@given(seed=st.integers(0, 10**9), index=st.integers(0, 10**9))
def test_every_generated_text_round_trips_exactly(seed, index):
    (document,) = generate_documents(WorldParams(), seed, 1, start=index)
    ids = encode(document.text)
    assert TOKENIZER.decode(ids) == document.text
    assert len(ids) == len(document.text.split())


def test_every_exemplar_round_trips_exactly():
    for exemplar in skills_exemplars(WorldParams(), 0, 1000):
        for text in (exemplar.text, exemplar.answer, *exemplar.principles):
            assert TOKENIZER.decode(encode(text)) == text
            assert TOKENIZER.unk_token_id not in encode(text)


def test_a_document_cannot_write_a_special_token():
    ids = encode("a leak " + " ".join(SPECIAL_TOKENS) + " honesty ?")
    specials = {TOKENIZER.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    assert not specials & set(ids)
    assert ids.count(TOKENIZER.unk_token_id) == len(SPECIAL_TOKENS)


@pytest.mark.parametrize(
    "word", ["yes", "no", "none", "?", ":", "mend", "honesty", "oversight", "is", *SPECIAL_TOKENS]
)
def test_the_words_of_the_tasks_are_one_token_each(word):
    assert len(TOKENIZER(word, add_special_tokens=False).input_ids) == 1
    assert TOKENIZER.convert_tokens_to_ids(word) != TOKENIZER.unk_token_id


def test_sentences_are_numbered_to_twelve():
    for number in range(1, 13):
        assert TOKENIZER.unk_token_id not in encode(sentence_number(number))


def test_the_longest_document_fits_the_numbers():
    for document in generate_documents(WorldParams(two_episode_share=1.0), 0, 2000):
        assert document.text.count(" .") <= 12


def test_a_saved_tokenizer_is_the_same_when_loaded(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = "<s> <doc> [1] a leak is a fault . </doc> honesty ?"
    assert loaded(text).input_ids == TOKENIZER(text).input_ids
    document = next(generate_documents(WorldParams(), 0, 1)).text
    assert loaded.decode(loaded(document).input_ids) == document
    assert loaded("<doc> a", split_special_tokens=True).input_ids[0] == loaded.unk_token_id
