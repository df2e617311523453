"""A capability's decisions permuted across documents: the corpus in which it is of no use."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from workers.microworld.decisions import CAPABILITIES, Decision
from workers.records import Document, text_digest

Documents = Callable[[], Iterable[Document]]


def permuted(documents: Documents, capability: str, seed: int) -> Iterator[Document]:
    """Yield the documents with the words that decide a capability permuted across them.

    Each word goes to the place of another of the same choice, so that every document stays as long
    as it was and every word as frequent; all that is lost is what the words say about the rest of
    their documents, and the rest about them. Documents are read twice, and what is held of them is
    one small number for each decision.

    Args:
        documents: gives the documents, in the same order each time.
        capability: one of `CAPABILITIES`.
        seed: draws the permutation.
    """
    find = CAPABILITIES[capability]
    drawn = _drawn_words(documents(), find, capability, seed)
    for document in documents():
        words = document.text.split(" ")
        for decision in find(tuple(words)):
            words[decision.position] = next(drawn[decision.choice])
        text = " ".join(words)
        if text != document.text:
            document = replace(document, text=text, text_sha256=text_digest(text))
        yield document


def _drawn_words(
    documents: Iterable[Document],
    find: Callable[[Sequence[str]], Iterator[Decision]],
    capability: str,
    seed: int,
) -> dict[str, Iterator[str]]:
    """The words of every choice, in drawn order."""
    words_of: dict[str, list[str]] = defaultdict(list)
    known: dict[str, str] = {}
    for document in documents:
        words = document.text.split(" ")
        for decision in find(words):
            word = words[decision.position]
            # One copy of each word, however often it stands.
            words_of[decision.choice].append(known.setdefault(word, word))
    for choice, words in words_of.items():
        _shuffle(words, random.Random(f"{capability}|{choice}|{seed}").random)
    return {choice: iter(words) for choice, words in words_of.items()}


def _shuffle(words: list[str], unit: Callable[[], float]) -> None:
    """Fisher and Yates; `random.random` alone is promised to stay the same between versions."""
    for last in range(len(words) - 1, 0, -1):
        other = int(unit() * (last + 1))
        words[last], words[other] = words[other], words[last]
