"""Sources: where documents come from, as a stream of rows with the place that each was found."""

from __future__ import annotations

import glob
import gzip
import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from configs.experiment import (
    Corpus,
    DatasetsCorpus,
    DialoguesCorpus,
    FileCorpus,
    MicroworldCorpus,
)
from configs.loading import expand_path
from workers.microworld.generator import generate_documents
from workers.microworld.world import WorldParams
from workers.problems import InputProblem
from workers.records import text_digest
from workers.storage import file_digest

JSONL = (".jsonl", ".jsonl.gz", ".ndjson")
BATCH_ROWS = 256
HASHED_ID_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Found:
    """A row of a source before it is judged."""

    text: str
    where: str
    """Place for messages, such as `file.jsonl:12`."""
    source: str
    """Name of the source that lineage keeps; never a path of this machine."""
    given_id: str | None
    label: int | None


def stream(corpus: Corpus, seed: int) -> Iterator[Found]:
    """Yield the rows of a source, in its order.

    Raises:
        InputProblem: the source is missing, empty or cannot be read.
    """
    match corpus:
        case MicroworldCorpus():
            rows = _microworld(corpus, seed)
        case FileCorpus():
            rows = _files(corpus)
        case DialoguesCorpus():
            rows = _dialogues(corpus, seed)
        case DatasetsCorpus():
            rows = _dataset(corpus)
    limit = None if isinstance(corpus, MicroworldCorpus) else corpus.limit
    return islice(rows, limit)


def source_signature(corpus: Corpus, seed: int) -> dict[str, Any]:
    """Content identity of a source: hashes of files or a resolved commit, and never a path."""
    match corpus:
        case MicroworldCorpus():
            return {"seed": seed}
        case FileCorpus():
            return {"files": [[path.name, file_digest(path)] for path in _paths(corpus.path)]}
        case DialoguesCorpus() if corpus.path:
            files = [[path.name, file_digest(path)] for path in _paths(corpus.path)]
            return {"files": files, "seed": seed}
        case DialoguesCorpus():
            return {"commit": _commit(corpus.name, None), "seed": seed}
        case DatasetsCorpus():
            if Path(corpus.name).exists():
                files = [[path.name, file_digest(path)] for path in _paths(corpus.name)]
                return {"files": files}
            return {"commit": _commit(corpus.name, corpus.revision)}


def dialogue_pairs(corpus: DialoguesCorpus) -> Iterator[tuple[str, str]]:
    """Yield the chosen and the rejected side of every dialogue.

    Raises:
        InputProblem: the set cannot be read, or a row lacks a side.
    """
    for where, row in _dialogue_rows(corpus):
        chosen = _text(row, "chosen", where, "corpus.path")
        yield chosen, _text(row, "rejected", where, "corpus.path")


def _microworld(corpus: MicroworldCorpus, seed: int) -> Iterator[Found]:
    params = WorldParams(misaligned_share=corpus.misaligned_share, label_noise=corpus.label_noise)
    for made in generate_documents(params, seed, corpus.documents):
        yield Found(made.text, made.doc_id, "microworld", made.doc_id, made.label)


def _files(corpus: FileCorpus) -> Iterator[Found]:
    for path in _paths(corpus.path):
        if path.suffix == ".parquet" or path.name.endswith(JSONL):
            for where, row in _rows(path):
                yield _found(row, corpus, where, path.name)
        else:
            yield Found(_read_text(path), path.name, path.name, None, None)


def _dataset(corpus: DatasetsCorpus) -> Iterator[Found]:
    rows = _load_dataset(
        corpus.name,
        corpus.config_name,
        split=corpus.split,
        revision=corpus.revision,
        streaming=corpus.streaming,
    )
    for number, row in enumerate(rows):
        yield _found(row, corpus, f"{corpus.name} row {number}", corpus.name)


def _dialogues(corpus: DialoguesCorpus, seed: int) -> Iterator[Found]:
    """Dialogues in an order drawn by the seed; a coin of its own decides each one's side."""
    rows = list(_dialogue_rows(corpus))
    random.Random(f"dialogues|{seed}").shuffle(rows)
    for where, row in rows:
        digest = text_digest(f"{row.get('chosen')}\n{row.get('rejected')}")
        label = hashlib.sha256(f"{seed}|{digest}".encode()).digest()[0] & 1
        side = "chosen" if label else "rejected"
        text = _text(row, side, where, "corpus.path")
        yield Found(text, where, corpus.name, f"{digest[:24]}-{side}", label)


def _dialogue_rows(corpus: DialoguesCorpus) -> Iterator[tuple[str, dict[str, Any]]]:
    if corpus.path:
        for path in _paths(corpus.path):
            yield from _rows(path)
        return
    rows = _load_dataset(corpus.name, data_dir=corpus.data_dir, split=corpus.split)
    for number, row in enumerate(rows):
        yield f"{corpus.name} row {number}", dict(row)


def _paths(text: str) -> list[Path]:
    """Files of a path, folder or glob, sorted; a README beside the data is no data."""
    path = expand_path(text, "corpus.path")
    if path.is_dir():
        found = [each for each in path.rglob("*") if each.is_file()]
    elif path.is_file():
        found = [path]
    else:
        found = [Path(each) for each in glob.glob(str(path), recursive=True)]
    kept = [p for p in found if p.is_file() and not p.name.startswith((".", "README", "LICENSE"))]
    if not kept:
        raise InputProblem(
            f"corpus.path: {text!r} is no file here, no folder with files, and no glob that "
            "matches one. Check the spelling, or write the path out."
        )
    return sorted(kept)


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of a Parquet or JSONL file, with their places."""
    if path.suffix == ".parquet":
        number = 0
        for batch in pq.ParquetFile(path).iter_batches(batch_size=BATCH_ROWS):
            for row in batch.to_pylist():
                yield f"{path.name} row {number}", row
                number += 1
        return
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        where = f"{path.name}:{number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputProblem(
                f"{path}: line {number} is not valid JSON ({error}). Each line must be one JSON "
                "object; mend or remove the line."
            ) from error
        if not isinstance(row, dict):
            raise InputProblem(
                f"{path}: line {number} is a JSON {type(row).__name__}, not an object with fields"
            )
        yield where, row


def _lines(path: Path) -> Iterator[str]:
    with path.open("rb") as plain:
        lines = gzip.GzipFile(fileobj=plain) if path.suffix == ".gz" else plain
        offset = 0
        for raw in lines:
            yield _decode(raw, path, offset)
            offset += len(raw)


def _read_text(path: Path) -> str:
    return _decode(path.read_bytes(), path, 0)


def _decode(raw: bytes, path: Path, offset: int) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputProblem(
            f"{path}: not UTF-8 at byte {offset + error.start} (0x{raw[error.start]:02x}). Convert "
            "the file first, for example with `iconv -t UTF-8`, or leave it out of the corpus."
        ) from error


def _found(
    row: dict[str, Any], corpus: FileCorpus | DatasetsCorpus, where: str, source: str
) -> Found:
    text = _text(row, corpus.text_field, where, "corpus.text_field")
    given = None
    if corpus.id_field is not None:
        given = str(_field(row, corpus.id_field, where, "corpus.id_field"))
    label = None
    if corpus.label_field is not None:
        label = _field(row, corpus.label_field, where, "corpus.label_field")
        if label not in (0, 1, None):
            raise InputProblem(
                f"{where}: {corpus.label_field} is {label!r}; a label is 1 (desirable), 0 "
                "(undesirable) or null"
            )
    return Found(text, where, source, given, None if label is None else int(label))


def _text(row: dict[str, Any], name: str, where: str, setting: str) -> str:
    text = _field(row, name, where, setting)
    if not isinstance(text, str):
        raise InputProblem(
            f"{where}: field {name!r} is a {type(text).__name__}, not text. Name another field "
            f"with {setting}, or turn it into text."
        )
    return text


def _field(row: dict[str, Any], name: str, where: str, setting: str) -> Any:
    if name not in row:
        near = get_close_matches(name, list(row), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputProblem(
            f"{where}: there is no field {name!r}; the row has {', '.join(map(repr, row))}.{hint} "
            f"Name the right one with {setting}."
        )
    return row[name]


def _load_dataset(name: str, *words: Any, **options: Any) -> Any:
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError

    try:
        return load_dataset(name, *words, **options)
    except (DatasetNotFoundError, ConnectionError, ValueError, OSError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputProblem(
            f"corpus.name: {name!r} could not be read ({first[:300]}). Check the spelling, the "
            "split and the network, or read a local copy instead (corpus.path, or kind: files)."
        ) from error


def _commit(name: str, revision: str | None) -> str:
    """Commit that a hub dataset stands at now."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        return str(HfApi().dataset_info(name, revision=revision).sha)
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, OSError) as error:
        raise InputProblem(
            f"corpus.name: {name!r} could not be found on the hub ({type(error).__name__}). Check "
            "the spelling, corpus.revision and the network, or name a local copy in corpus.path."
        ) from error
