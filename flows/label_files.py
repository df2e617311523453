"""Files of human labels: CSV whose every line is sound, or a message that says what is not."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from db.models import DOC_ID_LIMIT, storable
from db.nearest import nearest, or_nearest, quoted
from db.records.labels import LabelRow
from workers.corpora.row_files import shown_name
from workers.problems import InputProblem

REQUIRED = ("doc_id", "label")
COLUMNS = (*REQUIRED, "principle", "annotator", "text_sha256")
LABELS = {"1": 1, "true": 1, "desirable": 1, "0": 0, "false": 0, "undesirable": 0}
NAME_LIMIT = 200
# As many faults as a message names; the rest are counted.
SHOWN = 5
_HEXADECIMAL = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the file: the label, and the text that it is about where the file says so."""

    number: int
    row: LabelRow
    text: str = ""
    """SHA-256 of the text, as 64 hexadecimal digits."""


def read_labels(path: Path, *, annotator: str = "", principle: str = "") -> list[Line]:
    """The labels of a CSV file, every line of it sound.

    Raises:
        InputProblem: names the lines and fields at fault, what they may hold, and the nearest.
    """
    lines: list[Line] = []
    faults: list[str] = []
    defaults = {"principle": principle, "annotator": annotator}
    for number, given in _records(path):
        said = {name: value.strip() for name, value in given.items() if name != "doc_id"}
        fields = defaults | {name: value for name, value in said.items() if value}
        fields |= {"doc_id": given["doc_id"], "label": said["label"]}
        found = _faults(fields)
        faults += [f"line {number}, {fault}" for fault in found]
        if not found:
            row = LabelRow(
                fields["doc_id"],
                LABELS[fields["label"].lower()],
                fields["principle"],
                fields["annotator"],
            )
            lines.append(Line(number, row, fields.get("text_sha256", "").lower()))
    refuse(path, faults + _contradictions(lines))
    if not lines:
        raise InputProblem(f"{shown_name(path)}: no label stands under the header line")
    return lines


def refuse(path: Path, faults: Sequence[str]) -> None:
    """Refuse a file that has faults.

    Raises:
        InputProblem: names the first of them.
    """
    if not faults:
        return
    shown = "".join(f"\n  {fault}" for fault in faults[:SHOWN])
    rest = f"\n  and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    raise InputProblem(f"{shown_name(path)}: nothing was imported.{shown}{rest}")


def _records(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number of each record's first line, and its fields by column."""
    shown = shown_name(path)
    try:
        # Excel puts a byte-order mark before the first column's name.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            names = _header(shown, next(reader, []))
            number = reader.line_num + 1
            for values in reader:
                if len(values) not in (0, len(names)):
                    raise InputProblem(
                        f"{shown}: line {number} has {len(values)} fields, and the header line "
                        f"{len(names)}; put quotes around a field with a comma. Nothing was "
                        "imported."
                    )
                if values:
                    yield number, dict(zip(names, values, strict=True))
                number = reader.line_num + 1
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputProblem(
            f"{shown}: cannot be read as CSV in UTF-8 ({error}). Mend the file, or export it anew "
            "with commas between fields. Nothing was imported."
        ) from error


def _header(shown: str, given: list[str]) -> list[str]:
    names = [name.strip() for name in given]
    columns = f"Columns: {', '.join(REQUIRED)} and, if need be, {', '.join(COLUMNS[2:])}."
    for name in names:
        if name not in COLUMNS:
            raise InputProblem(
                f"{shown}: line 1 names a column {quoted(name)}; "
                f"{or_nearest(nearest(name, COLUMNS))}. {columns} Rename or remove it. Nothing was "
                "imported."
            )
    lacking = [name for name in REQUIRED if name not in names]
    if lacking or len(set(names)) < len(names):
        fault = f"has no column {lacking[0]!r}" if lacking else "names a column twice"
        raise InputProblem(f"{shown}: line 1 {fault}. {columns} Nothing was imported.")
    return names


def _faults(fields: Mapping[str, str]) -> list[str]:
    """What is wrong with a record's fields."""
    found: list[str] = []
    doc_id, label = fields["doc_id"], fields["label"].lower()
    if not 1 <= len(doc_id) <= DOC_ID_LIMIT or not storable(doc_id):
        found.append(
            f"field doc_id: {quoted(doc_id)} is no document id, which has 1 to {DOC_ID_LIMIT} "
            "characters and no NUL"
        )
    if label not in LABELS:
        allowed = ", ".join(LABELS)
        found.append(f"field label: {quoted(fields['label'])} is none of {allowed}")
    for name in ("principle", "annotator"):
        if len(fields[name]) > NAME_LIMIT or not storable(fields[name]):
            found.append(f"field {name}: at most {NAME_LIMIT} characters, and no NUL")
    text = fields.get("text_sha256", "").lower()
    if text and not (len(text) == 64 and _HEXADECIMAL.issuperset(text)):
        found.append(f"field text_sha256: {quoted(text)} is not 64 hexadecimal digits")
    return found


def _contradictions(lines: Iterable[Line]) -> list[str]:
    """Lines that say again, or otherwise, what a line before said."""
    said: dict[tuple[str, str, str], Line] = {}
    texts: dict[str, Line] = {}
    found: list[str] = []
    for line in lines:
        row = line.row
        before = said.setdefault((row.doc_id, row.principle, row.annotator), line)
        if before is not line:
            verb = "repeats" if before.row.label == row.label else "contradicts"
            found.append(
                f"line {line.number} {verb} line {before.number}: one label for each document, "
                f"principle and annotator (document {quoted(row.doc_id)})"
            )
        first = texts.setdefault(row.doc_id, line)
        if first.text != line.text:
            found.append(
                f"line {line.number}, field text_sha256: line {first.number} names another text of "
                f"document {quoted(row.doc_id)}; give each text a file of its own"
            )
    return found
