"""What lm-eval could not ask, or should not run, is refused by name before any model is asked."""

import json

import datasets
import pytest
import yaml
from datasets import Dataset, DatasetDict
from datasets import config as datasets_config
from huggingface_hub import constants

from configs.harness import Harness
from configs.loading import ConfigProblem
from workers.evaluation.harness import check
from workers.evaluation.harness_files import members
from workers.problems import InputProblem

ROWS = [{"text": "it is", "options": ["so", "not so"], "right": i % 2} for i in range(4)]
TASK = {
    "task": "mine",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "mine.jsonl"}},
    "output_type": "multiple_choice",
    "test_split": "test",
    "doc_to_text": "{{text}} :",
    "doc_to_target": "right",
    "doc_to_choice": "options",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets_config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets_config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    """A folder with a task file and its data."""
    write(tmp_path)
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def write(folder, name="mine.yaml", without=(), **fields):
    said = {key: value for key, value in (TASK | fields).items() if key not in without}
    (folder / name).write_text(yaml.safe_dump(said))


def refused(folder, *words, task="mine", **settings):
    given = {"tasks": (task,), "task_files": str(folder), "data": str(folder)} | settings
    with pytest.raises((InputProblem, ConfigProblem)) as caught:
        check(Harness(**given), held_out=False)
    said = str(caught.value)
    assert said.startswith("evaluation.harness.") or folder.name in said
    for word in words:
        assert word in said, said


def test_a_task_that_is_right_is_not_refused(folder):
    suite = check(Harness(tasks=("mine",), task_files=str(folder), data=str(folder)))
    assert suite.metrics() == ("harness/mine/acc",)


@pytest.mark.parametrize("tag", ["!function utils.process", "!!python/object/apply:os.getcwd []"])
def test_a_tag_that_would_run_code_is_refused_and_not_run(folder, tag):
    (folder / "coded.yaml").write_text(f"task: coded\ndoc_to_text: {tag}\n")
    refused(folder, "coded.yaml", "would run code", "Take it out", tag.split()[0].lstrip("!"))
    (folder / "coded.yaml").rename(folder / "_coded")
    write(folder, include="_coded")
    refused(folder, "_coded", "would run code")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"process_docs": "utils.f"}, ("mine.yaml", "'process_docs' would run code")),
        ({"class": "Mine"}, ("'class' would run code",)),
        ({"use_prompt": "promptsource:x"}, ("'use_prompt' would run code",)),
        ({"unsafe_code": True}, ("'unsafe_code' would run code",)),
        ({"doc_to_txt": "x"}, ("'doc_to_txt'", "Did you mean 'doc_to_text'")),
        (
            {"dataset_kwargs": {"trust_remote_code": True, "data_files": {"test": "mine.jsonl"}}},
            ("'mine'", "trust_remote_code", "Take the field out"),
        ),
        (
            {"metric_list": [{"metric": "rouge", "aggregation": "mean"}]},
            ("'mine'", "'rouge'", "fetched from the hub and run"),
        ),
        (
            {"metric_list": [{"metric": "acc", "hf_evaluate": True, "aggregation": "mean"}]},
            ("'acc'", "fetched from the hub and run"),
        ),
        (
            {"metric_list": [{"metric": "acc_nrm", "aggregation": "mean"}]},
            ("Did you mean 'acc_norm'",),
        ),
        ({"metric_list": [{"metric": "acc", "aggregation": "meen"}]}, ("'meen'", "'mean'")),
        (
            {"metric_list": [{"metric": "bits_per_byte", "aggregation": "bits_per_byte"}]},
            ("'bits_per_byte' has no value", "multiple_choice", "metric_list"),
        ),
        ({"metric_list": [{"metric": "/x/y", "aggregation": "mean"}]}, ("fetched from the hub",)),
        ({"metric_list": [{"metric": "acc", "aggregation": "/x"}]}, ("no aggregation '/x'",)),
        ({"metric_list": ["acc"]}, ("mine.yaml", "'metric_list' is not a list of mappings")),
        ({"metadata": 1}, ("'metadata' is not a mapping", "version")),
        ({"output_type": "generate_until"}, ("'mine'", "generate_until", "Take it out")),
        ({"dataset_path": "pandas"}, ("'pandas' is no set on the hub", "dataset_path: json")),
        ({"dataset_path": "some/set"}, ("'some/set'", "offline (HF_HUB_OFFLINE)", "harness.data")),
        ({"dataset_path": "./set"}, ("'./set' is no set on the hub", "dataset_path: json")),
        (
            {"dataset_kwargs": {"data_files": {"test": "https://host/a.jsonl"}}},
            ("'https://host/a.jsonl'", "Fetch the file"),
        ),
        (
            {"dataset_kwargs": {"data_files": {"test": "minee.jsonl"}}},
            ("data of 'mine' is missing", "'minee.jsonl'"),
        ),
        ({"test_split": "tset"}, ("'mine'", "data_files", "'tset'")),
        ({"doc_to_text": "{{txet}}"}, ("mine.jsonl:1", "no column 'txet'", "Did you mean 'text'")),
        ({"doc_to_target": "rihgt"}, ("no column 'rihgt'", "Did you mean 'right'")),
        ({"doc_to_text": "{{text"}, ("'mine'", "doc_to_text is no template")),
        ({"doc_to_choice": "{{text}}"}, ("'mine' cannot be set up (SyntaxError)", "Mend")),
        ({"metadata": {"shuffle": "text"}}, ("no column 'answer_matching_behavior'", "Mend")),
    ],
)
def test_a_task_file_is_refused_by_name_with_the_fix(folder, fields, words):
    write(folder, **fields)
    refused(folder, *words)


def test_a_template_reaches_no_code(folder):
    write(folder, doc_to_text="{{ text.__class__.__mro__[1].__subclasses__() }}")
    refused(folder, "'mine' cannot be set up (SecurityError", "unsafe")


def test_python_beside_the_task_files_is_refused(folder):
    (folder / "utils.py").write_text("raise SystemExit\n")
    refused(folder, "evaluation.harness.task_files", "utils.py", "Take it out")


def test_includes_stay_in_the_folder_and_end(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "base"
    other.write_text("output_type: multiple_choice\n")
    for name in (str(other), "mine.yaml", "../base"):
        write(folder, include=name)
        refused(folder, "included from outside the folder, or by itself")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("task: [", ("broken.yaml", "not a YAML file")),
        ("- a\n", ("broken.yaml", "mapping")),
        ("output_type: multiple_choice\n", ("broken.yaml", "no `task`")),
        ("task: mine\n", ("'mine' is defined twice", "Rename")),
        ("task: blimp_passive_1\n", ("'blimp_passive_1'", "shipped", "another")),
        (
            "group: several\ntask: [{task: mine, num_fewshot: 3}]\n",
            ("broken.yaml", "list of names"),
        ),
    ],
)
def test_a_file_that_is_no_task_file_is_named(folder, text, words):
    (folder / "broken.yaml").write_text(text)
    refused(folder, *words)


def test_a_group_s_metric_that_its_tasks_lack_is_refused(folder):
    means = [{"metric": "acc_norm", "aggregation": "mean"}]
    group = {"group": "both", "task": ["mine"], "aggregate_metric_list": means}
    (folder / "group.yaml").write_text(yaml.safe_dump(group))
    refused(folder, "group 'both'", "'acc_norm' has no value", task="both")


@pytest.mark.parametrize("member", [{"task": "a", "num_fewshot": 3}, {"task": "new", "x": 1}])
def test_a_group_of_lm_evals_that_changes_a_task_is_not_asked_without_the_change(member):
    index = {"all": {"group": "all", "task": [{"task": "a"}, member]}, "a": {"task": "a"}}
    with pytest.raises(InputProblem, match="'all' defines or changes a task in place"):
        list(members(index, "all"))


def test_a_group_in_itself_is_refused(folder):
    for one, other in (("a", "b"), ("b", "a")):
        (folder / f"{one}.yaml").write_text(f"group: {one}\ntask: [{other}]\n")
    refused(folder, "'a' is a member of itself", task="a")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], ("data of 'mine' is empty", "take the task out")),
        ([ROWS[0], {"text": "it is", "options": ["so"]}], ("mine.jsonl:2", "no column 'right'")),
        ([ROWS[0], ROWS[1] | {"right": None}], ("mine.jsonl:2", "nothing in column 'right'")),
        ([ROWS[0], ROWS[1] | {"right": "no"}], ("values of several types", "one type")),
        (["text"], ("mine.jsonl", "not an object")),
    ],
)
def test_data_that_cannot_be_used_is_named(folder, rows, words):
    (folder / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    refused(folder, *words)


def test_files_need_a_folder_and_the_folder_must_stand(folder):
    refused(folder, "evaluation.harness.data", "'mine' reads files", data="hub")
    refused(folder, "no folder here", data=str(folder / "none"))
    refused(folder, "evaluation.harness.task_files", "no folder", task_files=str(folder / "none"))
    refused(folder, "NOT_SET", "environment variable", data="${NOT_SET}/x")


def test_examples_of_a_tasks_own_questions_are_refused(folder):
    refused(folder, "evaluation.harness.num_fewshot", "fewshot_split", num_fewshot=1)
    write(folder, fewshot_split="test")
    check(Harness(tasks=("mine",), task_files=str(folder), data=str(folder), num_fewshot=1))


def test_no_task_and_no_held_out_documents_are_refused(folder):
    refused(folder, "names no task", tasks=())
    refused(folder, "'held_out'", "intake.held_out_share", tasks=("held_out",))


def test_shipped_sets_that_are_missing_are_named(folder):
    refused(folder, "'blimp_adjunct_island' is missing", "blimp/adjunct_island", task="blimp")
    refused(folder, "'nyu-mll/blimp'", "offline", task="blimp", data="hub")
    for name in ("passive_1.jsonl", "passive_1.jsonl.gz"):
        (folder / "blimp").mkdir(exist_ok=True)
        (folder / "blimp" / name).touch()
    refused(folder, "passive_1.jsonl, passive_1.jsonl.gz", "Leave one", task="blimp_passive_1")


def test_lm_evals_own_tasks_are_known_and_unknown_names_get_near_ones(folder):
    refused(folder, "no task 'hellaswagg'", "Did you mean 'hellaswag'", task="hellaswagg")
    refused(folder, "'arc_easy' cannot be set up while this program is offline", task="arc_easy")
    refused(folder, "'humaneval'", "generate_until", task="humaneval")
    (folder / "group.yaml").write_text("group: both\ntask: [mine, arc_esy]\n")
    refused(folder, "no task 'arc_esy' (named in group 'both')", "'arc_easy'", task="both")


def test_lm_evals_own_tasks_are_set_up_with_lm_evals_own_code(monkeypatch):
    row = {"ctx_a": "It is", "ctx_b": "so", "activity_label": "Being", "endings": ["a", "b"],
           "label": "1"}  # fmt: skip
    splits = DatasetDict({name: Dataset.from_list([row] * 2) for name in ("train", "validation")})
    monkeypatch.setattr(datasets, "load_dataset", lambda **_: splits)
    suite = check(Harness(tasks=("hellaswag",)))
    assert suite.metrics() == ("harness/hellaswag/acc", "harness/hellaswag/acc_norm")
    assert suite.tasks["hellaswag"].eval_docs[0]["query"] == "Being: It is So"
