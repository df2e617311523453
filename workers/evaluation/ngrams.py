"""Words of a text and hashes of its runs of n words, for comparisons across documents."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
_WORD = re.compile(r"\w+(?:['’]\w+)*")


def words_in(text: str) -> list[str]:
    """Words of a text without case and punctuation.

    A script that puts no space between words gives one word a phrase.
    """
    return _WORD.findall(text.casefold())


def ngrams(words: Sequence[str], n: int) -> list[str]:
    """Every run of n words, in order; none where the text is shorter."""
    return [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]


def hash_of(run: str) -> int:
    """64-bit hash of a run of words, the same in every process."""
    return xxhash.xxh3_64_intdigest(run.encode("utf-8", "surrogatepass"))


def ngram_hashes(words: Sequence[str], n: int) -> Hashes:
    """The distinct runs of n words as sorted 64-bit hashes."""
    found = {hash_of(run) for run in ngrams(words, n)}
    return np.sort(np.fromiter(found, np.uint64, len(found)))
