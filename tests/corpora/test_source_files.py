"""Files of a source: which ones are read, and what a file that cannot be read is told."""

import gzip
import json
import os
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpora_demo import jsonl, refusal, take, texts, write_lines
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.corpora import FileCorpus
from workers.corpora.row_files import read_rows
from workers.corpora.sources import source_signature
from workers.corpora.store import iterate

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=40)
@given(st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=3), max_size=6))
def test_jsonl_rows_come_back_as_they_were_written(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("rows")
    write_lines(folder / "a.jsonl", rows)
    raw = "".join(json.dumps(row, ensure_ascii=False) + "\r\n" for row in rows)
    packed = folder / "b.jsonl.gz"
    # A lone surrogate has no UTF-8; as an escape in JSON it can stand in a file all the same.
    if not any("\ud800" <= letter <= "\udfff" for letter in raw):
        packed.write_bytes(gzip.compress(raw.encode("utf-8")))
        assert [row for _, row in read_rows(packed)] == rows
    assert [row for _, row in read_rows(folder / "a.jsonl")] == rows


def test_text_is_kept_exactly_line_ends_and_all(tmp_path):
    odd = "one\r\ntwo\u2028three\x0c four\n\n  "
    (tmp_path / "a.txt").write_bytes(odd.encode())
    jsonl(tmp_path / "b.jsonl", [{"text": odd + "!"}])
    assert texts(take(FileCorpus(path=f"{tmp_path}/*.*"), tmp_path / "home")) == [odd, odd + "!"]


def test_two_stars_reach_every_folder_and_a_variable_is_filled_in(tmp_path, monkeypatch):
    for name in ("b", "a/deep"):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "x.txt").write_text(name)
    (tmp_path / "in" / "not.log").write_text("not matched")
    monkeypatch.setenv("TEXTS", str(tmp_path / "in"))
    made = take(FileCorpus(path="${TEXTS}/**/*.txt"), tmp_path / "home")
    assert texts(made) == ["a/deep", "b"]


def test_hidden_folders_are_no_data_but_a_named_file_is(tmp_path):
    (tmp_path / "in" / ".cache").mkdir(parents=True)
    (tmp_path / "in" / ".cache" / "x.txt").write_text("hidden")
    (tmp_path / "in" / "README.txt").write_text("about")
    (tmp_path / "in" / "a.txt").write_text("data")
    assert texts(take(FileCorpus(path=f"{tmp_path}/in"), tmp_path / "home")) == ["data"]
    named = FileCorpus(path=f"{tmp_path}/in/README.txt")
    assert texts(take(named, tmp_path / "home")) == ["about"]


def test_a_broken_parquet_file_is_named(tmp_path):
    bad = tmp_path / "bad.parquet"
    bad.write_bytes(b"PAR1 this is no Parquet file PAR1")
    assert "bad.parquet: cannot be read" in refusal(FileCorpus(path=str(bad)), tmp_path / "home")


def test_a_parquet_column_that_is_not_utf_8_is_refused(tmp_path):
    bad = pa.Array.from_buffers(pa.string(), 1, pa.array([b"caf\xe9"]).buffers())
    pq.write_table(pa.table({"text": bad}), tmp_path / "bad.parquet")
    said = refusal(FileCorpus(path=str(tmp_path / "bad.parquet")), tmp_path / "home")
    assert "bad.parquet: cannot be read" in said and "utf-8" in said
    assert "caf" not in said


def test_a_null_text_is_refused_with_its_row(tmp_path):
    pq.write_table(pa.table({"text": ["a", None]}), tmp_path / "a.parquet")
    said = refusal(FileCorpus(path=str(tmp_path / "a.parquet")), tmp_path / "home")
    assert "a.parquet row 1" in said and "not text" in said


@pytest.mark.parametrize("keep", [10, -4])
def test_a_gzip_file_that_is_cut_off_or_no_gzip_is_named(tmp_path, keep):
    whole = gzip.compress(json.dumps({"text": "word " * 100}).encode() + b"\n")
    (tmp_path / "a.jsonl.gz").write_bytes(whole[:keep])
    said = refusal(FileCorpus(path=str(tmp_path / "a.jsonl.gz")), tmp_path / "home")
    assert "a.jsonl.gz: cannot be read" in said
    (tmp_path / "a.jsonl.gz").write_bytes(b"not packed")
    said = refusal(FileCorpus(path=str(tmp_path / "a.jsonl.gz")), tmp_path / "home")
    assert "a.jsonl.gz: cannot be read" in said


def test_the_byte_offset_in_a_packed_file_counts_the_unpacked_bytes(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "a"}\n{"text": "\xff"}\n'))
    said = refusal(FileCorpus(path=str(tmp_path / "a.jsonl.gz")), tmp_path / "home")
    assert "not UTF-8 at byte 24 (0xff)" in said


def test_json_that_is_nested_too_deep_is_no_crash(tmp_path):
    (tmp_path / "a.jsonl").write_text("[" * (sys.getrecursionlimit() * 100) + "\n")
    said = refusal(FileCorpus(path=str(tmp_path / "a.jsonl")), tmp_path / "home")
    assert "line 1 is not valid JSON" in said


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a.txt").symlink_to("/proc/self/mem")
    corpus = FileCorpus(path=str(tmp_path / "a.txt"))
    assert "a.txt: cannot be read" in refusal(corpus, tmp_path / "home")


def test_a_file_name_that_is_not_utf_8_is_taken(tmp_path):
    (tmp_path / "in").mkdir()
    name = os.fsencode(tmp_path / "in") + b"/caf\xe9.jsonl"
    with open(name, "w") as file:
        file.write('{"text": "a"}\n{"text": "b"}\n')
    corpus = FileCorpus(path=str(tmp_path / "in"))
    found = list(iterate(take(corpus, tmp_path / "home").corpus))
    assert [d.source for d in found] == ["caf\ufffd.jsonl"] * 2
    json.dumps(source_signature(corpus, 0)).encode("utf-8")


def test_a_row_without_any_field_is_refused_in_words(tmp_path):
    said = refusal(jsonl(tmp_path / "a.jsonl", [{}]), tmp_path / "home")
    assert "no field at all" in said
