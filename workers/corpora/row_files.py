"""Files of a source: which ones a path means, and the rows or the text in each."""

from __future__ import annotations

import glob
import gzip
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from configs.loading import expand_path
from workers.problems import InputProblem
from workers.storage import file_digest

PARQUET = (".parquet",)
JSONL = (".jsonl", ".jsonl.gz", ".ndjson")
NO_DATA = (".", "README", "LICENSE")
BATCH_ROWS = 256


def find_files(text: str, field: str = "corpus.path") -> list[Path]:
    """Files that a path, folder or glob means, sorted.

    In a folder or glob, hidden files and folders, READMEs and licences are no data; a file that is
    named itself is read whatever its name.

    Raises:
        ConfigProblem: a variable in the path is not set.
        InputProblem: there is no such file.
    """
    path = expand_path(text, field)
    if path.is_file():
        return [path]
    if path.is_dir():
        found = [each for each in path.rglob("*") if not _hidden(each.relative_to(path))]
    else:
        found = [Path(each) for each in glob.glob(str(path), recursive=True)]
    kept = [each for each in found if each.is_file() and not each.name.startswith(NO_DATA)]
    if not kept:
        raise InputProblem(
            f"{field}: {text!r} is no file here, no folder with files, and no glob that matches "
            "one. Check the spelling, or write the path out."
        )
    return sorted(kept)


def signature(files: list[Path]) -> list[list[str]]:
    """Name and SHA-256 of each file, and never its folder.

    Raises:
        InputProblem: a file cannot be read.
    """
    signed: list[list[str]] = []
    for path in files:
        try:
            signed.append([shown_name(path), file_digest(path)])
        except OSError as error:
            raise _unreadable(path, error) from error
    return signed


def shown_name(path: Path) -> str:
    """Name of a file, with what is not UTF-8 in it replaced: file names are bytes, records not."""
    return _encodable(path.name)


def holds_rows(path: Path) -> bool:
    """Whether a file is read as rows; any other is one text."""
    return path.name.endswith(PARQUET + JSONL)


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a Parquet or JSONL file, with their places.

    Raises:
        InputProblem: the file cannot be read, is not UTF-8, or a line is no JSON object.
    """
    shown = _encodable(str(path))
    if path.name.endswith(PARQUET):
        for number, row in enumerate(_parquet(path)):
            yield f"{shown} row {number}", row
        return
    for number, line in enumerate(_lines(path), 1):
        if line.strip():
            yield f"{shown}:{number}", _parse(line, shown, number)


def read_text(path: Path) -> str:
    """Text of a file, exactly as it stands there.

    Raises:
        InputProblem: the file cannot be read or is not UTF-8.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    return _decode(raw, path, 0)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _encodable(text: str) -> str:
    return os.fsencode(text).decode("utf-8", "replace")


def _unreadable(path: Path, error: Exception) -> InputProblem:
    return InputProblem(
        f"{_encodable(str(path))}: cannot be read ({type(error).__name__}: {error}). Mend or "
        "replace the file, or leave it out of the corpus."
    )


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                yield from batch.to_pylist()
    # A string column that is not UTF-8 shows itself as a UnicodeDecodeError, a ValueError.
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _parse(line: str, shown: str, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        said = (
            f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        )
        raise InputProblem(
            f"{shown}: line {number} is not valid JSON ({said or error}). Each line must be one "
            "JSON object; mend or remove the line."
        ) from error
    if not isinstance(row, dict):
        raise InputProblem(
            f"{shown}: line {number} is a JSON {type(row).__name__}, not an object with fields. "
            'Each line must be one JSON object such as {"text": "…"}.'
        )
    return row


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as plain:
            lines = gzip.GzipFile(fileobj=plain) if path.suffix == ".gz" else plain
            offset = 0
            for raw in lines:
                yield _decode(raw, path, offset)
                offset += len(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error


def _decode(raw: bytes, path: Path, offset: int) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputProblem(
            f"{_encodable(str(path))}: not UTF-8 at byte {offset + error.start} "
            f"(0x{raw[error.start]:02x}). Convert the file first, for example with "
            "`iconv -t UTF-8`, or leave it out of the corpus."
        ) from error
