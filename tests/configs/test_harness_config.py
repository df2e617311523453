"""The harness section: closed, frozen, and with every shipped task in order."""

from pathlib import Path

import pytest
import yaml

from configs.loading import ConfigProblem, parse

TASKS = Path(__file__).parents[2] / "configs" / "tasks"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"taks": ["blimp"]}, ("evaluation.harness.taks", "Did you mean 'tasks'")),
        ({"limit": 0}, ("evaluation.harness.limit", "greater than or equal to 1")),
        ({"num_fewshot": -1}, ("evaluation.harness.num_fewshot", "-1")),
        ({"batch": "many"}, ("evaluation.harness.batch", "'many'")),
        ({"tasks": "blimp"}, ("evaluation.harness.tasks", "'blimp'")),
    ],
)
def test_a_wrong_field_is_named(fields, words):
    with pytest.raises(ConfigProblem) as caught:
        parse({"name": "x", "evaluation": {"harness": fields}})
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_the_harness_is_an_evaluation():
    harness = {"tasks": ["blimp", "held_out"], "limit": 50}
    found = parse({"name": "x", "evaluation": {"tasks": ["harness"], "harness": harness}})
    assert found.evaluation.harness.tasks == ("blimp", "held_out")
    assert found.evaluation.harness.data == "hub"


def test_the_shipped_tasks_are_data_with_a_version_and_no_path():
    files = [path for path in TASKS.rglob("*") if path.is_file()]
    assert len([path for path in files if path.parent.name == "blimp"]) == 67 + 2
    assert len([path for path in files if path.parent.name == "ai-risk"]) == 16 + 1
    for path in files:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert "include" in fields or fields["metadata"]["version"], path
        local = (fields.get("metadata") or {}).get("local", "")
        assert not Path(local).is_absolute() and ".." not in local
    group = yaml.safe_load((TASKS / "blimp" / "_group.yaml").read_text(encoding="utf-8"))
    names = {f"blimp_{path.stem}" for path in (TASKS / "blimp").glob("*.yaml")} - {"blimp__group"}
    assert set(group["task"]) == names
