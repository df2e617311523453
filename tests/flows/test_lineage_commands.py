"""`palimpsest lineage` and `compare`, on a small record with real files behind it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from db.lineage import find_generation
from db.lineage.labels import imported_corpora
from db.models import Generation
from db.problems import UnknownId
from db.records import (
    EvaluationRow,
    add_checkpoint,
    add_corpus_version,
    derive,
    ensure_arm,
    ensure_generation,
    find_checkpoint,
    finish_stage,
    record_changed_documents,
    record_evaluations,
    record_sources,
    register_experiment,
    set_generation,
    start_stage,
    use_stage,
)
from db.sessions import open_database
from flows.cli import app
from flows.naming import GenerationName, generation_name
from workers.corpora.store import CorpusRef, CorpusWriter, source_counts
from workers.evaluation.items import write_items
from workers.evaluation.measures import mean_measure
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
    return make_home(tmp_path)


def make_home(home: Path) -> Path:
    """Arm `revise` mended document a, and refused to change c; arm `control` kept all."""
    after = replace(DOCUMENTS[0], text=MENDED, text_sha256=text_digest(MENDED))
    corpora = [write_corpus(home, DOCUMENTS), write_corpus(home, [after, *DOCUMENTS[1:]])]
    decisions = home / "stages" / "decided"
    rows = [
        Revision("a", DOCUMENTS[0].text_sha256, text_digest(MENDED), MENDED, "revise", "accepted"),
        Revision("b", DOCUMENTS[1].text_sha256, None, None, "keep", ""),
        Revision("c", DOCUMENTS[2].text_sha256, text_digest(REFUSED), REFUSED, "keep", "no gain"),
    ]
    decisions.mkdir(parents=True)
    write_table(decisions / "shard-00000.parquet", to_table(rows, REVISIONS))
    database = open_database(f"sqlite:///{home}/palimpsest.db")
    with database.sessions.begin() as session:
        fill(session, corpora, str(decisions))
    database.dispose()
    return home


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


def test_a_script_gets_every_flip_and_a_person_the_first(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The package has a function of the module's name.
    module = import_module("db.lineage.flips")
    rows = [dict.fromkeys(module.COLUMNS) | {"doc_id": f"doc-{n}"} for n in range(130)]
    monkeypatch.setattr(module, "flips", lambda *_, **__: iter(rows))
    words = ("lineage", "flips", "demo:revise:1")
    assert len(ask(home, *words, "--json").splitlines()) == 130
    assert len(ask(home, *words, "--json", "--limit", "3").splitlines()) == 3
    table = ask(home, *words)
    assert "doc-99" in table and "doc-100" not in table and "the first 100 rows" in table
    assert "doc-129" in ask(home, *words, "--limit", "0")


def test_no_flips_are_an_empty_table_and_no_lines(home: Path) -> None:
    words = ("lineage", "flips", "demo:control:1")
    assert ask(home, *words).split()[:2] == ["doc_id", "before"]
    assert ask(home, *words, "--json") == ""


def test_a_document_that_nobody_changed_is_shown_with_what_holds_it(home: Path) -> None:
    found = json.loads(ask(home, "lineage", "document", "b", "--json"))
    assert (found["doc_id"], found["changed"], found["unread"]) == ("b", False, [])
    [imported] = found["imports"]
    assert (imported["text"], imported["source"]) == (DOCUMENTS[1].text, "books")
    assert imported["text_sha256"] == DOCUMENTS[1].text_sha256
    assert [each["generations"] for each in found["held_by"]] == [
        ["demo:control:0:0", "demo:control:1:0", "demo:revise:0:0"],
        ["demo:revise:1:0"],
    ]
    said = ask(home, "lineage", "document", "b")
    assert "no generation changed it" in said and DOCUMENTS[1].text in said
    assert "palimpsest lineage ratings demo --doc b" in said


def test_a_document_of_no_corpus_is_unknown_and_the_nearest_is_named(home: Path) -> None:
    with pytest.raises(UnknownId, match="nearest: a"):
        ask(home, "lineage", "document", "aa")


def test_a_document_that_labels_alone_name_is_not_its_own_nearest(home: Path) -> None:
    labels = home / "labels.csv"
    labels.write_text("doc_id,label\nelsewhere,1\n")
    ask(home, "labels", "import", str(labels), "--allow-unknown")
    with pytest.raises(UnknownId, match="by name alone"):
        ask(home, "lineage", "document", "elsewhere")


def test_taint_finds_a_document_that_nobody_changed_in_the_files(home: Path) -> None:
    found = json.loads(ask(home, "lineage", "taint", "b", "--json"))
    assert [(each["kind"], each["how"]) for each in found["touched"]] == [
        ("corpus", "holds"),
        ("corpus", "holds"),
        ("checkpoint", "trained_on"),
    ]
    assert "source books touched 3 artifacts" in ask(home, "lineage", "taint", "books")


def test_ancestors_are_drawn_as_a_tree_with_every_edge_once(home: Path) -> None:
    database = open_database(f"sqlite:///{home}/palimpsest.db")
    with database.sessions.begin() as session:
        models = [find_checkpoint(session, f"{n}" * 64) for n in (1, 2)]
        corpora = [row for row in imported_corpora(session) if row.documents == 3]
        assert models[0] and models[1] and len(corpora) == 1
        derive(session, models[0], "trained_on", corpora[0])
        derive(session, models[1], "parent", models[0])
        derive(session, models[1], "mixed_from", corpora[0])
    database.dispose()
    first = corpora[0].digest[:12]
    [second] = {path.name[:12] for path in (home / "corpora").iterdir()} - {first}
    tree = ask(home, "lineage", "ancestors", "2" * 12).split()
    words = [word for word in tree if word.strip("│├└─ ")]
    assert words == [
        "2" * 12,
        *("mixed_from", "corpus", first),
        *("parent", "checkpoint", "1" * 12),
        *("trained_on", "corpus", first, "(above)"),
        *("trained_on", "corpus", second),
        *("derived_from", "corpus", first, "(above)"),
    ]
    tree = ask(home, "lineage", "descendants", first).split()
    assert tree.count("(above)") == 2
    listed = json.loads(ask(home, "lineage", "ancestors", "2" * 12, "--json"))
    assert len(listed) == 3


def test_what_came_of_nothing_is_a_tree_of_one(home: Path) -> None:
    assert ask(home, "lineage", "ancestors", "1" * 12).split() == ["1" * 12]


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


def test_a_comparison_pairs_the_items_of_each_generation_s_own_evaluation(home: Path) -> None:
    """Another experiment evaluated the same models later, on other items."""
    database = open_database(f"sqlite:///{home}/palimpsest.db")
    with database.sessions.begin() as session:
        for number, values in ((1, [0.0, 0.0, 0.0]), (2, [0.1, 0.2, 0.3])):
            arm = ("control", "revise")[number - 1]
            own = find_generation(session, "demo", arm, 1)
            evaluated(session, home, f"{number}" * 64, values, own)
        for number in (1, 2):
            evaluated(session, home, f"{number}" * 64, [float(number), 5.0, -9.0], None)
    database.dispose()
    words = ("compare", "demo:control:1", "demo:revise:1", "--json")
    found = json.loads(ask(home, *words))["metrics"]["propensity"]
    assert found["paired"] and found["stderr"] == pytest.approx(0.1 / 3**0.5)
    for generation in ("control", "revise"):
        shutil.rmtree(home / "stages" / f"own-{generation}")
    assert json.loads(ask(home, *words))["metrics"]["propensity"]["paired"]


def evaluated(
    session: Any, home: Path, model: str, values: list[float], generation: Generation | None
) -> None:
    name = f"own-{generation.arm.name}" if generation else f"other-{model[:1]}"
    folder = home / "stages" / name
    folder.mkdir(parents=True)
    write_items(folder / "items.parquet", [mean_measure("t", "propensity", values)])
    stage = start_stage(
        session,
        name,
        stage="evaluate",
        algorithm_version="1",
        params={"inputs": {"checkpoint": model}},
    )
    finish_stage(session, stage, output_digest=name, output_uri=str(folder))
    if generation is not None:
        use_stage(session, generation, stage, reused=False)


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
