"""Paired dialogues: drawn by the seed, one side each, all pairs for evaluation."""

import os
import random
from pathlib import Path

import pytest
from corpora_demo import dialogues, refusal, take, texts, write_lines
from hypothesis import given
from hypothesis import strategies as st

from configs.corpora import DialoguesCorpus
from workers.corpora.drawing import draw_rows
from workers.corpora.sources import dialogue_pairs
from workers.corpora.store import iterate


@given(
    st.lists(st.tuples(st.text(), st.text(), st.text()), max_size=12),
    st.integers(0, 3),
    st.none() | st.integers(1, 5),
)
def test_drawing_is_a_shuffle_of_the_rows(rows, seed, limit):
    shuffled = list(rows)
    random.Random(f"dialogues|{seed}").shuffle(shuffled)
    assert list(draw_rows(rows, seed, limit)) == shuffled[:limit]


def test_a_dialogue_that_comes_twice_is_a_duplicate_text(tmp_path):
    rows = dialogues(6)
    path = write_lines(tmp_path / "a.jsonl", [*rows, rows[2]])
    made = take(DialoguesCorpus(path=path), tmp_path / "home")
    assert made.corpus.documents == 6
    assert [each.reason for each in made.quarantined] == ["duplicate text"]


def test_a_dialogue_keeps_its_id_whatever_else_is_in_the_set(tmp_path):
    some = take(
        DialoguesCorpus(path=write_lines(tmp_path / "a.jsonl", dialogues(10))), tmp_path / "home"
    )
    more = take(
        DialoguesCorpus(path=write_lines(tmp_path / "b.jsonl", dialogues(20))), tmp_path / "home"
    )
    ids = {d.doc_id: d.text for d in iterate(some.corpus)}
    assert ids.items() <= {d.doc_id: d.text for d in iterate(more.corpus)}.items()
    assert all(doc_id.endswith(("-chosen", "-rejected")) for doc_id in ids)


def test_a_side_that_is_missing_is_named_even_when_it_is_not_drawn(tmp_path):
    rows = [*dialogues(5), {"chosen": "a", "rejcted": "b"}]
    corpus = DialoguesCorpus(path=write_lines(tmp_path / "a.jsonl", rows), limit=1)
    said = refusal(corpus, tmp_path / "home")
    assert "a.jsonl:6" in said and "Did you mean 'rejcted'?" in said


def test_a_surrogate_in_a_dialogue_sets_it_aside(tmp_path):
    rows = [*dialogues(4), {"chosen": "\ud800", "rejected": "\udfff"}]
    made = take(DialoguesCorpus(path=write_lines(tmp_path / "a.jsonl", rows)), tmp_path / "home")
    assert [each.reason for each in made.quarantined] == ["unpaired surrogate"]


def test_real_dialogues_are_read(tmp_path):
    """From the public set where `PALIMPSEST_DATA` names it, else from a fixture of its shape."""
    if "PALIMPSEST_DATA" in os.environ:
        path = str(Path(os.environ["PALIMPSEST_DATA"]) / "hh-rlhf")
    else:
        path = write_lines(tmp_path / "a.jsonl", dialogues(300))
    corpus = DialoguesCorpus(path=path, limit=120)
    made = take(corpus, tmp_path / "home")
    labels = [d.label for d in iterate(made.corpus)]
    assert len(labels) == 120 and 40 < sum(label or 0 for label in labels) < 80
    sides = {text for pair in dialogue_pairs(corpus) for text in pair}
    assert set(texts(made)) <= sides and len(sides) > 2 * 120


def test_pairs_stream(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", dialogues(3))
    with open(path, "a") as file:
        file.write("not json\n")
    pairs = dialogue_pairs(DialoguesCorpus(path=path))
    assert next(pairs) == ("\n\nHuman: 0\n\nAssistant: yes\n", "no 0")
    pairs.close()  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_seed_alone_draws(tmp_path, seed):
    path = write_lines(tmp_path / "a.jsonl", dialogues(30))
    corpus = DialoguesCorpus(path=path, limit=10)
    first, again = (take(corpus, tmp_path / name, seed=seed) for name in ("one", "two"))
    assert first.corpus.id == again.corpus.id
    assert take(corpus, tmp_path / "one", seed=seed + 2).corpus.id != first.corpus.id
