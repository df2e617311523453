"""A corpus in a random order that depends on nothing but seed, epoch and document ids."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa

from workers.corpora.store import CorpusRef, iterate
from workers.records import DOCUMENTS, Document, from_table, to_table

# Documents that are held in memory at once, about. The order does not depend on it.
HELD = 10_000
# Files that are open at once; a corpus of more than this many times HELD takes more memory.
MOST_BUCKETS = 256


def order_key(*key: object) -> int:
    """A number below 2**64 drawn from a key; sorting by it shuffles."""
    text = "|".join(map(str, key))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def shuffled(
    corpus: CorpusRef, salt: str, excluded: frozenset[str], spill: Path
) -> Iterator[Document]:
    """Yield a corpus's documents in the order of a hash of salt and document id.

    Corpora that hold the same ids come in the same order whatever their texts and shards are, and
    one that lacks some comes in the same order without them. Documents are dealt to files by the
    hash's leading bits, and the files are sorted one after another: memory holds one of them.

    Args:
        corpus: what is read.
        salt: draws the order.
        excluded: ids that are left out.
        spill: an existing folder for the files, with room for the corpus.
    """
    buckets = min(MOST_BUCKETS, -(-corpus.documents // HELD))
    with tempfile.TemporaryDirectory(prefix="order-", dir=spill) as folder:
        files = [Path(folder) / f"{bucket}.arrow" for bucket in range(buckets)]
        _deal(corpus, salt, excluded, files)
        for file in files:
            with pa.ipc.open_stream(str(file)) as reader:
                documents = list(from_table(reader.read_all(), Document))
            documents.sort(key=lambda each: (order_key(salt, each.doc_id), each.doc_id))
            yield from documents


def _deal(corpus: CorpusRef, salt: str, excluded: frozenset[str], files: list[Path]) -> None:
    with ExitStack() as stack:
        writers: list[Any] = []
        for file in files:
            sink = stack.enter_context(pa.OSFile(str(file), "wb"))
            writers.append(stack.enter_context(pa.ipc.new_stream(sink, DOCUMENTS)))
        held: list[list[Document]] = [[] for _ in files]
        count = 0
        for document in iterate(corpus):
            if document.doc_id in excluded:
                continue
            held[order_key(salt, document.doc_id) * len(files) >> 64].append(document)
            count += 1
            if count % HELD == 0:
                _flush(writers, held)
        _flush(writers, held)


def _flush(writers: list[Any], held: list[list[Document]]) -> None:
    for writer, documents in zip(writers, held, strict=True):
        if documents:
            writer.write_table(to_table(documents, DOCUMENTS))
            documents.clear()
