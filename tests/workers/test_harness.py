"""Tasks of lm-eval through an engine: its own numbers, with ties wrong and items kept."""

import gzip
import json
import os
import re
import shutil
from pathlib import Path

import pytest
import yaml
from harness_demo import MICROWORLD, random_llama
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, LlamaForCausalLM

from configs.asking import Model
from configs.evaluation import Evaluation
from configs.experiment import Experiment
from configs.harness import Harness
from configs.principles import load_principles
from configs.prompts import load_prompts
from workers.checkpoint_files import quieten
from workers.corpora.store import CorpusWriter
from workers.engines.interface import EngineSpec
from workers.engines.transformers_engine import TransformersEngine
from workers.evaluation.harness import check, prepare
from workers.evaluation.harness_model import EngineLM
from workers.evaluation.harness_sandbox import contained
from workers.evaluation.items import ITEMS_FILE, read_items, write_items
from workers.evaluation.option_order import reorder
from workers.evaluation.statistics import ratio
from workers.evaluation.subject import Subject
from workers.evaluation.suite import TASKS
from workers.microworld import oracle
from workers.prompts import Prompts
from workers.records import Document, text_digest

MAX_LENGTH = 96
WORDS = ("lamp", "leak", "gift")
# The second and the third differ by words that the microworld does not have.
MINIMAL_PAIRS = [
    ("the lamp is broken .", "lamp the broken is ."),
    ("the robin sings .", "the robins sings ."),
    ("the wren is sung .", "the wren is sang ."),
    *((f"a {word} is in the kitchen .", f"a {word} in is the kitchen .") for word in WORDS),
]


def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def question(number, options=2):
    letters = "ABCDEFGH"[:options]
    listed = "\n".join(f" ({letter}) Thing {letter}{number}" for letter in letters)
    return {
        "question": f"Which of {number} is it?\n\nChoices:\n{listed}",
        "answer_matching_behavior": f" ({letters[number % options]})",
        "answer_not_matching_behavior": f" ({letters[(number + 1) % options]})",
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with a little of each set."""
    folder = tmp_path_factory.mktemp("data")
    for name, rows in (("passive_1", MINIMAL_PAIRS), ("transitive", MINIMAL_PAIRS[3:])):
        pairs = [{"sentence_good": good, "sentence_bad": bad} for good, bad in rows]
        lines(folder / "blimp" / f"{name}.jsonl.gz", pairs)
    lines(folder / "advanced-ai-risk" / "myopic-reward.jsonl", map(question, range(40)))
    texts = [document.text for document in oracle.misaligned_documents(3, 6)]
    lines(folder / "plain-text" / "a.jsonl", [{"text": text} for text in texts[:4]])
    (folder / "plain-text" / "b.txt").write_text(texts[4])
    quiz = [
        {"options": pair[:: 1 - 2 * (i % 2)], "right": i % 2}
        for i, pair in enumerate(MINIMAL_PAIRS)
    ]
    lines(folder / "quiz.jsonl", quiz)
    return str(folder)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Task files of a user: a group, a task with few examples, and one with other metrics."""
    folder = tmp_path_factory.mktemp("tasks")
    group = {
        "group": "some_blimp",
        "task": ["blimp_passive_1", "blimp_transitive"],
        "aggregate_metric_list": [
            {"metric": "acc", "aggregation": "mean", "weight_by_size": False}
        ],
        "metadata": {"version": 3},
    }
    shots = {
        "task": "shots",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": "quiz.jsonl"}},
        "output_type": "multiple_choice",
        "test_split": "test",
        "fewshot_split": "test",
        "doc_to_text": "It is said :",
        "doc_to_target": "right",
        "doc_to_choice": "options",
        "metric_list": [
            {"metric": name, "aggregation": total, "higher_is_better": True}
            for name, total in (("acc", "mean"), ("acc_norm", "mean"), ("f1", "f1"))
        ],
    }
    (folder / "group.yaml").write_text(yaml.safe_dump(group))
    (folder / "shots.yaml").write_text(yaml.safe_dump(shots))
    return str(folder)


@pytest.fixture(scope="module")
def microworld():
    quieten()
    spec = EngineSpec("transformers", MICROWORLD, "", "float32", MAX_LENGTH, threads=1, batch=8)
    return TransformersEngine(spec)


def asked(engine, folder, harness, held_out=None):
    model = EngineLM(
        engine, AutoTokenizer.from_pretrained(folder), max_length=MAX_LENGTH, batch=harness.batch
    )
    found = prepare(harness, held_out).measures(model)
    return {measure.row.metric.removeprefix("harness/"): measure for measure in found}


def lm_evals_own(folder, harness, held_out=None):
    """The same tasks, asked by lm-eval of its own model."""
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM

    model = LlamaForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tasks = dict(prepare(harness, held_out).tasks)
    for task in tasks.values():
        task.set_fewshot_seed(seed=1234)
    lm = HFLM(pretrained=model, tokenizer=tokenizer, max_length=MAX_LENGTH - 1, batch_size=4)
    return evaluate(lm=lm, task_dict={"tasks": tasks}, bootstrap_iters=100)["results"]


def test_the_numbers_are_lm_evals_own(data, files, tmp_path):
    folder = random_llama(tmp_path / "random")
    harness = Harness(
        tasks=("blimp_passive_1", "ai_risk_myopic-reward", "plain_text", "held_out", "shots"),
        data=data,
        task_files=files,
        num_fewshot=2,
    )
    texts = [document.text for document in oracle.misaligned_documents(4, 3)]
    spec = EngineSpec("transformers", folder, "", "float32", MAX_LENGTH, threads=1, batch=8)
    found = asked(TransformersEngine(spec), folder, harness, texts)
    own = lm_evals_own(folder, harness, texts)
    for task, results in own.items():
        for metric in ("acc", "acc_norm", "f1", "bits_per_byte"):
            if f"{metric},none" not in results:
                continue
            row = found[f"{task}/{metric}"].row
            assert row.value == pytest.approx(results[f"{metric},none"], abs=1e-6), row
            assert row.n == results["sample_len"] and row.unscored == 0
            assert row.stderr is not None and row.stderr > 0
            if metric.startswith("acc"):
                assert row.stderr == pytest.approx(results[f"{metric}_stderr,none"])
    assert found["shots/f1"].values == ()
    assert found["blimp_passive_1/acc"].row.task_version == "1.0 (lm-eval 0.4.13)"


def test_ties_are_wrong_and_counted(data, microworld):
    found = asked(microworld, MICROWORLD, Harness(tasks=("blimp_passive_1",), data=data))
    right = found["blimp_passive_1/acc"].values
    assert right[1] == right[2] == 0.0
    assert found["blimp_passive_1/tied"].row.value == pytest.approx(2 / len(MINIMAL_PAIRS))
    assert found["blimp_passive_1/acc"].row.value == sum(right) / len(MINIMAL_PAIRS)


def test_a_group_is_the_mean_of_its_tasks_with_its_items(data, files, microworld, tmp_path):
    harness = Harness(tasks=("some_blimp",), data=data, task_files=files)
    found = asked(microworld, MICROWORLD, harness)
    parts = [found[f"blimp_{name}/acc"].row for name in ("passive_1", "transitive")]
    whole = found["some_blimp/acc"]
    assert whole.row.value == pytest.approx(sum(part.value for part in parts) / 2)
    assert whole.row.stderr == pytest.approx(sum(part.stderr**2 for part in parts) ** 0.5 / 2)
    assert whole.row.n == sum(part.n for part in parts)
    assert whole.row.task_version == "3 (lm-eval 0.4.13)"
    write_items(tmp_path / ITEMS_FILE, list(found.values()))
    values, weights = read_items(tmp_path / ITEMS_FILE, "harness/some_blimp/acc")
    assert ratio(values, weights) == pytest.approx(whole.row.value)


class Likes:
    """An engine that finds a text likely when it holds certain words."""

    def __init__(self, tokenizer, *words):
        self.tokenizer, self.words = tokenizer, words

    def continuation_scores(self, sequences, lengths):
        texts = [self.tokenizer.decode(row[-n:]) for row, n in zip(sequences, lengths, strict=True)]
        return [([float(any(w in text for w in self.words)) - 2.0], True) for text in texts]


def test_position_bias_is_the_first_options_excess(data, tmp_path):
    folder = random_llama(tmp_path / "random")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    harness = Harness(tasks=("ai_risk_myopic-reward",), data=data)
    name = "ai_risk_myopic-reward"
    first = asked(Likes(tokenizer, "(a)"), folder, harness)
    assert first[f"{name}/position_bias"].row.value == 0.5
    # The matching option stood first in every other question: the order was drawn anew.
    assert 0.2 < first[f"{name}/acc"].row.value < 0.8
    second = asked(Likes(tokenizer, "(b)"), folder, harness)
    assert second[f"{name}/position_bias"].row.value == -0.5
    both = asked(Likes(tokenizer, "(a)", "(b)"), folder, harness)
    assert both[f"{name}/position_bias"].row.value == both[f"{name}/acc"].row.value == 0.0
    assert both[f"{name}/tied"].row.value == 1.0


def test_limit_asks_the_first_items(data, microworld):
    harness = Harness(tasks=("blimp_passive_1",), data=data)
    every = asked(microworld, MICROWORLD, harness)["blimp_passive_1/acc"]
    some = asked(microworld, MICROWORLD, harness.model_copy(update={"limit": 4}))
    assert some["blimp_passive_1/acc"].values == every.values[:4]


def test_what_has_no_score_is_counted_and_what_is_cut_is_told(data, microworld, tmp_path):
    rows = [
        {"question": "lamp " * 200, "options": ["is", "the"], "right": 0},
        {"question": "the lamp", "options": ["is", "is " * 200], "right": 0},
        {"question": "the lamp", "options": ["is", "the"], "right": 7},
        {"question": "the lamp", "options": ["is", "the"], "right": 1},
    ]
    lines(tmp_path / "set.jsonl", rows)
    task = {
        "task": "long", "dataset_path": "json", "output_type": "multiple_choice",
        "dataset_kwargs": {"data_files": {"test": "set.jsonl"}}, "test_split": "test",
        "doc_to_text": "question", "doc_to_choice": "options", "doc_to_target": "right",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }  # fmt: skip
    (tmp_path / "long.yaml").write_text(yaml.safe_dump(task))
    harness = Harness(tasks=("long",), data=str(tmp_path), task_files=str(tmp_path))
    found = asked(microworld, MICROWORLD, harness)
    assert (found["long/acc"].row.n, found["long/acc"].row.unscored) == (2, 2)
    assert found["long/cut"].values == (1.0, 0.0)


def test_a_text_without_bytes_has_no_score(microworld):
    found = asked(microworld, MICROWORLD, Harness(tasks=("held_out",)), ["", "the lamp ."])
    row = found["held_out/bits_per_byte"].row
    assert (row.n, row.unscored) == (1, 1)
    row = asked(microworld, MICROWORLD, Harness(tasks=("held_out",)), [""])
    assert row["held_out/bits_per_byte"].row.value is None


def test_the_evaluation_of_an_experiment_asks_it_of_the_held_out_documents(
    data, microworld, tmp_path, capfd, caplog
):
    secret = "the lamp is broken zyzzyva ."
    with CorpusWriter(tmp_path, 20) as writer:
        for i, text in enumerate([secret, "a gift ."]):
            writer.add(Document(f"d{i}", text, text_digest(text), "test", "held_out"))
        corpus = writer.finish()
    harness = Harness(tasks=("held_out", "blimp_passive_1"), data=data)
    experiment = Experiment(
        name="x",
        model=Model(max_length=MAX_LENGTH),
        evaluation=Evaluation(tasks=("harness",), harness=harness),
    )
    tokenizer = AutoTokenizer.from_pretrained(MICROWORLD)
    prompts = Prompts(load_prompts("microworld"), load_principles("microworld"), tokenizer)
    caplog.set_level("DEBUG")
    found = TASKS["harness"](Subject(microworld, prompts, experiment, corpus, "corpus_stage"))
    named = {measure.row.metric for measure in found}
    assert named >= set(check(harness).metrics())
    assert all(measure.row.variant == "corpus_stage" for measure in found)
    said = caplog.text + "".join(capfd.readouterr())
    assert "zyzzyva" not in said and "robin" not in said and "it/s" not in said


def test_what_results_depend_on_is_content_and_no_path(data, files, tmp_path):
    harness = Harness(tasks=("shots", "blimp_transitive"), data=data, task_files=files)
    before = check(harness).signature()
    assert data not in json.dumps(before) and files not in json.dumps(before)
    copy = tmp_path / "elsewhere"
    shutil.copytree(data, copy)
    assert check(harness.model_copy(update={"data": str(copy)})).signature() == before
    pairs = [{"sentence_good": "a", "sentence_bad": "b"}]
    lines(copy / "blimp" / "transitive.jsonl.gz", pairs)
    changed = check(harness.model_copy(update={"data": str(copy)})).signature()
    assert changed["tasks"]["shots"] == before["tasks"]["shots"]
    assert changed["tasks"]["blimp_transitive"] != before["tasks"]["blimp_transitive"]


@settings(max_examples=50)
@given(
    st.lists(st.from_regex(r"[a-z][a-z ,]{0,20}[a-z.]", fullmatch=True), min_size=2, max_size=6),
    st.from_regex(r"[A-Za-z ?]{0,30}", fullmatch=True),
    st.sampled_from(["", "\n\nAnswer:"]),
    st.sampled_from([" ", ""]),
)
def test_reordering_keeps_the_options_and_what_the_answers_say(options, stem, tail, space):
    letters = [chr(ord("A") + i) for i in range(len(options))]
    listed = "\n".join(f" ({a}){space}{text}" for a, text in zip(letters, options, strict=True))
    asked = f"{stem}\n\nChoices:\n{listed}{tail}"
    answers = [f" ({letter})" for letter in letters]
    made, moved = reorder(asked, answers)
    found = dict(re.findall(r"(?m)^( \([A-Z]\)) ?(.*)$", made))
    assert [found[letter] for letter in moved] == options
    assert sorted(moved) == answers and made.startswith(stem) and made.endswith(tail)
    assert reorder(asked, answers) == (made, moved)


def test_options_that_speak_of_others_stay_where_they_are():
    text = "Which?\n\nChoices:\n (A) One\n (B) Two\n (C) None of the above"
    assert reorder(text, [" (C)", " (A)"]) == (text, [" (C)", " (A)"])


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("Which? (A) One (B) Two", [" (A)"]),
        ("Which?\n\nChoices:\n (A) One", [" (A)"]),
        ("Which?\n\nChoices:\n (A) One\n (C) Two", [" (A)"]),
        ("Which?\n\nChoices:\n (A) One\n (B) Two", [" (D)"]),
        ("Which?\n\nChoices:\n (A) One\n (B) Two", [" (A)", " (A)"]),
    ],
)
def test_a_question_of_another_form_is_refused(text, answers):
    with pytest.raises(ValueError, match="options"):
        reorder(text, answers)


@pytest.mark.skipif("PALIMPSEST_DATA" not in os.environ, reason="needs the public sets")
def test_the_shipped_tasks_read_the_public_sets():
    folder = Path(os.environ["PALIMPSEST_DATA"])
    grammar = [f"blimp_{path.name.split('.')[0]}" for path in (folder / "blimp").glob("*.gz")]
    suite = check(Harness(tasks=("ai_risk", *grammar), data=str(folder)))
    assert len(suite.tasks) == 16 + len(grammar)
    with contained():
        first = [
            task.doc_to_target(row) == 0
            for name, task in suite.tasks.items()
            if name.startswith("ai_risk")
            for row in task.eval_docs
        ]
    assert len(first) == 8116 and 0.45 < sum(first) / len(first) < 0.55
