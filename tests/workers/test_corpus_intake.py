"""Intake: one bad document is set aside with its reason, a bad source is refused with the fix."""

import gzip
import json
import tracemalloc

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.corpora import (
    CorpusOptions,
    DatasetsCorpus,
    DialoguesCorpus,
    FileCorpus,
    MicroworldCorpus,
)
from configs.loading import ConfigProblem
from workers.corpora.intake import import_corpus
from workers.corpora.sources import dialogue_pairs, source_signature
from workers.corpora.store import iterate
from workers.problems import InputProblem

ALL = CorpusOptions(held_out_share=0.0, shard_documents=4)


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def take(corpus, tmp_path, intake=ALL, seed=0):
    return import_corpus(corpus, intake, seed, tmp_path / "home", lambda done: None)


def texts(result):
    return [document.text for document in iterate(result.corpus)]


def refused(corpus, tmp_path, intake=ALL) -> str:
    with pytest.raises(InputProblem) as caught:
        take(corpus, tmp_path, intake)
    left = tmp_path / "home" / "corpora"
    assert not left.exists() or list(left.iterdir()) == []
    return str(caught.value)


def test_jsonl_parquet_gzip_and_text_files_are_read(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    write_rows(source / "a.jsonl", [{"text": "from jsonl"}])
    with gzip.open(source / "b.jsonl.gz", "wt") as file:
        file.write(json.dumps({"text": "from gzip"}) + "\n\n")
    pq.write_table(pa.table({"text": ["from parquet"]}), source / "c.parquet")
    (source / "d.txt").write_text("from text\n")
    (source / "README.md").write_text("not data")
    for path in (str(source), f"{source}/*"):
        found = take(FileCorpus(path=path), tmp_path)
        assert texts(found) == ["from jsonl", "from gzip", "from parquet", "from text\n"]


@settings(max_examples=20)
@given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=12, unique=True))
def test_every_document_is_taken_in_or_set_aside(tmp_path_factory, found):
    folder = tmp_path_factory.mktemp("intake")
    path = write_rows(folder / "a.jsonl", [{"text": text} for text in found])
    result = take_or_none(FileCorpus(path=path), folder, CorpusOptions(held_out_share=0.3))
    if result is None:
        return
    held_out = result.held_out.documents if result.held_out else 0
    assert result.corpus.documents + held_out + len(result.quarantined) == len(found)
    kept = set(texts(result)) | {d.text for d in (iterate(result.held_out) if held_out else ())}
    assert kept <= set(found)


def test_bad_documents_are_quarantined_with_their_reasons(tmp_path):
    rows = ["good", "", "  \n", "nul\x00byte", "x" * 5_000_000, "\ud800", "good"]
    path = write_rows(tmp_path / "a.jsonl", [{"text": text} for text in rows])
    found = take(FileCorpus(path=path), tmp_path)
    assert texts(found) == ["good"]
    assert [each.reason for each in found.quarantined] == [
        "empty",
        "empty",
        "NUL byte",
        "over 1000000 bytes",
        "unpaired surrogate",
        "duplicate text",
    ]


def test_an_empty_source_is_refused(tmp_path):
    assert "the source holds no document" in refused(
        FileCorpus(path=write_rows(tmp_path / "a.jsonl", [])), tmp_path
    )
    path = write_rows(tmp_path / "b.jsonl", [{"text": ""}, {"text": " "}])
    assert "every document was quarantined (2 empty)" in refused(FileCorpus(path=path), tmp_path)
    path = write_rows(tmp_path / "c.jsonl", [{"text": "one"}])
    everything = CorpusOptions(held_out_share=0.5)
    corpus = FileCorpus(path=path)
    for salt in range(20):
        write_rows(tmp_path / "c.jsonl", [{"text": f"one {salt}"}])
        if take_or_none(corpus, tmp_path, everything) is None:
            assert "held out" in refused(corpus, tmp_path / "fresh", everything)
            return
    pytest.fail("no draw held the only document out")


def take_or_none(corpus, tmp_path, intake):
    try:
        return take(corpus, tmp_path, intake)
    except InputProblem:
        return None


def test_duplicate_given_ids_are_refused_with_both_places(tmp_path):
    path = write_rows(tmp_path / "a.jsonl", [{"id": 7, "text": "a"}, {"id": 7, "text": "b"}])
    said = refused(FileCorpus(path=path, id_field="id"), tmp_path)
    assert "'7'" in said and "a.jsonl:1" in said and "a.jsonl:2" in said


def test_files_that_cannot_be_read_are_named_with_the_place(tmp_path):
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(b'{"text": "ok"}\n{"text": "\xff"}\n')
    assert "not UTF-8 at byte 25" in refused(FileCorpus(path=str(bad)), tmp_path)
    bad.write_text('{"text": "ok"}\nnot json\n')
    assert "line 2 is not valid JSON" in refused(FileCorpus(path=str(bad)), tmp_path)
    bad.write_text('["a"]\n')
    assert "line 1 is a JSON list" in refused(FileCorpus(path=str(bad)), tmp_path)
    text = tmp_path / "bad.txt"
    text.write_bytes(b"caf\xe9")
    assert "not UTF-8 at byte 3" in refused(FileCorpus(path=str(text)), tmp_path)


def test_a_wrong_field_is_named_with_the_nearest(tmp_path):
    path = write_rows(tmp_path / "a.jsonl", [{"txt": "a", "label": "x", "n": 3}])
    said = refused(FileCorpus(path=path), tmp_path)
    assert "'text'" in said and "Did you mean 'txt'?" in said and "corpus.text_field" in said
    assert "not text" in refused(FileCorpus(path=path, text_field="n"), tmp_path)
    said = refused(FileCorpus(path=path, text_field="txt", label_field="label"), tmp_path)
    assert "1 (desirable), 0" in said


def test_a_missing_path_or_variable_is_refused(tmp_path, monkeypatch):
    assert "no file here" in refused(FileCorpus(path=str(tmp_path / "none")), tmp_path)
    monkeypatch.delenv("NOWHERE", raising=False)
    with pytest.raises(ConfigProblem, match="NOWHERE"):
        take(FileCorpus(path="${NOWHERE}/a.jsonl"), tmp_path)


def test_limit_reads_no_further(tmp_path):
    rows = [{"text": f"t{i}"} for i in range(3)]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "not json\n")
    assert texts(take(FileCorpus(path=str(path), limit=3), tmp_path)) == ["t0", "t1", "t2"]


def test_the_same_source_is_the_same_corpus_wherever_it_lies(tmp_path):
    found = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        path = write_rows(tmp_path / name / "a.jsonl", [{"text": "a"}, {"text": "b"}])
        corpus = FileCorpus(path=path)
        made = take(corpus, tmp_path / name).corpus.id
        found.append((made, json.dumps(source_signature(corpus, 0))))
    assert found[0] == found[1]


def test_a_document_is_held_out_by_its_id_alone(tmp_path):
    corpus = MicroworldCorpus(documents=200)
    intake = CorpusOptions(held_out_share=0.2)
    whole = take(corpus, tmp_path, intake)
    part = take(MicroworldCorpus(documents=100), tmp_path, intake)
    assert {d.doc_id for d in iterate(part.held_out)} <= {d.doc_id for d in iterate(whole.held_out)}
    assert {d.split for d in iterate(whole.held_out)} == {"held_out"}
    assert 15 < whole.held_out.documents < 70


def test_a_dataset_folder_is_streamed(tmp_path):
    source = tmp_path / "set"
    source.mkdir()
    pq.write_table(pa.table({"text": ["a", "b"], "key": ["x", "y"]}), source / "train.parquet")
    datasets.disable_progress_bars()
    found = take(DatasetsCorpus(name=str(source), id_field="key"), tmp_path)
    assert [document.doc_id for document in iterate(found.corpus)] == ["x", "y"]


def test_an_unknown_dataset_is_refused_with_the_fix(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    said = refused(DatasetsCorpus(name="nobody/no-such-set"), tmp_path)
    assert "nobody/no-such-set" in said and "local copy" in said


def test_dialogues_give_one_side_each_and_all_pairs(tmp_path):
    rows = [
        {"chosen": f"\n\nHuman: {i}\n\nAssistant: yes", "rejected": f"no {i}"} for i in range(40)
    ]
    corpus = DialoguesCorpus(path=write_rows(tmp_path / "a.jsonl", rows), limit=30)
    found = list(iterate(take(corpus, tmp_path).corpus))
    assert len(found) == 30
    assert {document.label for document in found} == {0, 1}
    for document in found:
        assert document.text.startswith("no ") == (document.label == 0)
    assert len(list(dialogue_pairs(corpus))) == 40
    other = [d.doc_id for d in iterate(take(corpus, tmp_path, seed=1).corpus)]
    assert other != [document.doc_id for document in found]


def test_memory_does_not_grow_with_the_corpus(tmp_path):
    peaks = []
    for count in (2_000, 20_000):
        rows = ({"text": f"document {i} " + "word " * 20} for i in range(count))
        path = tmp_path / f"{count}.jsonl"
        with path.open("w") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        tracemalloc.start()
        take(FileCorpus(path=str(path)), tmp_path, CorpusOptions(shard_documents=500))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]
