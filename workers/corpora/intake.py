"""Intake: a source becomes corpus 0. One bad document is quarantined; a bad source is refused."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from configs.corpora import Corpus, CorpusOptions
from workers.corpora.known_ids import KnownIds
from workers.corpora.sources import Found, stream
from workers.corpora.store import CorpusRef, CorpusWriter
from workers.problems import InputProblem
from workers.records import Document, Quarantined, Split, text_digest

HASHED_ID_LENGTH = 32
LONGEST_ID = 512
DUPLICATE = "duplicate text"
HELD_OUT_DIGITS = 13


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
        WorkProblem: the disk is full.
    """
    quarantined: list[Quarantined] = []
    counts: Counter[Split] = Counter()
    with ExitStack() as stack:
        known = stack.enter_context(KnownIds(home))
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


def _document(found: Found, intake: CorpusOptions, known: KnownIds) -> Document | Quarantined:
    """Judge a row: a document with its split, or the reason why it is set aside."""
    digest = hashlib.sha256(found.text.encode("utf-8", "surrogatepass")).hexdigest()
    made_id = found.made_id or digest[:HASHED_ID_LENGTH]
    doc_id = _checked_id(made_id if found.given_id is None else found.given_id, found.where)
    fault = _fault(found.text, intake.max_document_bytes)
    first = known.add(doc_id, found.where)
    if first is not None:
        if found.given_id is not None:
            raise InputProblem(
                f"{found.where}: document id {doc_id[:80]!r} was given at {first} already. Ids "
                "must differ: mend the source, name another field with corpus.id_field, or leave "
                "it out to have ids made from the texts."
            )
        # Every row keeps an id of its own in the record, repetitions too.
        doc_id, fault = f"{doc_id}-{known.size}", fault or DUPLICATE
    if fault is not None:
        return Quarantined(doc_id, digest, found.source, fault)
    split: Split = "held_out" if _held_out(doc_id, intake.held_out_share) else "train"
    return Document(doc_id, found.text, digest, found.source, split, found.label)


def _checked_id(doc_id: str, where: str) -> str:
    try:
        doc_id.encode("utf-8")
    except UnicodeEncodeError:
        fault = "this one holds an unpaired surrogate, which UTF-8 cannot hold"
    else:
        if 1 <= len(doc_id) <= LONGEST_ID and "\x00" not in doc_id:
            return doc_id
        fault = "this one holds a NUL byte" if "\x00" in doc_id else f"this one has {len(doc_id)}"
    raise InputProblem(
        f"{where}: a document id has 1 to {LONGEST_ID} characters and no NUL byte; {fault}. Name "
        "another field with corpus.id_field, or leave it out to have ids made from the texts."
    )


def _held_out(doc_id: str, share: float) -> bool:
    """Whether an id falls into the held-out share; other documents have no say in it."""
    drawn = int(text_digest(f"held out|{doc_id}")[:HELD_OUT_DIGITS], 16)
    return drawn / 16**HELD_OUT_DIGITS < share


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
    """Say what became of the documents when none is left to train on."""
    if not held_out and not quarantined:
        return (
            "the corpus is empty: the source holds no document. Check corpus.path or corpus.name, "
            "and the split."
        )
    reasons = Counter(each.reason for each in quarantined)
    said = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    if not held_out:
        return (
            f"the corpus is empty: every document was quarantined ({said}). Mend the documents, or "
            "raise intake.max_document_bytes if they are too long for it."
        )
    rest = f"; {len(quarantined)} more were quarantined ({said})" if quarantined else ""
    return (
        f"the corpus is empty: every good document, {held_out} of them, was held out{rest}. Lower "
        "intake.held_out_share or give more documents."
    )
