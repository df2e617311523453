"""Corpus versions are immutable, named by their content, and whole or absent."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.corpora.store import CorpusWriter, iterate, open_corpus, verify_corpus
from workers.problems import InputProblem
from workers.records import Document, text_digest


def document(index: int, text: str = "text") -> Document:
    body = f"{text} {index}"
    return Document(f"d{index}", body, text_digest(body), "test", "train", index % 2)


def write(home, documents, size=3):
    with CorpusWriter(home, size) as writer:
        for each in documents:
            writer.add(each)
        return writer.finish()


def test_documents_come_back_in_order_shard_by_shard(tmp_path):
    documents = [document(i) for i in range(7)]
    made = write(tmp_path, documents)
    assert [shard.documents for shard in made.shards] == [3, 3, 1]
    assert list(iterate(open_corpus(made.uri))) == documents


@settings(max_examples=15)
@given(st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=8))
def test_any_text_comes_back_as_it_was(tmp_path_factory, texts):
    documents = [
        Document(f"d{i}", text, text_digest(text), "", "train", None)
        for i, text in enumerate(texts)
    ]
    made = write(tmp_path_factory.mktemp("home"), documents)
    assert list(iterate(made)) == documents


def test_equal_documents_are_one_version_wherever_they_are_written(tmp_path):
    documents = [document(i) for i in range(5)]
    ids = {write(tmp_path / name, documents).id for name in ("one", "other")}
    assert len(ids) == 1
    assert write(tmp_path / "one", documents).id in ids


def test_another_text_or_order_is_another_version(tmp_path):
    documents = [document(i) for i in range(5)]
    ids = {write(tmp_path, documents).id, write(tmp_path, documents[::-1]).id}
    ids.add(write(tmp_path, [document(i, "word") for i in range(5)]).id)
    assert len(ids) == 3


def test_an_interrupted_write_leaves_nothing(tmp_path):
    def broken():
        yield from (document(i) for i in range(5))
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        write(tmp_path, broken())
    assert list((tmp_path / "corpora").iterdir()) == []


def test_an_empty_corpus_is_refused(tmp_path):
    with pytest.raises(InputProblem, match="empty"), CorpusWriter(tmp_path, 2) as writer:
        writer.finish()


def test_a_missing_or_altered_shard_is_named(tmp_path):
    made = write(tmp_path, [document(i) for i in range(5)])
    verify_corpus(made)
    path = made.shard_path(1)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputProblem, match=r"shard-00001.*altered"):
        verify_corpus(made)
    path.unlink()
    with pytest.raises(InputProblem, match="missing"):
        verify_corpus(made)


def test_a_folder_without_a_manifest_is_no_corpus(tmp_path):
    with pytest.raises(InputProblem, match="no corpus version"):
        open_corpus(tmp_path)
