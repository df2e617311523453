"""`palimpsest export`: graphs, copies with their cards, and MLflow as a sink."""

from __future__ import annotations

import json
import os
import re
import sys
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from db_demo import digest, record_demo
from huggingface_hub import DatasetCard
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from typer.testing import CliRunner

from db.problems import UnknownId
from db.records import (
    add_corpus_version,
    ensure_arm,
    ensure_generation,
    register_experiment,
    set_generation,
)
from db.sessions import open_database
from flows.cli import app
from flows.exporting import export_corpus_version
from flows.exports.geometry import place
from flows.exports.graph import Edge, LineageGraph, Node, lineage_graph, mermaid
from flows.exports.layout import arrange
from flows.exports.svg import MOST_NODES, svg
from workers.corpora.store import CorpusWriter, open_corpus, verify_corpus
from workers.problems import InputProblem, WorkProblem
from workers.records import Document, text_digest

HOSTILE = st.text(alphabet=st.sampled_from("ab \n\"'#;`<>[](){}|&\\*_%-~試\x1b\ud83d"), max_size=20)


def width(words: str) -> float:
    """As wide as nine-point letters are on the whole."""
    return 6.0 * len(words)


def node(key: int, *used_by: str) -> Node:
    kind = "checkpoint" if key % 2 else "corpus"
    return Node(key, kind, sha256(str(key).encode()).hexdigest(), used_by)


def experiment_graph(arms: int, generations: int) -> LineageGraph:
    """Arms that revise, each checkpoint trained from the first on a corpus read by the last."""
    edges: list[Edge] = []
    last = 2
    for _ in range(arms):
        corpus, model = 2, 1
        for _ in range(generations):
            made, trained = last + 2, last + 1
            edges += [Edge(made, "derived_from", corpus), Edge(made, "read_by", model)]
            edges += [Edge(trained, "parent", 1), Edge(trained, "trained_on", made)]
            edges += [Edge(made, "accepted_by", 1)] if model != 1 else []
            corpus, model, last = made, trained, last + 2
    nodes = tuple(node(key, f"arm {key}") for key in range(1, last + 1))
    return LineageGraph("Lineage of experiment x", nodes, tuple(edges))


@st.composite
def any_graphs(draw: st.DrawFn) -> LineageGraph:
    """Any graph at all, circles too."""
    keys = range(1, draw(st.integers(1, 9)) + 1)
    ends = st.tuples(st.sampled_from(keys), st.sampled_from(keys))
    pairs = draw(st.lists(ends, max_size=14, unique=True))
    edges = [Edge(a, "parent", b) for a, b in pairs if a != b]
    return LineageGraph(draw(HOSTILE), tuple(node(k, draw(HOSTILE)) for k in keys), tuple(edges))


def test_an_experiments_graph_has_its_artifacts_and_their_edges(session):
    record_demo(session)
    graph = lineage_graph(session, "microworld")
    names = {each.key: each.digest for each in graph.nodes}
    assert {(names[e.made], e.relation, names[e.source]) for e in graph.edges} == {
        (digest("c1"), "derived_from", digest("c0")),
        (digest("c1"), "read_by", digest("m0")),
        (digest("control m1"), "parent", digest("m0")),
        (digest("control m1"), "trained_on", digest("c0")),
        (digest("revise m1"), "parent", digest("m0")),
        (digest("revise m1"), "trained_on", digest("c1")),
    }
    labels = {each.digest: each.used_by for each in graph.nodes}
    assert labels[digest("c0")] == ("control 0-1", "revise 0")
    assert labels[digest("revise m1")] == ("revise 1",)


def test_an_artifacts_graph_goes_back_as_far_as_asked(session):
    record_demo(session)
    found = {
        depth: {each.digest for each in lineage_graph(session, digest("revise m1"), depth).nodes}
        for depth in (None, 0, 1)
    }
    assert found[None] == {digest(name) for name in ("revise m1", "m0", "c1", "c0")}
    assert found[0] == {digest("revise m1")}
    assert found[1] == {digest(name) for name in ("revise m1", "m0", "c1")}
    with pytest.raises(UnknownId):
        lineage_graph(session, "microwurld")


def test_a_node_with_many_users_names_some_and_counts_the_rest(session):
    corpus = add_corpus_version(session, digest("c"), uri="file:///c", shards=1, documents=1)
    for name in "abcde":
        arm = ensure_arm(session, register_experiment(session, name, {}, {}), "control", 0)
        set_generation(session, ensure_generation(session, arm, 0), corpus_version_id=corpus.id)
    (only,) = lineage_graph(session, digest("c")).nodes
    assert only.used_by == ("a:control 0", "b:control 0", "c:control 0", "and 2 more")


@given(any_graphs())
def test_mermaid_text_keeps_its_shape_whatever_a_name_holds(graph):
    lines = mermaid(graph).rstrip("\n").split("\n")
    assert lines[0] == lines[2] == "---" and lines[3] == "flowchart RL"
    assert "\x1b" not in json.loads(lines[1].removeprefix("title: "))
    nodes, edges = lines[4 : 4 + len(graph.nodes)], lines[4 + len(graph.nodes) :]
    for line, each in zip(nodes, graph.nodes, strict=True):
        match = re.fullmatch(r'    n(\d+)[(\[]+"(.*)"[)\]]+', line)
        assert match and int(match[1]) == each.key
        shown = re.sub(r"<br/>|#\d+;", "", match[2])
        assert not set(shown) & set('"#;`<>[](){}|&\\*_~')
    assert len(edges) == len(graph.edges)
    assert all(re.fullmatch(r"    n\d+ -->\|parent\| n\d+", line) for line in edges)


@given(any_graphs())
@settings(max_examples=50)
def test_every_place_of_a_layout_is_its_own_and_edges_lead_back(graph):
    layout = arrange(graph)
    placed = [each for layer in layout.layers for each in layer]
    assert len(placed) == len(set(placed))
    assert {node.key for node in graph.nodes} <= set(placed)
    layer_of = {each: index for index, layer in enumerate(layout.layers) for each in layer}
    for way in layout.ways.values():
        steps = {layer_of[a] - layer_of[b] for a, b in pairwise(way)}
        assert steps in ({1}, {-1})
    boxes = list(place(graph, layout, width).nodes.values())
    assert not any(a.touches(b) for i, a in enumerate(boxes) for b in boxes[:i])


@pytest.mark.parametrize(("arms", "generations"), [(1, 1), (1, 4), (2, 3), (4, 2)])
def test_no_label_of_an_experiments_graph_touches_another_or_a_node(arms, generations):
    graph = experiment_graph(arms, generations)
    layout = arrange(graph)
    layer_of = {each: index for index, layer in enumerate(layout.layers) for each in layer}
    assert all(layer_of[edge.made] > layer_of[edge.source] for edge in graph.edges)
    drawing = place(graph, layout, width)
    assert set(drawing.labels) == set(graph.edges)
    assert drawing.overlaps() == 0


def test_a_picture_is_svg_that_says_in_words_what_it_shows(session):
    record_demo(session)
    graph = lineage_graph(session, "microworld")
    picture = svg(graph)
    root = ElementTree.fromstring(picture)
    shapes = [each.get("id", "") for each in root.iter() if each.get("id")]
    assert sum(name.startswith(("checkpoint-", "corpus-")) for name in shapes) == 5
    words = "".join(root.itertext())
    assert "Lineage of experiment microworld" in words
    assert f"checkpoint {digest('revise m1')[:12]} trained_on corpus {digest('c1')[:12]}" in words
    assert svg(graph) == picture


def test_a_picture_holds_any_name():
    title = "$x$ <b>&\x1b\n試験"
    graph = LineageGraph(title, (node(1, "a$b", title),), ())
    assert ElementTree.fromstring(svg(graph)).tag.endswith("svg")


def test_a_picture_that_nobody_could_read_is_refused():
    nodes = tuple(node(key) for key in range(MOST_NODES + 1))
    with pytest.raises(InputProblem, match="--depth"):
        svg(LineageGraph("x", nodes, ()))


@pytest.fixture
def home(tmp_path: Path, migrated_sqlite: Path) -> Path:
    """A home whose record holds the demo, and one corpus with files."""
    (tmp_path / "palimpsest.db").write_bytes(migrated_sqlite.read_bytes())
    with CorpusWriter(tmp_path, 2) as writer:
        for words in ("ada told the truth .", "bo fell .", "cy stopped ."):
            writer.add(Document(words[:2], words, text_digest(words), "books"))
        corpus = writer.finish()
    database = open_database(f"sqlite:///{tmp_path}/palimpsest.db")
    with database.sessions.begin() as session:
        record_demo(session)
        add_corpus_version(session, corpus.id, uri=corpus.uri, shards=2, documents=3)
    database.dispose()
    return tmp_path


def run(home: Path, *words: str) -> Any:
    return CliRunner().invoke(app, ["export", *words, "--home", str(home)])


def files_corpus(home: Path) -> str:
    return next((home / "corpora").iterdir()).name


def test_a_copied_corpus_carries_its_card_and_is_still_whole(home):
    out = home / "out"
    assert run(home, "corpus", files_corpus(home), str(out)).exit_code == 0
    verify_corpus(open_corpus(out))
    loaded = DatasetCard.load(out / "README.md")
    (configured,) = loaded.data.configs
    assert len(list(out.glob(configured["data_files"]))) == 2
    assert loaded.data.palimpsest["id"] == files_corpus(home)
    again = run(home, "corpus", files_corpus(home), str(out))
    assert isinstance(again.exception, InputProblem)


def test_a_pushed_corpus_keeps_the_hubs_files_and_gets_our_card(home, monkeypatch, tmp_path):
    import datasets

    there = tmp_path / "hub.md"
    pushed: dict[str, Any] = {}

    def push(self: Any, name: str, private: bool) -> None:
        there.write_text("---\nconfigs:\n- config_name: theirs\n---\nnothing yet\n")
        pushed.update(name=name, private=private, rows=len(self["train"]))

    load = DatasetCard.load
    monkeypatch.setattr(datasets.DatasetDict, "push_to_hub", push)
    monkeypatch.setattr(DatasetCard, "load", lambda name: load(there))
    monkeypatch.setattr(DatasetCard, "push_to_hub", lambda card, name: card.save(there))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    database = open_database(f"sqlite:///{home}/palimpsest.db")
    said = export_corpus_version(database, files_corpus(home), "org/name", True)
    database.dispose()
    assert said.startswith("org/name: 3 documents")
    assert pushed == {"name": "org/name", "private": True, "rows": 3}
    card = load(there)
    assert card.data.configs == [{"config_name": "theirs"}]
    assert card.data.palimpsest["id"] == files_corpus(home) and "## Lineage" in card.text


def test_each_export_is_printed_or_written(home):
    for words in (
        ("card", digest("revise m1")),
        ("openlineage", "microworld"),
        ("prov", "microworld"),
        ("graph", "microworld"),
        ("graph", digest("c1"), "--format", "mermaid", "--depth", "1"),
    ):
        printed = run(home, *words)
        assert printed.exit_code == 0, printed.output
        file = home / "new" / "file"
        to = [str(file)] if words[0] == "card" else ["--out", str(file)]
        written = run(home, *words, *to)
        assert written.output.startswith(f"{file}: ")
        assert file.read_text(encoding="utf-8") == printed.output
        refused = run(home, *words, *([str(home)] if words[0] == "card" else ["--out", str(home)]))
        assert isinstance(refused.exception, InputProblem)


def test_a_place_that_cannot_be_written_is_refused_in_a_paragraph(home):
    file = home / "a file"
    file.write_text("mine")
    below = str(file / "below")
    for words in (
        ("card", digest("revise m1"), below),
        ("openlineage", "microworld", "--out", below),
        ("prov", "microworld", "--out", below),
        ("graph", "microworld", "--out", below),
        ("corpus", files_corpus(home), below),
    ):
        refused = run(home, *words)
        assert isinstance(refused.exception, InputProblem), words
        said = str(refused.exception)
        assert said.startswith(f"{below}: cannot be written (") and "\n" not in said
    assert file.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused_in_a_paragraph(home):
    closed = home / "closed"
    closed.mkdir(mode=0o500)
    refused = run(home, "prov", "microworld", "--out", str(closed / "file"))
    assert isinstance(refused.exception, InputProblem)
    assert "Permission denied" in str(refused.exception)


def test_without_its_package_mlflow_is_refused_with_the_remedy(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    refused = run(home, "mlflow", "microworld", "--tracking-uri", "sqlite:///x")
    assert isinstance(refused.exception, InputProblem)
    assert "pip install mlflow-skinny" in str(refused.exception)


# MLflow asks SQLAlchemy for what 2.1 no longer likes.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
class TestMlflow:
    """With `mlflow-skinny`, and a database that it makes itself."""

    @pytest.fixture
    def uri(self, tmp_path: Path) -> str:
        pytest.importorskip("mlflow", reason="mlflow-skinny, an optional sink, is not installed")
        return f"sqlite:///{tmp_path}/mlflow.db"

    @staticmethod
    def runs(uri: str) -> dict[str, Any]:
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        known = client.get_experiment_by_name("microworld")
        assert known is not None
        found = client.search_runs([known.experiment_id])
        return {each.data.tags["palimpsest.generation"]: each for each in found}

    def test_a_run_a_generation_and_a_second_export_adds_nothing(self, home, uri):
        first = run(home, "mlflow", "microworld", "--tracking-uri", uri, "--json")
        assert json.loads(first.stdout)["made"] == 4, first.output
        before = self.runs(uri)
        one = before["microworld:revise:1:1"]
        assert one.data.metrics["oracle/propensity"] == 0.2
        assert one.data.metrics["oracle/propensity/stderr"] == 0.01
        assert one.data.metrics["documents/revise"] == 2
        assert one.data.params["config.rate.tau"] == "0.5" and "config.seeds" not in one.data.params
        assert one.data.tags["palimpsest.checkpoint"] == digest("revise m1")
        assert one.info.status == "FINISHED"
        database = Path(uri.removeprefix("sqlite:///"))
        counted = [count(database, name) for name in ("runs", "metrics", "params", "tags")]
        again = run(home, "mlflow", "microworld", "--tracking-uri", uri, "--json")
        assert json.loads(again.stdout) == {"experiment": "microworld", "made": 0, "found": 4}
        assert [count(database, name) for name in ("runs", "metrics", "params", "tags")] == counted
        assert self.runs(uri).keys() == before.keys()

    def test_a_uri_that_mlflow_does_not_know_is_refused_without_its_password(self, home, uri):
        said = run(home, "mlflow", "microworld", "--tracking-uri", "ftp://me:secret@host/x")
        assert isinstance(said.exception, WorkProblem)
        assert "secret" not in str(said.exception) and "--tracking-uri" in str(said.exception)


def count(path: Path, table: str) -> int:
    """Rows of one of MLflow's own tables."""
    from sqlalchemy import create_engine

    engine = create_engine(f"sqlite:///{path}")
    try:
        with engine.connect() as connection:
            return connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
    finally:
        engine.dispose()
