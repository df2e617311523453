"""Made-up rows of changed documents, as a generation of the loop hands them to the record.

Ten generations of a corpus: each of them does something to each document, the hash before is the
hash after of the generation before, and every score, reason and principle is drawn from a seed.
Rows are made a block at a time and the seconds that this takes are kept apart, so that a
measurement of ingest can leave them out without holding a generation in memory.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

DOCUMENTS_A_SHARD = 10_000
_BLOCK = 10_000
_HEX = 64

# Shares as the demo's record has them: most failing documents are revised, some revisions refused.
_PRINCIPLES = ("honesty", "oversight", "honesty,oversight")
_ACCEPTED, _UNCHANGED, _REFUSED = 0.78, 0.14, 0.08


def doc_id(number: int) -> str:
    """Stable id of a document by its number in the corpus."""
    return f"c4-en-{number // DOCUMENTS_A_SHARD:05d}-{number:09d}"


def source(number: int) -> str:
    """The shard that a document was imported from."""
    return f"c4-en/train-{number // DOCUMENTS_A_SHARD:05d}.parquet"


def _said() -> tuple[list[tuple[str, str, str]], list[float]]:
    """Every (action, principle, reason) of a generation, and how often each is said."""
    said: list[tuple[str, str, str]] = []
    shares: list[float] = []
    hundredths = [f"{number / 100:+.2f}" for number in range(-15, 10)]
    for principle in _PRINCIPLES:
        refused = [
            f"{rater}: {name} gained {gain}"
            for rater in ("self-rater", "acceptance rater")
            for name in principle.split(",")
            for gain in hundredths
        ]
        said += [("revise", principle, "accepted")]
        said += [("keep", principle, "the reviser changed nothing")]
        said += [("keep", principle, reason) for reason in refused]
        shares += [_ACCEPTED, _UNCHANGED, *([_REFUSED / len(refused)] * len(refused))]
    return said, shares


_SAID, _SHARES = _said()


@dataclass(slots=True)
class DocumentRows:
    """The rows of one generation; iterate once, then read what they took and hold."""

    documents: int
    generation: int
    seconds: float = 0.0
    """Spent on making them."""
    actions: Counter[str] = field(default_factory=Counter)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for first in range(0, self.documents, _BLOCK):
            began = time.perf_counter()
            block = _block(first, min(_BLOCK, self.documents - first), self.generation)
            self.actions.update(row["action"] for row in block)
            self.seconds += time.perf_counter() - began
            yield from block


def _block(first: int, count: int, generation: int) -> list[dict[str, Any]]:
    random = Random(f"{generation} {first}")
    before, after = _digests(first, count, generation - 1), _digests(first, count, generation)
    rows: list[dict[str, Any]] = []
    said = random.choices(_SAID, _SHARES, k=count)
    for at, (action, principle, reason) in enumerate(said):
        digits = slice(at * _HEX, (at + 1) * _HEX)
        revised = action == "revise"
        rows.append(
            {
                "doc_id": doc_id(first + at),
                "action": action,
                "before_sha256": before[digits],
                "after_sha256": after[digits],
                "principle": principle,
                "score_before": random.random() / 2,
                "score_after": (1 + random.random()) / 2,
                "acceptance_score": random.random() if revised else None,
                "edit_distance": random.random() / 10,
                "reason": reason,
                "source": source(first + at),
            }
        )
    return rows


def _digests(first: int, count: int, generation: int) -> str:
    """Hexadecimal digests of a block's texts, end to end."""
    return Random(f"text {generation} {first}").randbytes(count * _HEX // 2).hex()
