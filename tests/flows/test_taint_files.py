"""Take-downs: what the files of imported corpora say that the record has no row of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete
from test_lineage_commands import DOCUMENTS, make_home, write_corpus
from typer.testing import CliRunner

from db.models import CorpusSource
from db.problems import UnknownId
from db.records import add_corpus_version, find_checkpoint, finish_stage, start_stage
from db.sessions import open_database
from flows.cli import app
from workers.corpora.store import CorpusRef
from workers.problems import InputProblem
from workers.records import Document, text_digest

HELD_OUT = [
    Document("h", "hal hid the fault .", text_digest("hal hid the fault ."), "books"),
    Document("i", "ina fell .", text_digest("ina fell ."), "letters"),
    Document("j", "jo rose .", text_digest("jo rose ."), "letters"),
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_home(tmp_path)


@pytest.fixture
def held_out(home: Path) -> CorpusRef:
    """Held-out documents on which a checkpoint was evaluated, as `flows.beginnings` records them
    without their sources: a record that was made before they were noted has none."""
    made = write_corpus(home, HELD_OUT)
    database = open_database(f"sqlite:///{home}/palimpsest.db")
    with database.sessions.begin() as session:
        add_corpus_version(session, made.id, uri=made.uri, shards=2, documents=3)
        assert find_checkpoint(session, "2" * 64) is not None
        inputs = {"checkpoint": "2" * 64, "held_out": made.id}
        stage = start_stage(
            session, "e", stage="evaluate", algorithm_version="1", params={"inputs": inputs}
        )
        finish_stage(session, stage, output_digest="e")
    database.dispose()
    return made


def ask(home: Path, *words: str) -> tuple[str, str]:
    """Standard output and standard error."""
    result = CliRunner().invoke(app, ["lineage", *words, "--home", str(home)])
    if result.exception is not None:
        raise result.exception
    return result.stdout, result.stderr


def taint(home: Path, wanted: str) -> dict[str, Any]:
    return json.loads(ask(home, "taint", wanted, "--json")[0])


def test_a_held_out_document_is_in_its_corpus_and_touched_no_checkpoint(
    home: Path, held_out: CorpusRef
) -> None:
    found = taint(home, "h")
    [row] = found["touched"]
    assert (row["kind"], row["id"], row["how"]) == ("corpus", held_out.id, "holds")
    assert row["generations"] == []
    assert (found["kind"], found["unread"]) == ("document", [])
    [imported] = json.loads(ask(home, "document", "h", "--json")[0])["imports"]
    assert (imported["corpus"], imported["text"]) == (held_out.id, HELD_OUT[0].text)
    assert "it is held out" in ask(home, "document", "h")[0]


def test_a_source_is_in_the_held_out_corpus_too(home: Path, held_out: CorpusRef) -> None:
    found = taint(home, "books")
    assert found["kind"] == "source" and len(found["touched"]) == 4
    assert held_out.id in {row["id"] for row in found["touched"] if row["how"] == "holds"}
    found = taint(home, "letters")
    assert found["kind"] == "source"
    assert [row["id"] for row in found["touched"]] == [held_out.id]


def test_a_record_without_sources_is_answered_from_the_files(
    home: Path, held_out: CorpusRef
) -> None:
    """The first schema had none."""
    database = open_database(f"sqlite:///{home}/palimpsest.db")
    before = [taint(home, wanted) for wanted in ("b", "books")]
    with database.sessions.begin() as session:
        session.execute(delete(CorpusSource))
    database.dispose()
    assert [taint(home, wanted) for wanted in ("b", "books")] == before


def test_files_that_are_gone_are_no_no(home: Path, held_out: CorpusRef) -> None:
    shutil.rmtree(held_out.uri)
    for words in (("taint", "h"), ("document", "h"), ("taint", "letters", "--json")):
        with pytest.raises(InputProblem, match="it cannot be told whether") as problem:
            ask(home, *words)
        assert held_out.uri in str(problem.value) and "\n" not in str(problem.value)
    # What is found elsewhere is said, and what was not looked into as well.
    found = taint(home, "b")
    assert len(found["touched"]) == 3
    assert found["unread"] == [{"corpus": held_out.id, "uri": held_out.uri}]
    said, warned = ask(home, "taint", "b")
    assert "touched 3 artifacts" in said and "cannot tell" not in said
    assert warned.startswith("cannot tell of 1 imported corpora whose files are not here: ")
    assert held_out.uri in warned
    assert json.loads(ask(home, "document", "b", "--json")[0])["unread"] == found["unread"]


@pytest.mark.parametrize("harm", ["one shard gone", "one shard cut short", "one shard is a folder"])
def test_a_corpus_that_is_not_whole_is_not_taken_for_one_that_was_read(
    home: Path, held_out: CorpusRef, harm: str
) -> None:
    shard = held_out.shard_path(1)
    half = shard.read_bytes()[:100]
    shard.unlink()
    if harm == "one shard cut short":
        shard.write_bytes(half)
    elif harm == "one shard is a folder":
        shard.mkdir()
    with pytest.raises(InputProblem, match="it cannot be told whether"):
        ask(home, "taint", "j")
    assert [each["corpus"] for each in taint(home, "b")["unread"]] == [held_out.id]


def test_what_is_found_in_a_corpus_that_is_not_whole_is_found(
    home: Path, held_out: CorpusRef
) -> None:
    held_out.shard_path(1).unlink()
    found = taint(home, "h")
    assert [row["id"] for row in found["touched"]] == [held_out.id]
    assert found["unread"] == []


def test_what_the_record_itself_knows_needs_no_files(home: Path, held_out: CorpusRef) -> None:
    before = taint(home, "a")
    imported = before["touched"][0]["id"]
    shutil.rmtree(home / "corpora" / imported)
    found = taint(home, "a")
    assert found == before and found["unread"] == []


def test_with_all_files_here_what_is_in_none_is_unknown(home: Path, held_out: CorpusRef) -> None:
    for wanted in ("nothing like it", "\udcff", "a\x00"):
        with pytest.raises(UnknownId, match="no document and no source"):
            ask(home, "taint", wanted)
        with pytest.raises(UnknownId):
            ask(home, "document", wanted)


def test_a_document_and_its_text_are_those_of_the_import(home: Path) -> None:
    [imported] = json.loads(ask(home, "document", "b", "--json")[0])["imports"]
    assert (imported["source"], imported["text"]) == (DOCUMENTS[1].source, DOCUMENTS[1].text)
