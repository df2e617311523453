"""Task files of lm-eval: read as data, and refused where they would run code.

lm-eval imports what a `!function` tag names, fetches and runs metrics that it does not know, and
renders templates that reach all of Python. Its own package may do so; a user's file may not.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from configs.harness import Harness
from configs.loading import SHIPPED, ConfigProblem, expand_path, read_yaml
from workers.problems import InputProblem

TASKS_FIELD, FILES_FIELD = "evaluation.harness.tasks", "evaluation.harness.task_files"
SHIPPED_TASKS = SHIPPED / "tasks"
PLAIN_TAGS = tuple(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map")
)
# What a file may say. All else either runs code (`class`, `custom_dataset`, `process_docs`,
# `process_results`, `use_prompt`, `unsafe_code`) or is for tasks that generate.
TASK_KEYS = frozenset({
    "task", "task_alias", "tag", "dataset_path", "dataset_name", "dataset_kwargs", "training_split",
    "validation_split", "test_split", "fewshot_split", "fewshot_config", "doc_to_text",
    "doc_to_target", "doc_to_choice", "description", "target_delimiter", "fewshot_delimiter",
    "num_fewshot", "metric_list", "output_type", "gen_prefix", "should_decontaminate",
    "doc_to_decontamination_query", "metadata",
})  # fmt: skip
GROUP_KEYS = frozenset({"group", "group_alias", "task", "aggregate_metric_list", "metadata", "tag"})
RUN_CODE = frozenset({"class", "custom_dataset", "process_docs", "process_results", "use_prompt",
                      "unsafe_code"})  # fmt: skip
SHAPES = {
    "dataset_kwargs": (dict, "a mapping, such as {data_files: {test: file.jsonl}}"),
    "metadata": (dict, "a mapping, such as {version: 1}"),
    "metric_list": (list, "a list of mappings, such as [{metric: acc, aggregation: mean}]"),
    "aggregate_metric_list": (list, "a list of mappings, such as [{metric: acc}]"),
}
SCORED = ("loglikelihood", "multiple_choice", "loglikelihood_rolling")


class NoSuchTask(InputProblem):
    """A name that no task, group or tag has."""


Definitions = dict[str, dict[str, Any]]


def definitions(harness: Harness) -> Definitions:
    """Tasks and groups of the shipped files and of `task_files`, by name, with includes merged.

    Raises:
        InputProblem: a file would run code, names a task twice, or is no task file.
        ConfigProblem: a file is not a YAML mapping, or a path's variable is not set.
    """
    found = _folder(SHIPPED_TASKS)
    if harness.task_files is None:
        return found
    folder = expand_path(harness.task_files, FILES_FIELD)
    if not folder.is_dir():
        raise InputProblem(
            f"{FILES_FIELD}: {harness.task_files!r} is no folder here. Check the spelling, or "
            "leave it out to use the shipped tasks and lm-eval's own alone."
        )
    code = next(folder.rglob("*.py"), None)
    if code is not None:
        raise InputProblem(
            f"{FILES_FIELD}: {code.name} is Python, which task files could run. Take it out of "
            "the folder; templates, shipped metrics and `data_files` do without code."
        )
    own = _folder(folder)
    for name in sorted(own.keys() & found.keys()):
        raise InputProblem(
            f"{FILES_FIELD}: {name!r} is the name of a shipped task. Give yours another one, so "
            "that a metric's name means one thing."
        )
    return found | own


def members(
    index: Mapping[str, Mapping[str, Any]], name: str, above: tuple[str, ...] = ()
) -> Iterator[str]:
    """Yield the names of the tasks that a task, group or tag comes to.

    Args:
        index: the fields of every task and group, by name.
        name: one of them, or a tag.
        above: groups that it was found in.

    Raises:
        NoSuchTask: nothing has that name.
        InputProblem: a group is in itself, or defines or changes a task in place.
    """
    fields = index.get(name)
    if fields is None:
        tagged = sorted(each for each, other in index.items() if name in _tags(other))
        if not tagged:
            whose = f" (named in group {above[-1]!r})" if above else ""
            raise NoSuchTask(
                f"{TASKS_FIELD}: there is no task {name!r}{whose}.{_near(name, index)}"
            )
        yield from tagged
    elif "group" not in fields:
        yield name
    elif name in above:
        raise InputProblem(f"{TASKS_FIELD}: group {name!r} is a member of itself. Take it out.")
    else:
        for member in fields.get("task") or ():
            inner = member if isinstance(member, str) else member.get("task", member.get("group"))
            if isinstance(member, dict) and (inner not in index or len(member) > 1):
                raise InputProblem(
                    f"{TASKS_FIELD}: group {name!r} defines or changes a task in place, which is "
                    "not supported. Name its tasks one by one."
                )
            yield from members(index, inner, (*above, name))


def refuse_writing(name: str, kind: object) -> None:
    """Refuse a task that asks for text which the model writes.

    Raises:
        InputProblem: always.
    """
    raise InputProblem(
        f"{TASKS_FIELD}: {name!r} has output_type {kind}: texts that a model writes are not scored "
        f"here. Take it out; tasks of type {', '.join(SCORED)} can be asked."
    )


def check_fields(name: str, fields: Mapping[str, Any], *, theirs: bool) -> None:
    """Refuse a task that asks for writing, or that would run code which is not lm-eval's own.

    Args:
        name: the task.
        fields: of its file.
        theirs: whether the file is lm-eval's own, whose functions stand in it as paths.

    Raises:
        InputProblem: naming the task, the field and the fix.
    """
    import lm_eval.api.metrics  # noqa: F401  # Fills the registries.
    from lm_eval.api.registry import AGGREGATION_REGISTRY, METRIC_REGISTRY

    where = f"{TASKS_FIELD}: {name!r}"
    kind = fields.get("output_type", "generate_until")
    if kind not in SCORED and "class" not in fields:
        refuse_writing(name, kind)
    if fields.get("unsafe_code"):
        raise InputProblem(f"{where} runs code that a model writes. Take it out.")
    if (fields.get("dataset_kwargs") or {}).get("trust_remote_code"):
        raise InputProblem(
            f"{where} sets dataset_kwargs.trust_remote_code, and no code that comes with data is "
            "run. Take the field out, or read a copy of the data as JSON lines or Parquet."
        )
    for metric in fields.get("metric_list") or ():
        said, total = metric.get("metric"), metric.get("aggregation")
        theirs_too = theirs and ("process_results" in fields or _path(said))
        known = said in METRIC_REGISTRY or theirs_too
        if metric.get("hf_evaluate") or not known:
            raise InputProblem(
                f"{where}: metric {said!r} is none of lm-eval's own, and would be fetched from "
                f"the hub and run.{_near(str(said), METRIC_REGISTRY)}"
            )
        if (
            total is not None
            and total not in AGGREGATION_REGISTRY
            and not (theirs and _path(total))
        ):
            raise InputProblem(
                f"{where}: there is no aggregation {total!r} for metric {said!r}."
                f"{_near(str(total), AGGREGATION_REGISTRY)}"
            )


def _folder(folder: Path) -> Definitions:
    found: Definitions = {}
    for path in sorted(folder.rglob("*.yaml")):
        fields = _read(path, folder)
        shown = path.relative_to(folder)
        allowed = GROUP_KEYS if "group" in fields else TASK_KEYS
        for key in sorted(fields.keys() - allowed):
            why = "would run code" if key in RUN_CODE else "is no field of a task file here"
            raise InputProblem(
                f"{FILES_FIELD}: {shown}: {key!r} {why}. Take it out.{_near(key, allowed)}"
            )
        for key, (kind, shape) in SHAPES.items():
            value = fields.get(key)
            wrong = value is not None and not isinstance(value, kind)
            if wrong or (kind is list and not all(isinstance(each, dict) for each in value or ())):
                raise InputProblem(f"{FILES_FIELD}: {shown}: {key!r} is not {shape}. Mend it.")
        name = fields.get("group", fields.get("task"))
        if not isinstance(name, str) or not name:
            raise InputProblem(
                f"{FILES_FIELD}: {shown} has no `task` with the task's name. Add one; a file that "
                "others include has a name that does not end in .yaml."
            )
        if name in found:
            raise InputProblem(f"{FILES_FIELD}: {shown}: {name!r} is defined twice. Rename one.")
        if "group" in fields and not _names(fields.get("task")):
            raise InputProblem(
                f"{FILES_FIELD}: {shown}: `task` of a group is a list of names. Give a task that "
                "differs a file of its own, which may include another one."
            )
        found[name] = fields
    return found


def _read(path: Path, folder: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Fields of a file over those of the files that it includes."""
    shown = os.path.relpath(path, folder)
    if not path.resolve().is_relative_to(folder.resolve()) or path in above:
        raise InputProblem(
            f"{FILES_FIELD}: {shown} is included from outside the folder, or by itself. Include "
            "files of the folder alone."
        )
    _refuse_tags(path, shown)
    fields = read_yaml(path)
    included = fields.pop("include", None) or []
    merged: dict[str, Any] = {}
    for name in [included] if isinstance(included, str) else included:
        merged |= _read(path.parent / str(name), folder, (*above, path))
    return merged | fields


def _refuse_tags(path: Path, shown: str) -> None:
    try:
        tags = {getattr(event, "tag", None) for event in yaml.parse(path.read_text("utf-8"))}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        said = str(error).splitlines()[0]
        raise ConfigProblem(f"{FILES_FIELD}: {shown}: not a YAML file: {said}") from error
    for tag in sorted(tag for tag in tags if tag and tag not in (*PLAIN_TAGS, "!")):
        raise InputProblem(
            f"{FILES_FIELD}: {shown}: the tag {tag.removeprefix('tag:yaml.org,2002:')!r} would run "
            "code. Take it out; templates, shipped metrics and `data_files` do without code."
        )


def _path(value: object) -> bool:
    return isinstance(value, str) and os.path.isabs(value)


def _names(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(x, str) for x in value)


def _tags(fields: Mapping[str, Any]) -> tuple[str, ...]:
    tags = fields.get("tag") or ()
    return (tags,) if isinstance(tags, str) else tuple(tags)


def _near(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=3)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
