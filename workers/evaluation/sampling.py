"""A fixed number of documents, drawn by nothing but their ids: the same in every generation."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from workers.shuffling import order_key

Keyed = tuple[str, str]
"""A document's id and its text."""
MOST_CHARACTERS = 20_000


def drawn(
    documents: Iterable[Keyed], size: int, salt: str = "", most_characters: int = MOST_CHARACTERS
) -> list[Keyed]:
    """The documents whose hashed ids are smallest, in the order of these hashes.

    That is a simple random sample whatever the order of the documents is, and corpora that hold the
    same ids give the same sample. At most `size` documents are held.

    Args:
        documents: any number, ids unique.
        size: how many to draw; fewer are all drawn.
        salt: draws another sample.
        most_characters: a longer text is cut off there, so that one giant cannot fill the memory.
    """
    held: list[tuple[int, str, str]] = []
    for doc_id, text in documents:
        # Negated, since the heap gives up its smallest and the largest hash has to go.
        key = -order_key(salt, doc_id)
        if len(held) < size:
            heapq.heappush(held, (key, doc_id, text[:most_characters]))
        elif held and key > held[0][0]:
            heapq.heapreplace(held, (key, doc_id, text[:most_characters]))
    held.sort(key=lambda each: (-each[0], each[1]))
    return [(doc_id, text) for _, doc_id, text in held]
