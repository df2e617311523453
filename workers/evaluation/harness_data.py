"""Data sets of lm-eval's tasks, from files of a folder or from the hub; checked before use."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, DatasetDict, config, load_dataset
from huggingface_hub import constants
from jinja2 import TemplateSyntaxError, meta

from configs.harness import HUB, Harness
from configs.loading import expand_path
from workers.corpora.hub import loading_errors
from workers.corpora.row_files import find_files, holds_rows, read_rows, read_text
from workers.evaluation.harness_files import FILES_FIELD, TASKS_FIELD
from workers.evaluation.harness_sandbox import sandbox
from workers.evaluation.option_order import reorder
from workers.problems import InputProblem

DATA_FIELD = "evaluation.harness.data"
HELD_OUT = "held_out"
FORMATS = ("json", "parquet")
SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")
TEMPLATES = ("doc_to_text", "doc_to_target", "doc_to_choice", "gen_prefix", "description")
# A bare word in these is meant for a column; lm-eval would take an unknown one as the text itself.
COLUMNS = ("doc_to_text", "doc_to_target", "doc_to_choice")
ANSWERS = ("answer_matching_behavior", "answer_not_matching_behavior")

Row = dict[str, Any]


def task_data(
    name: str, fields: Mapping[str, Any], harness: Harness, held_out: Sequence[str] | None
) -> DatasetDict:
    """The data of a task, in the splits that its file names.

    Args:
        name: the task.
        fields: of its file.
        harness: says where data is.
        held_out: texts of the documents that the run holds out; None where there are none.

    Raises:
        InputProblem: the data is missing, empty, cannot be reached, or lacks a column.
    """
    wanted = sorted({str(fields[split]) for split in SPLITS if fields.get(split)})
    if not wanted:
        raise InputProblem(
            f"{FILES_FIELD}: {name!r} names no split. Add `test_split: test`, or the split's name."
        )
    if fields.get("dataset_path") == HELD_OUT:
        if not held_out:
            raise InputProblem(
                f"{TASKS_FIELD}: {name!r} asks for held-out documents and the corpus has none. "
                "Raise intake.held_out_share, or take the task out."
            )
        return DatasetDict({wanted[0]: Dataset.from_list([{"text": text} for text in held_out])})
    files = _files(name, fields, harness, wanted)
    if files is not None:
        return DatasetDict(
            {split: _local(name, fields, paths) for split, paths in sorted(files.items())}
        )
    found = _hub(name, fields)
    for split in wanted:
        if split not in found:
            near = difflib.get_close_matches(split, found, n=1) or sorted(found)
            raise InputProblem(
                f"{TASKS_FIELD}: {name!r}: its data has no split {split!r}, but {', '.join(near)}. "
                "Mend the split in the task's file."
            )
    return DatasetDict(
        {
            split: _dataset(name, fields, enumerate(found[split]), f"{split} row {{}}".format)
            for split in wanted
        }
    )


def columns(name: str, fields: Mapping[str, Any]) -> set[str]:
    """Columns that a task's file reads.

    Raises:
        InputProblem: a template of it is not one.
    """
    environment, found = sandbox(), set[str]()
    for field in TEMPLATES:
        text = fields.get(field)
        if not isinstance(text, str):
            continue
        if field in COLUMNS and text.isidentifier():
            found.add(text)
            continue
        try:
            found |= meta.find_undeclared_variables(environment.parse(text))
        except TemplateSyntaxError as error:
            raise InputProblem(
                f"{FILES_FIELD}: {name!r}: {field} is no template: {error.message}. Mend it."
            ) from error
    return found - environment.globals.keys()


def rows_digest(rows: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 over rows in their order, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(repr(sorted(row.items())).encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


def _files(
    name: str, fields: Mapping[str, Any], harness: Harness, wanted: Sequence[str]
) -> dict[str, list[Path]] | None:
    """Files of each split; None for a task that reads the hub."""
    local = (fields.get("metadata") or {}).get("local")
    named: Any = (fields.get("dataset_kwargs") or {}).get("data_files")
    own = fields.get("dataset_path") in FORMATS
    if not own and (local is None or harness.data == HUB):
        return None
    if harness.data == HUB:
        raise InputProblem(
            f"{DATA_FIELD}: {name!r} reads files. Set it to the folder that its `data_files` "
            "are relative to."
        )
    folder = expand_path(harness.data, DATA_FIELD)
    if not folder.is_dir():
        raise InputProblem(
            f"{DATA_FIELD}: {harness.data!r} is no folder here. Check the spelling, or set it to "
            f"{HUB}."
        )
    if not own:
        named = dict.fromkeys(wanted, str(local).format_map(_Blank(fields)))
    elif not isinstance(named, dict):
        named = dict.fromkeys(wanted, named)
    missing = sorted(set(wanted) - named.keys())
    if missing or not all(named.values()):
        split = (missing or wanted)[0]
        raise InputProblem(
            f"{FILES_FIELD}: {name!r}: dataset_kwargs.data_files names no file of the split "
            f"{split!r}. Write `data_files: {{{split}: file.jsonl}}`."
        )
    found = {split: _found(name, folder, named[split]) for split in wanted}
    if not own and str(local).endswith("*") and max(map(len, found.values())) > 1:
        several = ", ".join(path.name for paths in found.values() for path in paths)
        raise InputProblem(
            f"{DATA_FIELD}: the data of {name!r} is one file, and there are {several}. Leave one."
        )
    return found


class _Blank(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return ""


def _found(name: str, folder: Path, patterns: str | list[str]) -> list[Path]:
    paths: list[Path] = []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        if "://" in pattern:
            raise InputProblem(
                f"{FILES_FIELD}: {name!r}: data_files names the address {pattern!r}. Fetch the "
                f"file into the folder of {DATA_FIELD}, and name it there."
            )
        try:
            paths += find_files(str(folder / pattern), DATA_FIELD)
        except InputProblem:
            raise InputProblem(
                f"{DATA_FIELD}: the data of {name!r} is missing: nothing in the folder matches "
                f"{pattern!r}. Put it there, set the field to {HUB}, or take the task out of "
                f"{TASKS_FIELD}."
            ) from None
    return paths


def _local(name: str, fields: Mapping[str, Any], paths: Sequence[Path]) -> Dataset:
    def rows() -> Iterator[tuple[str, Row]]:
        for path in paths:
            if holds_rows(path):
                yield from read_rows(path)
            else:
                yield str(path), {"text": read_text(path)}

    return _dataset(name, fields, rows(), str)


def _hub(name: str, fields: Mapping[str, Any]) -> Any:
    """Every split of a set on the hub, or of its copy in the cache."""
    path, subset = str(fields.get("dataset_path")), fields.get("dataset_name")
    kwargs = dict(fields.get("dataset_kwargs") or {})
    # A bare name is a format, and one of them reads pickles, which run code.
    if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", path) is None or Path(path).exists():
        raise InputProblem(
            f"{FILES_FIELD}: {name!r}: dataset_path {path!r} is no set on the hub (owner/name). "
            "Write `dataset_path: json` with `data_files` to read files."
        )
    try:
        return load_dataset(path, subset, **kwargs)
    except loading_errors() as error:
        offline = constants.HF_HUB_OFFLINE or config.HF_HUB_OFFLINE
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        why = f"it could not be read ({first})"
        if offline:
            why = "this program is offline (HF_HUB_OFFLINE) and has no copy of it"
        raise InputProblem(
            f"{TASKS_FIELD}: {name!r} reads {path!r} from the hub, and {why}. Set {DATA_FIELD} to "
            "a folder that holds its data, go online, or take the task out."
        ) from error


def _dataset(
    name: str,
    fields: Mapping[str, Any],
    found: Iterable[tuple[Any, Row]],
    place: Callable[[Any], str],
) -> Dataset:
    """Rows with every column that the task reads, options put in an order where it says so."""
    needed = columns(name, fields)
    shuffle = (fields.get("metadata") or {}).get("shuffle")
    needed |= {shuffle, *ANSWERS} if shuffle else set()
    rows: list[Row] = []
    for where, row in found:
        for column in sorted(needed - row.keys()) or sorted(c for c in needed if row[c] is None):
            near = difflib.get_close_matches(column, list(row), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            what = "no column" if column not in row else "nothing in column"
            raise InputProblem(
                f"{TASKS_FIELD}: {name!r}: {place(where)}: there is {what} {column!r}; the row has "
                f"{', '.join(map(repr, row)) or 'none'}.{hint} Mend the data or the task's file."
            )
        rows.append(_in_drawn_order(name, place(where), row, shuffle) if shuffle else row)
    if not rows:
        raise InputProblem(
            f"{TASKS_FIELD}: the data of {name!r} is empty. Mend it, or take the task out."
        )
    try:
        return Dataset.from_list(rows)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InputProblem(
            f"{TASKS_FIELD}: {name!r}: a column of its data holds values of several types. Give "
            "each column one type."
        ) from error


def _in_drawn_order(name: str, where: str, row: Row, column: str) -> Row:
    try:
        question, answers = reorder(row[column], [row[answer] for answer in ANSWERS])
    except (AttributeError, TypeError, ValueError) as error:
        raise InputProblem(
            f"{TASKS_FIELD}: {name!r}: {where}: {error}. Mend the question, or take "
            "`metadata.shuffle` out of the task's file."
        ) from error
    return row | {column: question} | dict(zip(ANSWERS, answers, strict=True))
