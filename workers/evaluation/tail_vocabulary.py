"""The tail of a vocabulary: corpus 0's rare words, and how many of them are left."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from workers.evaluation.measures import Measure, mean_measure
from workers.evaluation.ngrams import hash_of, ngrams, words_in

FEWER_THAN = 5
MOST_WORDS = 50_000


@dataclass(frozen=True, slots=True)
class RareWords:
    """Words, or runs of `order` words, that are rare in corpus 0."""

    order: int
    words: frozenset[str]


def rare_words(
    texts: Iterable[str],
    *,
    fewer_than: int = FEWER_THAN,
    order: int = 1,
    most: int = MOST_WORDS,
) -> RareWords:
    """Words that come fewer than `fewer_than` times in corpus 0.

    A vocabulary grows with its corpus, so only the `most` words of smallest hash are counted: a
    uniform sample of the vocabulary with exact counts, in one pass (distinct sampling, Gibbons
    2001).

    Args:
        texts: corpus 0's.
        fewer_than: counts from 1 to one less make a word rare.
        order: 1 for words; n for runs of n words, for worlds so small that no word is rare.
        most: how many words are counted at once.
    """
    counts: Counter[str] = Counter()
    largest: list[tuple[int, str]] = []
    limit = 2**64
    for text in texts:
        for term, times in Counter(ngrams(words_in(text), order)).items():
            if term in counts:
                counts[term] += times
                continue
            key = hash_of(term)
            if key >= limit:
                continue
            counts[term] = times
            heapq.heappush(largest, (-key, term))
            if len(counts) > most:
                # Every later word has to hash below what is given up, so no count is ever short.
                gone, word = heapq.heappop(largest)
                limit = -gone
                del counts[word]
    rare = frozenset(term for term, times in counts.items() if times < fewer_than)
    return RareWords(order, rare)


def tail_vocabulary(
    rare: RareWords, texts: Iterable[str], *, of: Literal["corpus", "samples"] = "corpus"
) -> Measure:
    """Share of corpus 0's rare words that are still used; 1 for corpus 0 itself.

    The error treats the rare words as a sample of all that could be rare. No rare word gives no
    value. What a model writes is far shorter than a corpus: compare it with the control's.
    """
    left = set(rare.words)
    for text in texts:
        if not left:
            break
        left.difference_update(ngrams(words_in(text), rare.order))
    present = [float(term not in left) for term in sorted(rare.words)]
    name = "tail_vocabulary" if rare.order == 1 else f"tail_{rare.order}grams"
    return mean_measure("collapse", f"collapse/{of}/{name}", present)
