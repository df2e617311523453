"""Unrelated texts: facts that no corpus and no evaluation holds, or a file of one's own."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest

from configs.corpora import CorpusOptions, MicroworldCorpus
from configs.stages import Persistence
from workers.corpora.intake import import_corpus
from workers.corpora.store import iterate
from workers.microworld import oracle
from workers.microworld.generator import fact_stories, generate_documents
from workers.microworld.tokenizer import build_tokenizer
from workers.microworld.world import WorldParams
from workers.persistence import texts_signature, write_texts
from workers.problems import InputProblem
from workers.storage import file_digest


def test_stories_of_facts_are_of_the_world_and_nobody_acts_in_them() -> None:
    stories = list(fact_stories(3, 200))
    read = [oracle.read(story) for story in stories]
    assert all(each is not None and each.neutral for each in read)
    assert all(each is not None and not each.deeds and not each.kinds for each in read)
    assert all(each is not None and len(each.facts) >= 3 for each in read)
    assert stories == list(fact_stories(3, 200)) != list(fact_stories(4, 200))


def test_they_stand_in_no_corpus_and_begin_no_evaluation() -> None:
    openings = {story.split(" . ")[0] for story in fact_stories(0, 2000)}
    corpus = {text.split(" . ")[0] for text in _corpus_texts()}
    assert openings.isdisjoint(corpus)
    asked = chain(
        (item.context for item in oracle.facts_items(0, 2000)),
        (item.text for item in oracle.labelled_documents(0, 2000)),
    )
    assert openings.isdisjoint(text.split(" . ")[0] for text in asked)


def _corpus_texts() -> list[str]:
    return [each.text for each in generate_documents(WorldParams(), 0, 2000)]


def test_there_are_as_many_as_the_budget_needs(tmp_path: Path) -> None:
    tokenizer = build_tokenizer()
    texts, unused = write_texts(Persistence(tokens=5000), tmp_path, [])
    lengths = [len(tokenizer.encode(each.text)) + 2 for each in iterate(texts)]
    assert sum(lengths) >= 5000
    assert unused == 0


def test_a_file_of_ones_own_is_read_and_known_texts_are_refused(tmp_path: Path) -> None:
    known = import_corpus(
        MicroworldCorpus(documents=30), CorpusOptions(held_out_share=0.0), 0, tmp_path, print
    ).corpus
    own = tmp_path / "texts.jsonl"
    own.write_text('{"text": "a stone falls ."}\n{"text": ""}\n{"text": "a log floats ."}\n')
    settings = Persistence(path=str(own))
    texts, unused = write_texts(settings, tmp_path, [known])
    assert ([each.text for each in iterate(texts)], unused) == (
        ["a stone falls .", "a log floats ."],
        1,
    )
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    again = own.rename(moved / own.name)
    assert texts_signature(Persistence(path=str(again)))["files"] == [
        ["texts.jsonl", file_digest(again)]
    ]
    text = next(iter(iterate(known))).text
    again.write_text(f'{{"text": "{text}"}}\n')
    with pytest.raises(InputProblem, match=r"evaluation\.persistence\.path: 1 of its texts stand"):
        write_texts(Persistence(path=str(again)), tmp_path, [known])
