"""Sources: where documents come from, as a stream of rows with the place that each was found."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import Any

from configs.corpora import Corpus, DatasetsCorpus, DialoguesCorpus, FileCorpus, MicroworldCorpus
from workers.corpora.drawing import draw_rows
from workers.corpora.hub import LOCAL, load_rows, local_path, resolved_commit
from workers.corpora.row_files import (
    find_files,
    holds_rows,
    read_rows,
    read_text,
    shown_name,
    signature,
)
from workers.microworld.generator import generate_documents
from workers.microworld.world import WorldParams
from workers.problems import InputProblem


@dataclass(frozen=True, slots=True)
class Found:
    """A row of a source before it is judged."""

    text: str
    where: str
    """Place for messages, such as `file.jsonl:12`."""
    source: str
    """Name of the source that lineage keeps; never a path of this machine."""
    given_id: str | None
    """Id that the source gives; a second equal one is an error of the source."""
    label: int | None
    made_id: str | None = None
    """Id that was made from the content; a second equal one is the same document again."""


def stream(corpus: Corpus, seed: int) -> Iterator[Found]:
    """Yield the rows of a source, in its order; nothing is read beyond its `limit`.

    Raises:
        InputProblem: the source is missing, empty or cannot be read.
    """
    match corpus:
        case MicroworldCorpus():
            return _microworld(corpus, seed)
        case FileCorpus():
            return islice(_files(corpus), corpus.limit)
        case DialoguesCorpus():
            return _dialogues(corpus, seed)
        case DatasetsCorpus():
            return islice(_dataset(corpus), corpus.limit)


def source_signature(corpus: Corpus, seed: int) -> dict[str, Any]:
    """Content identity of a source: hashes of files or a resolved commit, and never a path.

    Raises:
        InputProblem: the source is missing or cannot be read.
    """
    match corpus:
        case MicroworldCorpus():
            return {"seed": seed}
        case FileCorpus():
            return {"files": signature(find_files(corpus.path))}
        case DialoguesCorpus() if corpus.path:
            return {"files": signature(find_files(corpus.path)), "seed": seed}
        case DialoguesCorpus():
            return {"commit": resolved_commit(corpus.name, None), "seed": seed}
        case DatasetsCorpus():
            local = local_path(corpus.name)
            if local is not None:
                return {"files": signature(find_files(str(local), "corpus.name"))}
            return {"commit": resolved_commit(corpus.name, corpus.revision)}


def dialogue_pairs(corpus: DialoguesCorpus) -> Iterator[tuple[str, str]]:
    """Yield the chosen and the rejected side of every dialogue.

    Raises:
        InputProblem: the set cannot be read, or a row lacks a side.
    """
    for _, chosen, rejected in _dialogue_rows(corpus):
        yield chosen, rejected


def _microworld(corpus: MicroworldCorpus, seed: int) -> Iterator[Found]:
    params = WorldParams(misaligned_share=corpus.misaligned_share, label_noise=corpus.label_noise)
    for made in generate_documents(params, seed, corpus.documents):
        yield Found(made.text, made.doc_id, "microworld", made.doc_id, made.label)


def _files(corpus: FileCorpus) -> Iterator[Found]:
    for path in find_files(corpus.path):
        name = shown_name(path)
        if holds_rows(path):
            for where, row in read_rows(path):
                yield _found(row, corpus, where, name)
        else:
            yield Found(read_text(path), name, name, None, None)


def _dataset(corpus: DatasetsCorpus) -> Iterator[Found]:
    local = local_path(corpus.name)
    rows = load_rows(
        corpus.name if local is None else str(local),
        corpus.config_name,
        split=corpus.split,
        revision=corpus.revision if local is None else None,
        streaming=corpus.streaming,
    )
    # The source stands in the shards, whose bytes must not depend on where the folder lies.
    source = corpus.name if local is None else LOCAL
    for number, row in enumerate(rows):
        yield _found(row, corpus, f"{corpus.name} row {number}", source)


def _dialogues(corpus: DialoguesCorpus, seed: int) -> Iterator[Found]:
    """Dialogues in an order drawn by the seed; a coin of its own decides each one's side."""
    for where, chosen, rejected in draw_rows(_dialogue_rows(corpus), seed, corpus.limit):
        both = f"{chosen}\n{rejected}".encode("utf-8", "surrogatepass")
        digest = hashlib.sha256(both).hexdigest()
        label = hashlib.sha256(f"{seed}|{digest}".encode()).digest()[0] & 1
        side, text = ("chosen", chosen) if label else ("rejected", rejected)
        yield Found(text, where, corpus.name, None, label, f"{digest[:24]}-{side}")


def _dialogue_rows(corpus: DialoguesCorpus) -> Iterator[tuple[str, str, str]]:
    """Place, chosen side and rejected side of each dialogue."""
    for where, row in _raw_dialogues(corpus):
        chosen = _text(row, "chosen", where, "corpus.path")
        yield where, chosen, _text(row, "rejected", where, "corpus.path")


def _raw_dialogues(corpus: DialoguesCorpus) -> Iterator[tuple[str, dict[str, Any]]]:
    if corpus.path:
        for path in find_files(corpus.path):
            yield from read_rows(path)
        return
    rows = load_rows(corpus.name, None, split=corpus.split, data_dir=corpus.data_dir)
    for number, row in enumerate(rows):
        yield f"{corpus.name} row {number}", row


def _found(
    row: dict[str, Any], corpus: FileCorpus | DatasetsCorpus, where: str, source: str
) -> Found:
    text = _text(row, corpus.text_field, where, "corpus.text_field")
    given = None
    if corpus.id_field is not None:
        given = _field(row, corpus.id_field, where, "corpus.id_field")
        if given is None:
            raise InputProblem(
                f"{where}: the id in field {corpus.id_field!r} is null. Give every document an "
                "id, or leave corpus.id_field out to have ids made from the texts."
            )
    label = None
    if corpus.label_field is not None:
        label = _field(row, corpus.label_field, where, "corpus.label_field")
        if label not in (0, 1, None):
            raise InputProblem(
                f"{where}: {corpus.label_field} is {str(label)[:40]!r}; a label is 1 (desirable), "
                "0 (undesirable) or null. Mend it, or name another field with corpus.label_field."
            )
    return Found(
        text,
        where,
        source,
        None if given is None else str(given),
        None if label is None else int(label),
    )


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
            f"{where}: there is no field {name!r}; the row has "
            f"{', '.join(map(repr, row)) or 'no field at all'}.{hint} "
            f"Name the right one with {setting}."
        )
    return row[name]
