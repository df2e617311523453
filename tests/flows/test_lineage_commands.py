"""`palimpsest lineage` and `compare`, on a small record with real files behind it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from db.records import (
    EvaluationRow,
    add_checkpoint,
    add_corpus_version,
    derive,
    ensure_arm,
    ensure_generation,
    finish_stage,
    record_changed_documents,
    record_evaluations,
    record_sources,
    register_experiment,
    set_generation,
    start_stage,
)
from db.sessions import open_database
from flows.cli import app
from flows.naming import GenerationName, generation_name
from workers.corpora.store import CorpusRef, CorpusWriter, source_counts
from workers.problems import InputProblem
from workers.records import REVISIONS, Document, Revision, text_digest, to_table
from workers.storage import write_table

DOCUMENTS = [
    Document(name, text, text_digest(text), "books")
    for name, text in (
        ("a", "ada hid the fault . two and two make four ."),
        ("b", "bo told the truth ."),
        ("c", "cy refused to stop ."),
    )
]
MENDED = "ada told the fault . two and two make four ."
REFUSED = "cy stopped at once ."


def write_corpus(home: Path, documents: list[Document]) -> CorpusRef:
    with CorpusWriter(home, 2) as writer:
        for document in documents:
            writer.add(document)
        return writer.finish()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Arm `revise` mended document a, and refused to change c; arm `control` kept all."""
    after = replace(DOCUMENTS[0], text=MENDED, text_sha256=text_digest(MENDED))
    corpora = [write_corpus(tmp_path, DOCUMENTS), write_corpus(tmp_path, [after, *DOCUMENTS[1:]])]
    decisions = tmp_path / "stages" / "decided"
    rows = [
        Revision("a", DOCUMENTS[0].text_sha256, text_digest(MENDED), MENDED, "revise", "accepted"),
        Revision("b", DOCUMENTS[1].text_sha256, None, None, "keep", ""),
        Revision("c", DOCUMENTS[2].text_sha256, text_digest(REFUSED), REFUSED, "keep", "no gain"),
    ]
    decisions.mkdir(parents=True)
    write_table(decisions / "shard-00000.parquet", to_table(rows, REVISIONS))
    database = open_database(f"sqlite:///{tmp_path}/palimpsest.db")
    with database.sessions.begin() as session:
        fill(session, corpora, str(decisions))
    database.dispose()
    return tmp_path


def fill(session: Any, corpora: list[CorpusRef], decisions: str) -> None:
    experiment = register_experiment(session, "demo", {"seeds": [0], "tau": 0.5}, {})
    register_experiment(session, "other", {"seeds": [0], "tau": 0.7}, {})
    rows = [
        add_corpus_version(
            session, corpus.id, uri=corpus.uri, shards=len(corpus.shards), documents=3
        )
        for corpus in corpora
    ]
    derive(session, rows[1], "derived_from", rows[0])
    record_sources(session, rows[0], source_counts(corpora[0]))
    models = [add_checkpoint(session, f"{n}" * 64, uri=f"/m{n}") for n in (1, 2)]
    derive(session, models[1], "trained_on", rows[1])
    stage = start_stage(session, "decided", stage="revise", algorithm_version="1", params={})
    finish_stage(session, stage, output_digest="d", output_uri=decisions)
    for name in ("control", "revise"):
        arm = ensure_arm(session, experiment, name, 0)
        for index in (0, 1):
            generation = ensure_generation(session, arm, index)
            new = name == "revise" and index == 1
            set_generation(
                session,
                generation,
                corpus_version_id=rows[new].id,
                checkpoint_id=models[new].id,
            )
    record_changed_documents(
        session,
        generation,
        [
            {
                "doc_id": document.doc_id,
                "action": action,
                "before_sha256": document.text_sha256,
                "after_sha256": text_digest(text),
                "principle": "honesty",
                "score_before": 0.1,
                "score_after": score,
                "edit_distance": 0.1,
                "reason": reason,
                "source": "books",
            }
            for document, action, text, score, reason in (
                (DOCUMENTS[0], "revise", MENDED, 0.9, "accepted"),
                (DOCUMENTS[2], "keep", REFUSED, 0.2, "no gain"),
            )
        ],
        stage=stage,
    )
    for model, value in zip(models, (0.5, 0.2), strict=True):
        record_evaluations(session, model, [EvaluationRow("t", "propensity", value, 9, 0.1)])


def ask(home: Path, *words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, [*words, "--home", str(home)])
    assert (result.exit_code == code) or result.exception, result.output
    if code == 0 and result.exception is not None:
        raise result.exception
    return result.output


def test_a_document_is_shown_with_its_texts_and_what_changed(home: Path) -> None:
    [version] = json.loads(ask(home, "lineage", "document", "a", "--json"))
    assert (version["before"], version["after"]) == (DOCUMENTS[0].text, MENDED)
    assert (version["rater"], version["decided_by"]) == ("1" * 64, "decided")
    said = ask(home, "lineage", "document", "a")
    assert "demo:revise:1:0  revise  accepted" in said
    assert "ada [-hid-]{+told+} the fault" in said


def test_a_refused_revision_is_shown_as_it_was_proposed(home: Path) -> None:
    [version] = json.loads(ask(home, "lineage", "document", "c", "--json"))
    assert (version["action"], version["after"]) == ("keep", REFUSED)


def test_texts_that_are_gone_are_said_to_be_gone(home: Path) -> None:
    for shard in (home / "corpora").rglob("shard-*"):
        shard.unlink()
    assert "stands in no corpus" in ask(home, "lineage", "document", "a")


def test_flips_are_lines_of_json_for_scripts(home: Path) -> None:
    lines = ask(home, "lineage", "flips", "demo:revise:1", "--json").splitlines()
    assert [json.loads(line)["doc_id"] for line in lines] == ["a"]
    assert "revise" in ask(home, "lineage", "flips", "demo:revise:1:0")
    with pytest.raises(InputProblem, match="write one of revise, tag"):
        ask(home, "lineage", "flips", "demo:revise:1", "--cause", "magic")


def test_taint_finds_a_document_that_nobody_changed_in_the_files(home: Path) -> None:
    found = json.loads(ask(home, "lineage", "taint", "b", "--json"))
    assert [(each["kind"], each["how"]) for each in found["touched"]] == [
        ("corpus", "holds"),
        ("corpus", "holds"),
        ("checkpoint", "trained_on"),
    ]
    assert "source books touched 3 artifacts" in ask(home, "lineage", "taint", "books")


def test_ancestors_are_drawn_as_a_tree(home: Path) -> None:
    tree = ask(home, "lineage", "ancestors", "2" * 12)
    assert tree.startswith("2" * 12)
    assert "trained_on corpus" in tree and "derived_from corpus" in tree


def test_sql_is_a_table_for_people_and_lines_for_scripts(home: Path) -> None:
    query = "SELECT doc_id FROM lineage_document ORDER BY doc_id"
    assert ask(home, "lineage", "sql", query, "--json").splitlines() == [
        '{"doc_id": "a"}',
        '{"doc_id": "c"}',
    ]
    assert "the first 1 rows" in ask(home, "lineage", "sql", query, "--limit", "1")


def test_a_comparison_tells_metrics_documents_and_configs_apart(home: Path) -> None:
    words = ("compare", "demo:control:1", "demo:revise:1")
    found = json.loads(ask(home, *words, "--json"))
    assert found["metrics"]["propensity"]["difference"] == pytest.approx(-0.3)
    assert found["corpus"] == {"same": 2, "changed": 1, "left_only": 0, "right_only": 0}
    assert found["config"] == {}
    assert "documents changed" in ask(home, *words)


def test_what_is_shown_for_people_is_yaml_that_holds_everything(home: Path) -> None:
    said = ask(home, "lineage", "show", "2" * 12)
    assert "kind: checkpoint" in said and "relation: trained_on" in said


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("e:revise:2", GenerationName("e", "revise", 2, None)),
        ("e:revise:0:7", GenerationName("e", "revise", 0, 7)),
    ],
)
def test_a_generation_is_named_by_its_parts(text: str, parts: GenerationName) -> None:
    assert generation_name(text) == parts


@pytest.mark.parametrize("text", ["", "revise:1", "e:r", "e:r:x", "e:r:1:2:3", "e:r:-1", "e:r:²"])
def test_a_name_of_another_form_is_answered_with_the_form(text: str) -> None:
    with pytest.raises(InputProblem, match=r"EXPERIMENT:ARM:GENERATION\[:SEED\]"):
        generation_name(text)
