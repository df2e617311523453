"""Documents' scores by anchors and self-raters, read together from their files by DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flows.ratings import connection, shard_globs
from workers.evaluation.agreement import RatedText
from workers.evaluation.corpus_scores import difference_of_means
from workers.evaluation.estimates import RunningMean
from workers.evaluation.replication import SeedEstimate

# A document's rating is the lowest over principles, and none where one of those has none.
_SELF = """SELECT doc_id, CASE WHEN count(score) = count(*) THEN min(score) END AS score
FROM read_parquet($files) GROUP BY doc_id"""
_GATE = "SELECT doc_id, gate AS score FROM read_parquet($files)"
_BOTH = """
SELECT coalesce(l.score, 0.0) AS own, CAST(l.score IS NOT NULL AS DOUBLE) AS own_weight,
       coalesce(r.score, 0.0) AS other, CAST(r.score IS NOT NULL AS DOUBLE) AS other_weight
FROM ({one}) l FULL JOIN ({other}) r USING (doc_id) ORDER BY doc_id
"""
# Drawn by a hash of the id: the same documents in every generation.
_RATED = """
SELECT s.score, a.gate, a.characters, a.text_sha256 != coalesce(z.text_sha256, ''), a.label
FROM read_parquet($scores) a
LEFT JOIN ({own}) s USING (doc_id)
LEFT JOIN (SELECT doc_id, text_sha256 FROM read_parquet($first)) z USING (doc_id)
ORDER BY sha256(doc_id) LIMIT $documents
"""


def anchor_difference(seed: int, treated: Path, control: Path) -> SeedEstimate:
    """Difference of the gate anchor's means of two corpora, over their documents.

    Args:
        seed: whose they are.
        treated: folder of the anchors' scores of one.
        control: the same of the other, which is subtracted.
    """
    return _difference(_GATE, seed, treated, control)


def self_difference(seed: int, treated: Path, control: Path) -> SeedEstimate:
    """The same of two corpora by their own models, from the folders of their ratings."""
    return _difference(_SELF, seed, treated, control)


def self_score(ratings: Path) -> RunningMean:
    """Mean over documents of a self-rater's score."""
    mean = RunningMean()
    # In order, since sums in another have other last bits.
    found = connection().sql(f"{_SELF} ORDER BY doc_id", params={"files": _files(ratings)})
    for batch in found.to_arrow_reader():
        for score in batch.column("score").to_pylist():
            mean.add(score)
    return mean


def rated_texts(
    scores: Path, ratings: Path, first: Path, documents: int
) -> tuple[list[RatedText], list[int | None]]:
    """A fixed sample of a corpus' documents by self-rater and gate anchor, and their labels.

    Args:
        scores: folder of the anchors' scores of the corpus.
        ratings: folder of the self-rater's ratings of it.
        first: folder of the anchors' scores of corpus 0; what has another text there was revised by
            an earlier model of the arm, and counts as the self-rater's own.
        documents: size of the sample.
    """
    statement = _RATED.format(own=_SELF.replace("$files", "$ratings"))
    params = {
        "scores": _files(scores),
        "ratings": _files(ratings),
        "first": _files(first),
        "documents": documents,
    }
    rows = connection().execute(statement, params).fetchall()
    return [RatedText(*row[:4]) for row in rows], [row[4] for row in rows]


def _difference(query: str, seed: int, treated: Path, control: Path) -> SeedEstimate:
    statement = _BOTH.format(
        one=query.replace("$files", "$treated"), other=query.replace("$files", "$control")
    )
    params = {"treated": _files(treated), "control": _files(control)}
    found: Any = connection().execute(statement, params).fetchnumpy()
    own, weights, others, other_weights = (np.asarray(column, float) for column in found.values())
    return difference_of_means(seed, (own, weights), (others, other_weights))


def _files(folder: Path) -> Sequence[str]:
    return shard_globs([folder])
