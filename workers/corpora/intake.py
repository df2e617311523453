"""Intake: a source becomes corpus 0. One bad document is quarantined; a bad source is refused."""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from configs.experiment import Corpus, CorpusOptions
from workers.corpora.sources import HASHED_ID_LENGTH, Found, stream
from workers.corpora.store import CorpusRef, CorpusWriter
from workers.problems import InputProblem
from workers.records import Document, Quarantined, Split, text_digest

LONGEST_ID = 512
DUPLICATE = "duplicate text"


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What came of a source."""

    corpus: CorpusRef
    held_out: CorpusRef | None
    """Documents set aside: never rated, revised or trained on."""
    quarantined: tuple[Quarantined, ...]


def import_corpus(
    corpus: Corpus, intake: CorpusOptions, seed: int, home: Path, progress: Callable[[int], None]
) -> ImportResult:
    """Stream a source into corpus versions.

    Args:
        corpus: the source.
        intake: shard size, share to hold out, and longest document.
        seed: draws microworld documents and dialogues.
        home: gets the versions in `corpora/`.
        progress: called with the number of documents so far, about once a shard.

    Raises:
        InputProblem: the source cannot be used, or no document of it can.
    """
    quarantined: list[Quarantined] = []
    counts: Counter[Split] = Counter()
    with ExitStack() as stack:
        known = stack.enter_context(_KnownIds())
        writers: dict[Split, CorpusWriter] = {
            split: stack.enter_context(CorpusWriter(home, intake.shard_documents))
            for split in ("train", "held_out")
        }
        for number, found in enumerate(stream(corpus, seed), 1):
            document = _document(found, intake, known)
            if isinstance(document, Quarantined):
                quarantined.append(document)
            else:
                writers[document.split].add(document)
                counts[document.split] += 1
            if number % intake.shard_documents == 0:
                progress(number)
        if not counts["train"]:
            raise InputProblem(_why_empty(quarantined, counts["held_out"]))
        held_out = writers["held_out"].finish() if counts["held_out"] else None
        return ImportResult(writers["train"].finish(), held_out, tuple(quarantined))


def _document(found: Found, intake: CorpusOptions, known: _KnownIds) -> Document | Quarantined:
    fault = _fault(found.text, intake.max_document_bytes)
    digest = hashlib.sha256(found.text.encode("utf-8", "surrogatepass")).hexdigest()
    doc_id = found.given_id if found.given_id is not None else digest[:HASHED_ID_LENGTH]
    if not 1 <= len(doc_id) <= LONGEST_ID or "\x00" in doc_id:
        raise InputProblem(
            f"{found.where}: a document id has 1 to {LONGEST_ID} characters and no NUL byte; this "
            f"one has {len(doc_id)}. Name another field with corpus.id_field, or leave it out."
        )
    first = known.add(doc_id, found.where)
    if first is not None and found.given_id is not None:
        raise InputProblem(
            f"{found.where}: document id {doc_id[:80]!r} was given at {first} already. Ids must "
            "differ: mend the source, name another field with corpus.id_field, or leave it out "
            "to have ids made from the texts."
        )
    if first is not None:
        return Quarantined(f"{doc_id}-{known.size}", digest, found.source, DUPLICATE)
    if fault is not None:
        return Quarantined(doc_id, digest, found.source, fault)
    drawn = int(text_digest(f"held out|{doc_id}")[:13], 16) / 16**13
    split: Split = "held_out" if drawn < intake.held_out_share else "train"
    return Document(doc_id, found.text, digest, found.source, split, found.label)


def _fault(text: str, max_bytes: int) -> str | None:
    """Say why a text cannot be taken in; None when it can."""
    if not text.strip():
        return "empty"
    if "\x00" in text:
        return "NUL byte"
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        return "unpaired surrogate"
    return f"over {max_bytes} bytes" if size > max_bytes else None


def _why_empty(quarantined: list[Quarantined], held_out: int) -> str:
    if held_out:
        return (
            f"the corpus is empty: all {held_out} documents were held out. Lower "
            "intake.held_out_share or give more documents."
        )
    if not quarantined:
        return "the corpus is empty: the source holds no document. Check corpus.path or its name."
    reasons = Counter(each.reason for each in quarantined)
    said = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    return f"the corpus is empty: every document was quarantined ({said})"


class _KnownIds:
    """Ids seen so far with their places, on disk: memory does not grow with the corpus."""

    def __init__(self) -> None:
        self.size = 0
        self._folder = tempfile.TemporaryDirectory(prefix="palimpsest-ids-")
        self._ids = sqlite3.connect(Path(self._folder.name) / "ids.sqlite", isolation_level=None)
        self._ids.execute("PRAGMA journal_mode = OFF")
        self._ids.execute("PRAGMA synchronous = OFF")
        self._ids.execute("CREATE TABLE ids (id TEXT PRIMARY KEY, place TEXT) WITHOUT ROWID")
        self._ids.execute("BEGIN")

    def __enter__(self) -> _KnownIds:
        return self

    def __exit__(self, *error: object) -> None:
        self._ids.close()
        self._folder.cleanup()

    def add(self, doc_id: str, where: str) -> str | None:
        """Note an id; the place of an equal one that came before, or None."""
        self.size += 1
        added = self._ids.execute("INSERT OR IGNORE INTO ids VALUES (?, ?)", (doc_id, where))
        if added.rowcount:
            return None
        found = self._ids.execute("SELECT place FROM ids WHERE id = ?", (doc_id,)).fetchone()
        return str(found[0])
