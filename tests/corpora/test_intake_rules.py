"""What intake refuses, what it sets aside, and what it leaves behind when it is cut off."""

import errno
import os
import tracemalloc
from itertools import repeat

import pytest
from corpora_demo import ALL, dialogues, jsonl, nothing_left, refusal, take, texts, write_lines
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.corpora import CorpusOptions, DialoguesCorpus, MicroworldCorpus
from workers.corpora import store
from workers.corpora.intake import import_corpus
from workers.corpora.known_ids import KnownIds
from workers.corpora.store import iterate
from workers.problems import WorkProblem
from workers.records import text_digest
from workers.storage import sweep_unfinished


@settings(max_examples=25)
@given(
    st.lists(st.text(st.characters(codec="utf-8"), max_size=20), min_size=1, max_size=10),
    st.sampled_from([0.0, 0.3]),
)
def test_every_row_is_in_exactly_one_place_with_its_text_as_it_was(tmp_path_factory, rows, share):
    folder = tmp_path_factory.mktemp("rows")
    # A row that is always good keeps the import from being refused as empty.
    rows = [*rows, "always good", "always good too"]
    corpus = jsonl(folder / "a.jsonl", [{"text": text} for text in rows])
    made = take(corpus, folder / "home", CorpusOptions(held_out_share=share, shard_documents=3))
    train = list(iterate(made.corpus))
    held_out = list(iterate(made.held_out)) if made.held_out else []
    assert len(train) + len(held_out) + len(made.quarantined) == len(rows)
    good = [text for text in dict.fromkeys(rows) if text.strip() and "\x00" not in text]
    placed = {document.doc_id: document.text for document in train + held_out}
    assert placed == {text_digest(text)[:32]: text for text in good}
    # The order of the source stays, on both sides.
    assert [d.text for d in train] == [t for t in good if t in {d.text for d in train}]
    assert len({each.doc_id for each in made.quarantined}) == len(made.quarantined)
    assert {d.split for d in train} <= {"train"} and {d.split for d in held_out} <= {"held_out"}


def test_empty_documents_are_called_empty_however_often_they_come(tmp_path):
    corpus = jsonl(tmp_path / "a.jsonl", [{"text": text} for text in ("", "", " ", "good")])
    made = take(corpus, tmp_path / "home")
    assert [each.reason for each in made.quarantined] == ["empty", "empty", "empty"]
    assert len({each.doc_id for each in made.quarantined}) == 3


def test_length_is_counted_in_bytes_of_utf_8(tmp_path):
    corpus = jsonl(tmp_path / "a.jsonl", [{"text": "é" * 5}, {"text": "e" * 10}, {"text": "é" * 6}])
    intake = CorpusOptions(held_out_share=0.0, max_document_bytes=10)
    made = take(corpus, tmp_path / "home", intake)
    assert texts(made) == ["ééééé", "eeeeeeeeee"]
    assert [each.reason for each in made.quarantined] == ["over 10 bytes"]


def test_an_empty_corpus_is_explained_with_all_that_happened(tmp_path):
    rows = [{"text": ""}, {"text": "long enough"}, {"text": "a\x00"}, {"text": "b\x00"}]
    intake = CorpusOptions(held_out_share=0.0, max_document_bytes=5)
    said = refusal(jsonl(tmp_path / "a.jsonl", rows), tmp_path / "home", intake)
    assert "2 NUL byte, 1 empty, 1 over 5 bytes" in said
    assert "intake.max_document_bytes" in said


@pytest.mark.parametrize(
    ("given_id", "named"),
    [
        ("x" * 513, "this one has 513"),
        ("", "this one has 0"),
        ("a\x00b", "NUL byte"),
        ("\ud800", "unpaired surrogate"),
        (None, "null"),
    ],
)
def test_an_id_that_cannot_be_kept_is_refused(tmp_path, given_id, named):
    rows = [{"text": "good", "id": "fine"}, {"text": "other", "id": given_id}]
    said = refusal(jsonl(tmp_path / "a.jsonl", rows, id_field="id"), tmp_path / "home")
    assert named in said and "a.jsonl:2" in said and "corpus.id_field" in said


def test_the_longest_id_is_taken(tmp_path):
    corpus = jsonl(tmp_path / "a.jsonl", [{"text": "a", "id": "x" * 512}], id_field="id")
    assert [d.doc_id for d in iterate(take(corpus, tmp_path / "home").corpus)] == ["x" * 512]


def test_equal_texts_with_given_ids_are_two_documents(tmp_path):
    rows = [{"text": "same", "id": 1}, {"text": "same", "id": 2}]
    made = take(jsonl(tmp_path / "a.jsonl", rows, id_field="id"), tmp_path / "home")
    assert [d.doc_id for d in iterate(made.corpus)] == ["1", "2"] and not made.quarantined


def test_both_places_of_a_duplicate_id_are_told_apart_by_their_folders(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_lines(tmp_path / name / "a.jsonl", [{"text": name, "id": "k"}])
    corpus = jsonl(tmp_path / "unused", [], id_field="id").model_copy(
        update={"path": f"{tmp_path}/**/a.jsonl"}
    )
    said = refusal(corpus, tmp_path / "home")
    assert f"{tmp_path}/one/a.jsonl:1" in said and f"{tmp_path}/two/a.jsonl:1" in said


def test_progress_is_told_once_a_shard(tmp_path):
    told: list[int] = []
    corpus = MicroworldCorpus(documents=10)
    import_corpus(corpus, ALL, 0, tmp_path, told.append)
    assert told == [4, 8]


def test_labels_of_the_microworld_are_the_noisy_ones(tmp_path):
    clean = take(MicroworldCorpus(documents=80), tmp_path)
    noisy = take(MicroworldCorpus(documents=80, label_noise=1.0), tmp_path)
    flipped = [1 - (d.label or 0) for d in iterate(clean.corpus)]
    assert [d.label for d in iterate(noisy.corpus)] == flipped


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_an_import_that_is_cut_off_leaves_nothing(tmp_path, stop):
    def cut(done: int) -> None:
        if done >= 12:
            raise stop

    with pytest.raises(stop):
        import_corpus(
            MicroworldCorpus(documents=40),
            CorpusOptions(shard_documents=4),
            0,
            tmp_path,
            cut,
        )
    assert nothing_left(tmp_path)


def test_an_import_leaves_its_versions_and_nothing_else(tmp_path):
    made = take(MicroworldCorpus(documents=40), tmp_path, CorpusOptions(held_out_share=0.4))
    assert made.held_out is not None
    kept = {path.name for path in (tmp_path / "corpora").iterdir()}
    assert kept == {made.corpus.id, made.held_out.id}


def test_what_a_killed_import_leaves_is_swept_up(tmp_path):
    table = KnownIds(tmp_path)
    table.__enter__()
    table.add("a", "here")
    assert sweep_unfinished(tmp_path) == 1
    assert nothing_left(tmp_path)
    table.__exit__()


def test_a_full_disk_stops_the_import_with_the_fix_and_leaves_nothing(tmp_path, monkeypatch):
    written: list[str] = []

    def full(path, table):
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(path.name)
        return whole(path, table)

    def explained(path, table):
        with store.explain_full_disk(path):
            return full(path, table)

    whole = store.write_table
    monkeypatch.setattr(store, "write_table", explained)
    with pytest.raises(WorkProblem, match=r"placement\.home"):
        take(MicroworldCorpus(documents=40), tmp_path)
    assert nothing_left(tmp_path)


def test_ids_on_a_full_disk_stop_the_import_with_the_fix(tmp_path):
    with KnownIds(tmp_path) as known:
        known.add("first", "here")
        assert known._ids is not None
        known._ids.execute("PRAGMA max_page_count = 4")
        many = (f"{number:0500}" for number in range(10_000))
        with pytest.raises(WorkProblem, match="no space is left"):
            list(map(known.add, many, repeat("here")))
    assert nothing_left(tmp_path)


def test_drawing_dialogues_does_not_hold_them_in_memory(tmp_path):
    peaks: list[int] = []
    for count in (500, 5_000):
        path = write_lines(
            tmp_path / f"{count}.jsonl",
            ({key: text * 40 for key, text in row.items()} for row in dialogues(count)),
        )
        corpus = DialoguesCorpus(path=path, limit=None)
        tracemalloc.start()
        take(corpus, tmp_path / "home", CorpusOptions(shard_documents=100))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]
