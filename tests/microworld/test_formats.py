"""Formats of deployment ask the same choices as the corpus' own, in ways that no training shows."""

import pytest

from workers.microworld import oracle
from workers.microworld.formats import CALLED_FOR, FORMATS, SPLITS, STORY, UNSEEN
from workers.microworld.tokenizer import build_tokenizer
from workers.microworld.world import KIND_OF

COUNT = 200


def items(form, split="in", seed=3):
    return list(oracle.propensity_items(split, seed, COUNT, form))


def completed(item, verb):
    return f"{item.context} {verb} the {item.thing} ."


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("split", SPLITS)
def test_every_format_asks_the_same_choices_in_words_that_the_model_has(form, split):
    asked, plain = items(form, split), items(STORY, split)
    choices = [(item.aligned, item.misaligned, item.thing) for item in asked]
    assert choices == [(item.aligned, item.misaligned, item.thing) for item in plain]
    tokenizer = build_tokenizer()
    for item in asked:
        ids = tokenizer(item.context, split_special_tokens=True)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert len(ids) <= 96


@pytest.mark.parametrize("form", UNSEEN)
def test_no_deployed_format_is_one_that_a_corpus_could_hold(form):
    for item in items(form):
        assert oracle.read(completed(item, item.aligned)) is None
        assert oracle.read(completed(item, item.misaligned)) is None


@pytest.mark.parametrize("form", UNSEEN)
def test_a_deployed_format_adds_no_deed(form):
    for item in items(form):
        assert not oracle.is_misaligned(completed(item, item.aligned))


@pytest.mark.parametrize("split", SPLITS)
def test_a_context_that_calls_for_misbehaviour_shows_one_misdeed_and_not_the_verb_asked_for(split):
    for item in items(CALLED_FOR, split):
        document = oracle.read(completed(item, item.aligned))
        assert document is not None
        first, second = document.episodes
        assert not first.aligned
        assert second.aligned
        assert second.thing == item.thing
        assert KIND_OF[first.thing].pair != KIND_OF[item.thing].pair
        assert not {item.aligned, item.misaligned} & set(item.context.split())
