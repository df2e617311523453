"""Human labels: taken in whole or not at all, held against ratings, and part of the lineage."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner

from db.lineage import show
from db.lineage.labels import digest_on_record, find_label_sets, label_sets, rated_generations
from db.models import (
    Artifact,
    DocumentName,
    Evaluation,
    Generation,
    Informed,
    Label,
    LabelSet,
    PrinciplesFile,
    Source,
    Stage,
    Used,
)
from db.problems import UnknownId
from db.records import (
    add_artifact,
    add_checkpoint,
    add_corpus_version,
    derive,
    ensure_arm,
    ensure_generation,
    finish_stage,
    register_experiment,
    set_generation,
    start_stage,
    use_stage,
)
from db.sessions import Database
from flows import cli_options
from flows.cli import app
from flows.label_reports import report
from flows.labelling import import_labels
from workers.corpora.store import CorpusRef, CorpusWriter
from workers.problems import InputProblem
from workers.records import RATINGS, Document, Rating, text_digest, to_table
from workers.storage import write_table

# Ten documents: the first six are desirable, and the rater errs on d5 and d6.
SCORES = [0.95, 0.9, 0.85, 0.8, 0.7, 0.3, 0.6, 0.2, 0.1, 0.05]
TRUTH = [1, 1, 1, 1, 1, 1, 0, 0, 0, 0]


def document(number: int, text: str | None = None) -> Document:
    text = text or f"story {number}"
    return Document(f"d{number}", text, text_digest(text), "books")


DOCUMENTS = [document(number) for number in range(len(SCORES))]


@dataclass(frozen=True)
class Demo:
    """A record whose revise arm rated corpus 0, and then corpus 1, in which d9 was mended."""

    database: Database
    home: Path
    corpora: tuple[CorpusRef, CorpusRef]

    def csv(self, *lines: str, name: str = "judged.csv") -> Path:
        path = self.home / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def judged(self, name: str = "judged.csv") -> Path:
        said = [f"d{number},{label}" for number, label in enumerate(TRUTH)]
        return self.csv("doc_id,label", *said, name=name)

    def count(self, model: type) -> int:
        with self.database.readers() as session:
            return session.scalar(select(func.count()).select_from(model)) or 0


def write_corpus(home: Path, documents: list[Document]) -> CorpusRef:
    with CorpusWriter(home, 4) as writer:
        for each in documents:
            writer.add(each)
        return writer.finish()


def write_ratings(folder: Path, documents: list[Document], scores: list[float | None]) -> None:
    folder.mkdir(parents=True)
    rows = [
        Rating(each.doc_id, each.text_sha256, principle, score, "ok", "m0")
        for each, lower in zip(documents, scores, strict=True)
        for principle, score in (("honesty", lower), ("oversight", 0.97))
    ]
    write_table(folder / "shard-00000.parquet", to_table(rows, RATINGS))


@pytest.fixture
def demo(database: Database, tmp_path: Path) -> Demo:
    mended = [*DOCUMENTS[:9], document(9, "story 9, mended")]
    corpora = write_corpus(tmp_path, DOCUMENTS), write_corpus(tmp_path, mended)
    with database.sessions.begin() as session:
        experiment = register_experiment(session, "demo", {"rating": {"threshold": 0.5}}, {})
        arm = ensure_arm(session, experiment, "revise", 0)
        content = {"principles": [{"id": "honesty"}, {"id": "oversight"}]}
        add_artifact(session, PrinciplesFile, "p1", content=content)
        generations = [ensure_generation(session, arm, index) for index in range(3)]
        rows = []
        for index, corpus in enumerate(corpora):
            row = add_corpus_version(
                session, corpus.id, uri=corpus.uri, shards=len(corpus.shards), documents=10
            )
            set_generation(session, generations[index], corpus_version_id=row.id)
            add_checkpoint(session, f"model-{index}", uri=f"file:///m{index}")
            rows.append(row)
        derive(session, rows[1], "derived_from", rows[0])
        for index, held in enumerate((DOCUMENTS, mended)):
            folder = tmp_path / "stages" / f"rate-{index}"
            write_ratings(folder, held, SCORES)
            inputs = {"checkpoint": f"model-{index}", "corpus": corpora[index].id}
            stage = start_stage(
                session,
                f"rate-{index}",
                stage="rate",
                algorithm_version="1",
                params={"inputs": inputs},
            )
            finish_stage(
                session,
                stage,
                output_digest=f"ratings-{index}",
                output_uri=str(folder),
                meta={"shards": 1},
            )
            use_stage(session, generations[index + 1], stage, reused=False)
    return Demo(database, tmp_path, corpora)


def test_labels_become_an_artifact_and_rows(demo):
    found = import_labels(demo.database, demo.judged(), annotator="ada")
    assert (found.new, found.labels, found.documents, found.desirable, found.unknown) == (
        True, 10, 10, 6, 0,
    )  # fmt: skip
    with demo.database.readers() as session:
        (listed,) = label_sets(session)
        assert listed["id"] == found.id and listed["annotators"] == ["ada"]
        assert (listed["labels"], listed["desirable"], listed["file"]) == (10, 6, "judged.csv")
        (row,) = find_label_sets(session, [found.id[:8]])
        assert digest_on_record(session, row) == found.id
        # A document that is first heard of by its label keeps its source.
        source = select(Source.name).join(DocumentName, DocumentName.source_id == Source.id)
        assert session.scalars(source.where(DocumentName.doc_id == "d3")).one() == "books"


def test_the_lineage_shows_the_labels_and_the_corpus_that_they_are_about(demo):
    found = import_labels(demo.database, demo.judged())
    with demo.database.readers() as session:
        shown = show(session, found.id[:10])
    assert (shown["kind"], shown["id"]) == ("labels", found.id)
    assert shown["made_by"]["stage"] == "import"
    assert shown["made_by"]["used"] == [
        {"role": "corpus", "kind": "corpus", "id": demo.corpora[0].id}
    ]


def test_the_same_labels_again_add_nothing(demo):
    first = import_labels(demo.database, demo.judged(), annotator="ada")
    before = [demo.count(model) for model in (Artifact, Label, DocumentName, Stage)]
    lines = demo.judged().read_text().splitlines()
    again = demo.csv(lines[0], *reversed(lines[1:]), name="sorted-otherwise.csv")
    second = import_labels(demo.database, again, annotator="ada")
    assert (second.id, second.new) == (first.id, False)
    assert [demo.count(model) for model in (Artifact, Label, DocumentName, Stage)] == before


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("doc_id,lable", "d1,1"), ["line 1", "'lable'", "nearest: label"]),
        (("doc_id", "d1"), ["line 1 has no column 'label'"]),
        (("doc_id,label,label", "d1,1,1"), ["names a column twice"]),
        (("doc_id,label", "d1,1", "d2,perhaps"),
         ["line 3, field label: 'perhaps'", "1, true, desirable, 0, false, undesirable"]),
        (("doc_id,label", "d1,1", ",0"), ["line 3, field doc_id"]),
        (("doc_id,label", "d1,1,2"), ["line 2 has 3 fields", "header line 2"]),
        (("doc_id,label", "d1,1", "d99,0"), ["line 3, field doc_id", "'d99'", "nearest: d9"]),
        (("doc_id,label,principle", "d1,1,honest"), ["field principle", "nearest: honesty"]),
        (("doc_id,label,text_sha256", "d1,1,abc"), ["field text_sha256: 'abc'", "64 hexadecimal"]),
        (("doc_id,label", "d1,1", "d2,0", "d1,1"), ["line 4 repeats line 2", "'d1'"]),
        (("doc_id,label", "d1,1", "d2,0", "d1,0"), ["line 4 contradicts line 2"]),
        (("doc_id,label", '"d1,1'), ["cannot be read as CSV"]),
        (("doc_id,label",), ["no label stands under the header line"]),
        (("doc_id,label", *(f"d1{n},odd" for n in range(9))), ["line 2", "and 4 more"]),
    ],
)  # fmt: skip
def test_a_file_with_a_fault_is_refused_as_a_whole(demo, lines, said):
    with pytest.raises(InputProblem) as refused:
        import_labels(demo.database, demo.csv(*lines))
    assert "judged.csv" in str(refused.value)
    assert [words for words in said if words not in str(refused.value)] == []
    assert demo.count(LabelSet) == demo.count(Label) == demo.count(DocumentName) == 0


def test_a_file_that_is_missing_or_not_utf8_is_refused(demo):
    path = demo.home / "latin1.csv"
    with pytest.raises(InputProblem, match="No such file"):
        import_labels(demo.database, path)
    path.write_bytes("doc_id,label\nd1,1\nÅ,1\n".encode("latin-1"))
    with pytest.raises(InputProblem, match=r"latin1\.csv: cannot be read as CSV in UTF-8"):
        import_labels(demo.database, path)


def test_unknown_documents_are_taken_when_that_is_asked_for(demo):
    found = import_labels(
        demo.database, demo.csv("doc_id,label", "d1,1", "x'; --,0"), allow_unknown=True
    )
    assert (found.labels, found.unknown) == (2, 1)


def test_a_document_with_two_texts_needs_a_word_on_which_was_labelled(demo):
    with demo.database.sessions.begin() as session:
        other = write_corpus(demo.home, [document(1, "another story 1")])
        add_corpus_version(session, other.id, uri=other.uri, shards=1, documents=1)
    path = demo.csv("doc_id,label", "d1,1")
    with pytest.raises(InputProblem, match=r"line 2: document 'd1' has 2 texts.*--corpus"):
        import_labels(demo.database, path)
    found = import_labels(demo.database, path, corpus=other.id[:10])
    with demo.database.readers() as session:
        (row,) = find_label_sets(session, [found.id])
        assert row.content and row.content["texts"] == {"d1": text_digest("another story 1")}
    assert not import_labels(demo.database, path, corpus=other.id).new


def test_what_labels_say_of_a_rater(demo):
    import_labels(demo.database, demo.judged())
    found = report(demo.database, demo.home, "demo", generation=1)
    (entry,) = found["raters"]
    assert (entry["rater"], entry["principle"], entry["n"]) == ("model-0", None, 10)
    # Of 24 pairs the rater puts one the wrong way round: d5 under d6.
    assert entry["rater_auc"]["value"] == pytest.approx(23 / 24)
    assert entry["rater_auc"]["stderr"] > 0
    squares = [(t - s) ** 2 for t, s in zip(TRUTH, SCORES, strict=True)]
    assert entry["brier"]["value"] == pytest.approx(sum(squares) / 10)
    assert sum(each["n"] for each in entry["reliability"]) == 10
    # Everything from d5 up, or from d4 up, has J = 3/4 or 5/6; the second wins.
    assert entry["threshold"]["value"] == pytest.approx((0.6 + 0.7) / 2)
    assert entry["threshold"]["youden"] == pytest.approx(5 / 6)
    assert entry["threshold"]["lower"] <= 0.65 <= entry["threshold"]["upper"]
    assert entry["threshold"]["confusion"] == {
        "desirable_pass": 5, "desirable_fail": 1, "undesirable_pass": 0, "undesirable_fail": 4,
    }  # fmt: skip
    assert entry["configured"] == {
        "value": 0.5,
        "confusion": {
            "desirable_pass": 5, "desirable_fail": 1, "undesirable_pass": 1, "undesirable_fail": 3,
        },
    }  # fmt: skip


def test_a_label_says_nothing_of_another_text(demo):
    import_labels(demo.database, demo.judged())
    first, second = report(demo.database, demo.home)["raters"]
    assert first["unmatched"] == {"not_rated": 0, "other_text": 0, "text_unknown": 0}
    assert (second["rater"], second["n"], second["unmatched"]["other_text"]) == ("model-1", 9, 1)


def test_labels_may_name_the_text_that_they_are_about(demo):
    mended = text_digest("story 9, mended")
    path = demo.csv("doc_id,label,text_sha256", f"d9,1,{mended.upper()}", "d1,1,")
    import_labels(demo.database, path)
    first, second = report(demo.database, demo.home)["raters"]
    assert (first["n"], first["unmatched"]["other_text"]) == (1, 1)
    assert (second["n"], second["unmatched"]["other_text"]) == (2, 0)


def test_the_figures_are_recorded_on_the_rater_and_lead_back_to_the_labels(demo):
    labels = import_labels(demo.database, demo.judged())
    found = report(demo.database, demo.home, "demo", generation=1)["raters"][0]
    with demo.database.readers() as session:
        metrics = show(session, "model-0")["metrics"]
        recipe = session.scalars(select(Evaluation.recipe_id).distinct()).one()
        stage = session.scalars(select(Stage).where(Stage.recipe_id == recipe)).one()
        lineage = {
            (role, digest)
            for role, digest in session.execute(
                select(Used.role, Artifact.digest)
                .join(Artifact, Artifact.id == Used.artifact_id)
                .where(Used.stage_id == stage.id)
            )
        }
        read = session.scalars(
            select(Informed.source_stage_id).where(Informed.stage_id == stage.id)
        )
        assert session.get_one(Stage, read.one()).recipe_id == "rate-0"
    assert {name: each["value"] for name, each in metrics.items()} == {
        "human_labels/rater_auc": found["rater_auc"]["value"],
        "human_labels/brier": found["brier"]["value"],
        "human_labels/ece": found["ece"]["value"],
        "human_labels/threshold": found["threshold"]["value"],
    }
    assert (stage.stage, stage.status) == ("evaluate", "done")
    assert {("labels", labels.id), ("checkpoint", "model-0")} <= lineage
    report(demo.database, demo.home, "demo", generation=1)
    assert demo.count(Evaluation) == 4


def test_labels_of_a_principle_are_held_against_its_own_scores(demo):
    path = demo.csv("doc_id,label", *(f"d{n},{label}" for n, label in enumerate(TRUTH)))
    import_labels(demo.database, path, principle="oversight")
    (entry,) = report(demo.database, demo.home, generation=1)["raters"]
    assert (entry["principle"], entry["rater_auc"]["value"], entry["threshold"]) == (
        "oversight", 0.5, None,
    )  # fmt: skip
    with demo.database.readers() as session:
        assert "human_labels/rater_auc@oversight" in show(session, "model-0")["metrics"]


def test_several_annotators_count_by_majority_and_ties_are_left_out(demo):
    judged = demo.judged()
    import_labels(demo.database, judged, annotator="ada")
    import_labels(demo.database, judged, annotator="bo")
    against = demo.csv("doc_id,label,annotator", "d0,0,cy", "d1,0,cy", "d1,0,di", name="others.csv")
    import_labels(demo.database, against)
    found = report(demo.database, demo.home, generation=1)
    assert found["disputed"] == 1
    assert (found["raters"][0]["n"], found["raters"][0]["desirable"]) == (9, 5)
    (alone,) = report(demo.database, demo.home, generation=1, labels=[found["labels"][2]["id"]])[
        "raters"
    ]
    assert (alone["n"], alone["desirable"]) == (2, 0)


def test_a_report_says_what_is_missing(demo):
    with pytest.raises(UnknownId, match="labels import"):
        report(demo.database, demo.home)
    import_labels(demo.database, demo.judged())
    with pytest.raises(UnknownId, match="demo"):
        report(demo.database, demo.home, "demmo")
    with pytest.raises(InputProblem, match="control and generation 0 rate nothing"):
        report(demo.database, demo.home, "demo", arm="control")
    with pytest.raises(UnknownId, match="is of kind checkpoint"):
        report(demo.database, demo.home, labels=["model-0"])
    for shard in (demo.home / "stages" / "rate-1").iterdir():
        shard.unlink()
    found = report(demo.database, demo.home)
    assert found["ratings_gone"] == [{"arm": "revise", "seed": 0, "generation": 2}]
    assert [entry["rater"] for entry in found["raters"]] == ["model-0"]


def test_scripts_get_every_rating_and_a_table_the_first(demo, monkeypatch):
    url = demo.database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("PALIMPSEST_DATABASE", url)
    monkeypatch.setattr(cli_options, "TABLE_ROWS", 5)

    def ask(*words: str) -> str:
        words = ("lineage", "ratings", "demo", "--home", str(demo.home), *words)
        result = CliRunner().invoke(app, words)
        assert result.exception is None, result.output
        return result.output

    lines = [json.loads(line) for line in ask("--json").splitlines()]
    # Two generations, ten documents, two principles.
    assert len(lines) == 40 and {line["rater"] for line in lines} == {"m0"}
    assert len(ask("--json", "--limit", "7").splitlines()) == 7
    assert "the first 5 rows; --limit 0 shows all" in ask()
    assert "the first" not in ask("--limit", "0")


def test_rated_generations_name_rater_corpus_and_threshold(demo):
    with demo.database.readers() as session:
        first, second = rated_generations(session, "demo", arm="revise", seed=0)
        assert rated_generations(session, "demo", seed=7) == []
    assert (first.generation, first.rater, first.threshold) == (1, "model-0", 0.5)
    assert (second.corpus, second.corpus_0) == (demo.corpora[1].id, demo.corpora[0].id)


def test_the_sample_of_a_cascade_is_no_rating_of_a_corpus(demo):
    with demo.database.sessions.begin() as session:
        inputs = {"checkpoint": "model-0", "corpus": demo.corpora[0].id, "sample": 0.5}
        stage = start_stage(
            session, "sample-0", stage="rate", algorithm_version="1", params={"inputs": inputs}
        )
        finish_stage(session, stage, output_digest="sample", output_uri="", meta={"shards": 1})
        first = session.scalars(select(Generation).where(Generation.generation_index == 1)).one()
        use_stage(session, first, stage, reused=False)
    with demo.database.readers() as session:
        found = rated_generations(session, "demo", arm="revise", seed=0)
    assert [each.recipe_id for each in found] == ["rate-0", "rate-1"]
