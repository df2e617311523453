"""What a cascade's classifier learns from, and what it misses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import beta

from workers.cascade import CONFIDENCE, Distillation, Distilled, distil
from workers.cascade_jobs import passing_of
from workers.corpora.store import CorpusRef
from workers.jobs import shard_file
from workers.rating import lowest
from workers.records import DOCUMENTS, Document, MetricRow, Rating, from_table
from workers.sharing import MOUNTED, SharedStore
from workers.storage import read_table

TASK = "cascade"


@dataclass(slots=True)
class Audited:
    """Counts of documents."""

    documents: int = 0
    settled: int = 0
    """Let pass without the model."""
    audited: int = 0
    """Let pass by the classifier, and rated by the model all the same."""
    missed: int = 0
    """Of those, fall short by the model."""
    unscored: int = 0
    """Of those, could not be rated by the model."""

    def rows(self) -> list[MetricRow]:
        """The share that was let pass, and what of the audited falls short, with its bound."""
        scored = self.audited - self.unscored
        missed = self.missed / scored if scored else None
        error = None if missed is None else math.sqrt(missed * (1 - missed) / scored)
        most = float(beta.ppf(CONFIDENCE, self.missed + 1, scored - self.missed)) if scored else 1.0
        most = 1.0 if math.isnan(most) else most
        return [
            MetricRow(TASK, "cascade/settled", self.settled / self.documents, self.documents),
            MetricRow(TASK, "cascade/missed", missed, scored, error, self.unscored),
            MetricRow(TASK, "cascade/missed_at_most", most, scored, None, self.unscored),
        ]


def distil_sample(
    corpus: CorpusRef,
    sample: Path,
    threshold: float,
    max_missed: float,
    store: SharedStore = MOUNTED,
) -> Distillation:
    """Distil the rater from its ratings of a sample; what it could not rate teaches nothing.

    Args:
        corpus: what the sample is of.
        sample: folder of its ratings.
        threshold: a document with a score under it falls short.
        max_missed: most of what passes that may fall short.
        store: where the corpus is fetched from.
    """
    texts: list[str] = []
    falls_short: list[bool] = []
    for document, ratings in _rated(corpus, sample, store):
        score = _score(ratings)
        if score is not None:
            texts.append(document.text)
            falls_short.append(score < threshold)
    return distil(texts, falls_short, max_missed)


def audited(
    corpus: CorpusRef,
    sample: Path,
    ratings: Path,
    classifier: Distilled,
    threshold: float,
    store: SharedStore = MOUNTED,
) -> Audited:
    """Count what a classifier let pass, and hold it against the model where that was asked too."""
    found = Audited()
    for shard in range(len(corpus.shards)):
        sampled = set(read_table(shard_file(sample, shard), ["doc_id"])["doc_id"].to_pylist())
        asked: dict[str, tuple[Document, list[Rating]]] = {}
        for document, rows in _rated_of(corpus, ratings, shard, store):
            found.documents += 1
            if rows[0].status == "settled":
                found.settled += 1
            elif document.doc_id not in sampled:
                asked[document.doc_id] = document, rows
        for document in passing_of(classifier, [each for each, _ in asked.values()]):
            score = _score(asked[document.doc_id][1])
            found.audited += 1
            found.unscored += score is None
            found.missed += score is not None and score < threshold
    return found


def _rated(
    corpus: CorpusRef, ratings: Path, store: SharedStore
) -> Iterator[tuple[Document, list[Rating]]]:
    for shard in range(len(corpus.shards)):
        yield from _rated_of(corpus, ratings, shard, store)


def _rated_of(
    corpus: CorpusRef, ratings: Path, shard: int, store: SharedStore
) -> Iterator[tuple[Document, list[Rating]]]:
    """The documents of a shard that have ratings, with them."""
    rows: dict[str, list[Rating]] = {}
    for row in from_table(read_table(shard_file(ratings, shard)), Rating):
        rows.setdefault(row.doc_id, []).append(row)
    path = store.fetch_file(corpus.shard_path(shard), corpus.shards[shard].digest)
    for document in from_table(read_table(path).select(DOCUMENTS.names), Document):
        if document.doc_id in rows:
            yield document, rows[document.doc_id]


def _score(ratings: list[Rating]) -> float | None:
    return lowest({each.principle: each.score for each in ratings})
