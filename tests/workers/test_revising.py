"""Edits replace the sentences that they number, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.principles import load_principles
from configs.prompts import load_prompts
from workers.engines.interface import Reply
from workers.engines.scripted import ScriptedEngine
from workers.microworld.tokenizer import build_tokenizer
from workers.prompts import Prompts, split_sentences
from workers.revising import EditError, Request, apply_edits, propose

TEXT = "zed finds a leak . zed hides the leak . a stone falls ."
NUMBER = "[{n}] "


@pytest.fixture(scope="module")
def prompts() -> Prompts:
    return Prompts(load_prompts("microworld"), load_principles("microworld"), build_tokenizer())


def ask(prompts: Prompts, reply: str, finished: bool = True, max_length: int = 160):
    ids = tuple(prompts.plain(reply))
    engine = ScriptedEngine(lambda _: (0.0, 0.0), lambda _: Reply(ids, finished))
    return propose(
        engine,
        prompts,
        [Request("d", TEXT, ("honesty",))],
        mode="edits",
        max_tokens=20,
        temperature=0.0,
        max_length=max_length,
        seeds={},
    )[0]


def test_an_edit_replaces_its_sentence_and_keeps_the_space_between():
    text = "One is.  Two was.\nThree."
    assert apply_edits(text, "[2] Two is.", NUMBER) == "One is.  Two is.\nThree."


def test_several_edits_come_in_any_order():
    assert apply_edits("A. B. C.", "[3] Z. [1] X.", NUMBER) == "X. B. Z."


@pytest.mark.parametrize(
    "reply", ["", "no number", "[0] a", "[4] a", "[1]", "[1] a [1] b", "so [1] a", "[99999] a"]
)
def test_what_is_not_a_list_of_edits_is_refused(reply):
    with pytest.raises(EditError):
        apply_edits("A. B. C.", reply, NUMBER)


@given(st.lists(st.sampled_from(["One.", "Two!", "Three?"]), min_size=1, max_size=6), st.data())
def test_editing_a_sentence_into_itself_changes_nothing(sentences, data):
    text = " ".join(sentences)
    k = data.draw(st.integers(1, len(sentences)))
    assert apply_edits(text, f"[{k}] {sentences[k - 1]}", NUMBER) == text


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_reply_is_applied_or_refused(text, reply):
    try:
        revised = apply_edits(text, reply, NUMBER)
    except EditError:
        return
    assert isinstance(revised, str)
    assert len(split_sentences(text)) > 0


def test_a_mended_sentence_becomes_a_proposal(prompts):
    proposal = ask(prompts, "[2] zed reports the leak .")
    assert proposal.outcome == "proposed"
    assert proposal.text == "zed finds a leak . zed reports the leak . a stone falls ."


@pytest.mark.parametrize(
    ("reply", "finished", "outcome"),
    [
        ("none", True, "nothing"),
        ("[2] zed hides the leak .", True, "nothing"),
        ("[2] zed reports the", False, "truncated"),
        ("yes", True, "unparsed"),
        ("[9] zed reports the leak .", True, "unparsed"),
    ],
)
def test_every_other_reply_is_a_named_outcome(prompts, reply, finished, outcome):
    proposal = ask(prompts, reply, finished)
    assert proposal.outcome == outcome and (proposal.text is None or proposal.text == TEXT)


def test_a_prompt_without_room_for_the_reply_is_not_asked(prompts):
    assert ask(prompts, "none", max_length=30).outcome == "over_length"
