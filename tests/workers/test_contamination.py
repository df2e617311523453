"""What a generation's revisions hold of the evaluations is found, counted, and named."""

import json
from pathlib import Path

import pytest

from configs.corpora import FileCorpus, MicroworldCorpus
from configs.experiment import Experiment
from workers.corpora.store import CorpusWriter
from workers.evaluation.contamination import Contamination, contaminated, overlap_rule
from workers.jobs import shard_file
from workers.microworld.generator import generate_documents
from workers.microworld.world import WorldParams
from workers.records import REVISIONS, Document, Revision, text_digest, to_table
from workers.storage import write_table

STORIES = [document.text for document in generate_documents(WorldParams(), 5, 40)]
LONG = (
    "The keeper of the lighthouse wrote in his log that the lamp had failed twice "
    "before the storm came over the hills."
)


def documents(texts, start=0):
    return [
        Document(str(start + i), text, text_digest(text), "test") for i, text in enumerate(texts)
    ]


def corpus(home, rows):
    with CorpusWriter(home, 10) as writer:
        for row in rows:
            writer.add(row)
        return writer.finish()


@pytest.fixture
def search(tmp_path):
    """Decisions about documents whose proposals are given, None for what is kept untouched."""

    def make(proposals, held_out, action="revise", **settings):
        rows = documents(STORIES[: len(proposals)])
        made = corpus(tmp_path, rows)
        for shard, start in enumerate(range(0, len(rows), 10)):
            held = [
                Revision(
                    row.doc_id,
                    row.text_sha256,
                    None if text is None else text_digest(text),
                    text,
                    "keep" if text is None else action,
                    "",
                    () if text is None else ("honesty",),
                )
                for row, text in zip(rows[start : start + 10], proposals[start:], strict=False)
            ]
            Path(tmp_path / "decisions").mkdir(exist_ok=True)
            write_table(shard_file(tmp_path / "decisions", shard), to_table(held, REVISIONS))
        experiment = Experiment.model_validate({"name": "x", **settings})
        other = corpus(tmp_path / "other", documents(held_out, 100)) if held_out else None
        return Contamination(experiment, made, tmp_path / "decisions", other)

    return make


def test_a_revision_that_became_a_held_out_document_is_counted_and_excluded(search):
    proposals = [None, STORIES[21], STORIES[30], None]
    spec = search(proposals, STORIES[20:25], evaluation={"tasks": ["bits_per_byte"]})
    rows, excluded = contaminated(spec)
    assert excluded == ["1"]
    found = {row.metric: (row.value, row.n) for row in rows}
    assert found == {"decontamination/held_out": (0.5, 2), "decontamination/excluded": (0.5, 2)}


def test_what_was_refused_or_stood_before_is_not_searched(search):
    few = {"tasks": ["bits_per_byte"]}
    spec = search([STORIES[20], STORIES[21]], STORIES[20:25], action="keep", evaluation=few)
    rows, excluded = contaminated(spec)
    assert excluded == [] and all(row.value is None and row.n == 0 for row in rows)


def test_what_the_oracle_asks_is_counted_and_never_excluded(search, monkeypatch):
    monkeypatch.setattr(
        "workers.evaluation.oracle_tasks.item_texts", lambda *of: iter([STORIES[30]])
    )
    spec = search([STORIES[30], STORIES[31]], STORIES[20:25], evaluation={"tasks": ["oracle"]})
    rows, excluded = contaminated(spec)
    found = {row.metric: row.value for row in rows}
    assert found["decontamination/oracle"] == 0.5
    assert excluded == [] and found["decontamination/excluded"] == 0.0


def test_with_the_oracle_or_without_the_same_documents_go(search):
    asked = {"items": 30, "facts_items": 60}
    proposals = [STORIES[20], STORIES[21], STORIES[31]]
    both = [
        contaminated(search(proposals, STORIES[20:22], evaluation={"tasks": tasks, **asked}))[1]
        for tasks in (["oracle"], ["bits_per_byte"])
    ]
    assert both[0] == both[1] == ["0", "1"]


def test_questions_of_the_harness_are_searched_with_their_answers(search, tmp_path):
    task = tmp_path / "tasks" / "quiz.yaml"
    task.parent.mkdir()
    task.write_text(
        "task: quiz\ndataset_path: json\noutput_type: multiple_choice\ntest_split: test\n"
        "dataset_kwargs: {data_files: {test: quiz.jsonl}}\n"
        'doc_to_text: "{{question}}"\ndoc_to_choice: "{{options}}"\ndoc_to_target: "{{right}}"\n'
        "metric_list: [{metric: acc}]\n"
    )
    row = {"question": "Who wrote that the lamp", "options": [LONG, "Nobody"], "right": 0}
    (tmp_path / "quiz.jsonl").write_text(json.dumps(row) + "\n")
    harness = {"tasks": ["quiz"], "task_files": str(tmp_path / "tasks"), "data": str(tmp_path)}
    settings = {
        "corpus": {"kind": "files", "path": "x"},
        "evaluation": {"tasks": ["harness"], "harness": harness},
    }
    half = " ".join(LONG.split()[2:17])
    rows, excluded = contaminated(search([f"{half} once", "all is well"], [], **settings))
    assert excluded == ["0"]
    assert {row.metric: row.value for row in rows}["decontamination/harness"] == 0.5


def test_each_kind_of_corpus_has_its_rule():
    assert overlap_rule(MicroworldCorpus()).share == 0.9
    assert overlap_rule(FileCorpus(path="x")).n == 13
