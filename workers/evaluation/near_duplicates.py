"""Near-duplicates of sampled documents, looked for in a whole corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Literal

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer

from workers.evaluation.measures import Measure, mean_measure
from workers.evaluation.ngrams import ngrams, words_in
from workers.evaluation.sampling import MOST_CHARACTERS, Keyed

SHINGLE = 5
THRESHOLD = 0.8
BATCH = 500


def near_duplicates(
    sample: Sequence[Keyed],
    documents: Iterable[Keyed],
    *,
    of: Literal["corpus", "samples"] = "corpus",
    threshold: float = THRESHOLD,
) -> Measure:
    """Share of sampled documents that have a near-duplicate among all documents.

    Two documents are near-duplicates when the Jaccard similarity of their sets of five-word runs is
    at least the threshold, as in Lee et al. 2022 but exact: against a sample of fixed size no
    sketch is needed. Other ids alone count. Documents without a word are unscored. Memory holds the
    sample and one batch.
    """
    vectorizer = _vectorizer()
    held = [(doc_id, text) for doc_id, text in sample if words_in(text)]
    found = np.zeros(len(held), bool)
    if held:
        own = vectorizer.transform([text for _, text in held])
        sizes = np.asarray(own.sum(axis=1)).ravel()
        ids = np.array([doc_id for doc_id, _ in held], object)
        for batch in _batches(documents):
            rows = vectorizer.transform([text[:MOST_CHARACTERS] for _, text in batch])
            shared = (rows @ own.T).tocoo()
            totals = np.asarray(rows.sum(axis=1)).ravel()
            union = totals[shared.row] + sizes[shared.col] - shared.data
            names = np.array([doc_id for doc_id, _ in batch], object)
            alike = (shared.data >= threshold * union) & (names[shared.row] != ids[shared.col])
            found[shared.col[alike]] = True
    return mean_measure(
        "collapse",
        f"collapse/{of}/near_duplicates",
        found.astype(float).tolist(),
        unscored=len(sample) - len(held),
    )


def _vectorizer() -> Any:
    # Its stubs know neither a function as analyzer nor rows that are left as they are.
    options: dict[str, Any] = {"analyzer": _shingles, "norm": None}
    return HashingVectorizer(n_features=2**20, binary=True, alternate_sign=False, **options)


def _shingles(text: str) -> list[str]:
    """Runs of five words, or the whole text where it is shorter."""
    words = words_in(text)
    return ngrams(words, SHINGLE) or ([" ".join(words)] if words else [])


def _batches(documents: Iterable[Keyed]) -> Iterator[list[Keyed]]:
    rest = iter(documents)
    while batch := list(islice(rest, BATCH)):
        yield batch
