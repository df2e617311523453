"""Assembling: corpus n+1 out of corpus n and what was decided about each of its documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workers.corpora.store import CorpusRef, CorpusWriter
from workers.jobs import shard_file
from workers.problems import WorkProblem
from workers.records import ACTIONS, Document, Revision, from_table
from workers.sharing import MOUNTED, SharedStore
from workers.storage import read_table


@dataclass(frozen=True, slots=True)
class Assembled:
    """A new corpus version and how many documents each action fell to."""

    corpus: CorpusRef
    counts: dict[str, int]
    quarantined: tuple[str, ...]
    """Ids of documents that the engine failed on; they leave every arm."""


def decided(
    corpus: CorpusRef, decisions: Path, store: SharedStore = MOUNTED
) -> Iterator[tuple[Document, Revision]]:
    """Yield every document with the decision about it, shard by shard.

    Raises:
        WorkProblem: a document has no decision, or a decision is about another text.
    """
    for shard in range(len(corpus.shards)):
        read = store.fetch_file(corpus.shard_path(shard), corpus.shards[shard].digest)
        documents = from_table(read_table(read), Document)
        rows = from_table(read_table(store.fetch_file(shard_file(decisions, shard))), Revision)
        for document, row in zip(documents, rows, strict=True):
            if (document.doc_id, document.text_sha256) != (row.doc_id, row.before_sha256):
                raise WorkProblem(
                    f"shard {shard}: the decisions do not belong to this corpus (document "
                    f"{document.doc_id}); remove the folder {decisions} and run again"
                )
            yield document, row


def assemble(
    corpus: CorpusRef,
    decisions: Path,
    home: Path,
    shard_documents: int,
    store: SharedStore = MOUNTED,
) -> Assembled:
    """Write the corpus that follows from the decisions, and publish it.

    Raises:
        WorkProblem: the decisions do not cover the corpus one to one, or leave nothing.
    """
    counts: Counter[str] = Counter(dict.fromkeys(ACTIONS, 0))
    quarantined: list[str] = []
    with CorpusWriter(home, shard_documents) as writer:
        for document, row in decided(corpus, decisions, store):
            counts[row.action] += 1
            if row.action == "quarantine":
                quarantined.append(document.doc_id)
            elif row.action == "keep":
                writer.add(document)
            elif row.action in ("revise", "tag"):
                writer.add(
                    replace(document, text=row.text or "", text_sha256=row.after_sha256 or "")
                )
        if sum(counts.values()) != corpus.documents:
            raise WorkProblem(
                f"{corpus.documents} documents went in and {sum(counts.values())} came out"
            )
        if counts["drop"] + counts["quarantine"] == corpus.documents:
            raise WorkProblem(
                f"no document is left: {counts['drop']} were dropped and {counts['quarantine']} "
                "quarantined. Lower rating.threshold, or look at some ratings with "
                "`palimpsest preview`."
            )
        made = writer.finish()
    store.publish_folder(made.uri)
    return Assembled(made, dict(counts), tuple(quarantined))


def changed_documents(
    corpus: CorpusRef, decisions: Path, store: SharedStore = MOUNTED
) -> Iterator[dict[str, Any]]:
    """Yield a row of the record for each document that was not simply kept."""
    for document, row in decided(corpus, decisions, store):
        if row.action == "keep" and not row.reason:
            continue
        yield {
            "doc_id": row.doc_id,
            "action": row.action,
            "before_sha256": row.before_sha256,
            "after_sha256": row.after_sha256,
            "principle": ",".join(row.principles) or None,
            "score_before": row.score_before,
            "score_after": row.score_after,
            "acceptance_score": row.acceptance_after,
            "edit_distance": None if row.similarity is None else 1.0 - row.similarity,
            "reason": row.reason,
            "source": document.source,
        }
