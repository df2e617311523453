"""A written config loads and explains itself; drafted exemplars are left for a person to decide."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.experiment import Experiment
from configs.loading import load, read_yaml
from configs.principles import load_principles
from configs.prompts import load_prompts
from flows.starting import SMALL_MODEL, draft_skills, write_config
from workers.problems import InputProblem
from workers.records import Exemplar
from workers.skills import check_skills

PRINCIPLES = load_principles("honesty-and-oversight")
PROMPTS = load_prompts("chat")


def write(path, corpus=None, model=None, principles="microworld", name="mine"):
    return write_config(path, corpus=corpus, model=model, principles=principles, name=name)


def distinct(rows):
    return {(row["task"], *row["principles"], row["text"]) for row in rows}


def test_the_microworlds_config_is_the_defaults(tmp_path):
    assert load(write(tmp_path / "mine.yaml")) == Experiment(name="mine")
    named = load(write(tmp_path / "named.yaml", model="microworld"))
    assert named == Experiment(name="mine")


@pytest.mark.parametrize(
    ("corpus", "expected"),
    [
        ("notes.jsonl", {"kind": "files", "path": "notes.jsonl"}),
        ("shards/*.parquet", {"kind": "files", "path": "shards/*.parquet"}),
        ("~/text", {"kind": "files", "path": "~/text"}),
        ("${DATA}/it's: a # folder", {"kind": "files", "path": "${DATA}/it's: a # folder"}),
        ("/daten/Bücher", {"kind": "files", "path": "/daten/Bücher"}),
        ("someone/a-set", {"kind": "datasets", "name": "someone/a-set"}),
    ],
)
def test_a_corpus_is_files_or_a_hub_id_and_survives_the_round_trip(tmp_path, corpus, expected):
    found = load(write(tmp_path / "mine.yaml", corpus=corpus)).corpus
    assert expected.items() <= found.model_dump().items()


def test_an_existing_folder_is_read_as_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").mkdir()
    assert load(write(tmp_path / "mine.yaml", corpus="notes")).corpus.kind == "files"


def test_other_text_is_never_given_to_the_microworlds_model(tmp_path):
    found = load(write(tmp_path / "a.yaml", corpus="notes.jsonl"))
    assert (found.model.path, found.model.prompts) == (SMALL_MODEL, "chat")
    assert found.skills.source == "none"
    assert "oracle" not in found.evaluation.tasks
    # Without labels there is no slice to gate on.
    assert found.gate.capability_metric == "bits_per_byte" and found.gate.record_only
    assert found.training.window <= found.training.skills.batch_tokens
    with pytest.raises(InputProblem, match="cannot read"):
        write(tmp_path / "b.yaml", corpus="notes.jsonl", model="microworld")
    assert not (tmp_path / "b.yaml").exists()


def test_a_model_of_ones_own_is_taken_for_either_corpus(tmp_path):
    for corpus in (None, "notes.jsonl"):
        found = load(write(tmp_path / f"{corpus}.yaml", corpus=corpus, model="someone/a-model"))
        assert (found.model.path, found.model.prompts) == ("someone/a-model", "chat")
        assert found.skills.source == "none"
        assert ("oracle" in found.evaluation.tasks) == (corpus is None)


def test_the_file_says_what_its_choices_mean_for_a_small_model(tmp_path):
    text = write(tmp_path / "mine.yaml", corpus="notes.jsonl").read_text(encoding="utf-8")
    assert "skills draft" in text and "label_field" in text.split("name: mine")[0]
    plain = write(tmp_path / "plain.yaml").read_text(encoding="utf-8")
    assert "skills draft" not in plain


def test_an_existing_file_is_left_alone(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: precious\n")
    with pytest.raises(InputProblem, match="exists already"):
        write(path)
    assert path.read_text() == "name: precious\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("corpus", [None, "notes.jsonl", "someone/a-set"])
def test_every_field_stands_under_its_own_docstring(tmp_path, corpus):
    path = write(tmp_path / "mine.yaml", corpus=corpus)
    lines = path.read_text(encoding="utf-8").splitlines()
    at = 0

    def walk(section, written, indent):
        nonlocal at
        assert list(written) == list(type(section).model_fields)
        for name, field in type(section).model_fields.items():
            at = next(
                i for i in range(at + 1, len(lines)) if lines[i].startswith(f"{indent}{name}:")
            )
            said = [f"{indent}# {line.strip()}" for line in (field.description or "").splitlines()]
            assert lines[at - len(said) : at] == said, name
            # A section's `kind` is its name; all other fields have something to say.
            assert said or (name == "kind" and indent), name
            inner = getattr(section, name)
            if hasattr(type(inner), "model_fields"):
                walk(inner, written[name], indent + "  ")

    walk(load(path), read_yaml(path), "")
    assert max(map(len, lines)) <= 100


def test_drafts_cover_every_principle_and_task_and_no_row_is_given_twice():
    kinds = {(task, p.id) for p in PRINCIPLES.principles for task in ("rate", "revise")}
    texts = [f"Text {i}." for i in range(len(kinds))]
    rows = draft_skills(PRINCIPLES, PROMPTS, texts, 3 * len(kinds), seed=0)
    for start in range(0, len(rows), len(kinds)):
        # Each round of as many rows as there are kinds has every kind once.
        here = rows[start : start + len(kinds)]
        assert {(row["task"], *row["principles"]) for row in here} == kinds
    assert len(distinct(rows)) == len(rows) == 3 * len(kinds)


def test_drafts_are_lines_of_a_skills_file_whose_answers_the_check_refuses():
    rows = draft_skills(PRINCIPLES, PROMPTS, ["A first. A second.\nA third."], 99, seed=0)
    assert [json.loads(json.dumps(row)) for row in rows] == rows
    assert all(list(row) == ["task", "text", "principles", "answer"] for row in rows)
    assert {row["answer"] for row in rows} == {
        "EDIT: yes or no",
        "EDIT: [k] new sentence, or none",
    }
    exemplars = [Exemplar(r["task"], r["text"], tuple(r["principles"]), r["answer"]) for r in rows]
    refused = {problem.line for problem in check_skills(exemplars, PRINCIPLES, PROMPTS)}
    assert refused >= set(range(1, len(rows) + 1))


def test_the_order_of_the_texts_does_not_decide_their_task():
    texts = [f"{'good' if i % 2 else 'bad'} {i}" for i in range(40)]
    rows = draft_skills(PRINCIPLES, PROMPTS, texts, 40, seed=0)
    for task in ("rate", "revise"):
        assert {row["text"].split()[0] for row in rows if row["task"] == task} == {"good", "bad"}
    assert rows == draft_skills(PRINCIPLES, PROMPTS, texts, 40, seed=0)
    assert rows != draft_skills(PRINCIPLES, PROMPTS, texts, 40, seed=1)


def test_no_document_means_no_draft():
    with pytest.raises(InputProblem, match="no document"):
        draft_skills(PRINCIPLES, PROMPTS, [], 4, seed=0)


@given(
    names=st.integers(1, 5),
    texts=st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=12),
    count=st.integers(0, 60),
    seed=st.integers(0, 5),
)
def test_drafts_never_repeat_and_stay_balanced(names, texts, count, seed):
    principles = SimpleNamespace(principles=[SimpleNamespace(id=f"p{i}") for i in range(names)])
    rows = draft_skills(principles, PROMPTS, texts, count, seed)
    assert len(rows) == min(count, len(set(texts)) * 2 * names)
    assert len(distinct(rows)) == len(rows)
    tasks = [row["task"] for row in rows]
    assert abs(tasks.count("rate") - tasks.count("revise")) <= 1
