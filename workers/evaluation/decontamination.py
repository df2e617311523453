"""Decontamination: revised text that holds items of an evaluation, and so must not be trained on.

Two rules, both over words without case and punctuation. Real text: a document offends when it
shares one run of 13 words with an item (Brown et al. 2020, appendix C); items of 8 to 12 words
offend as a whole, shorter ones only where the document is nothing else. A small closed world
says the same runs again and again: there a document offends when it is an item, or holds a stated
share of one item's runs of 8 words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from workers.evaluation.ngrams import Hashes, hash_of, ngram_hashes, words_in
from workers.evaluation.sampling import Keyed
from workers.records import MetricRow

VERSION = "1"
TASK = "decontamination"


@dataclass(frozen=True, slots=True)
class OverlapRule:
    """When a document holds too much of an evaluation's item."""

    n: int
    """Words in a run."""
    shortest: int
    """An item of fewer words offends only where a document is equal to it."""
    share: float
    """Least share of an item's runs that a document must hold; 0 stands for a single run."""


REAL_TEXT = OverlapRule(n=13, shortest=8, share=0.0)
# Of 20,000 documents that share nothing with the items, none offends, while 176 do at
# 13 words. At a share of 0.8 it is 21: contexts of few words say what everyone says.
MICROWORLD = OverlapRule(n=8, shortest=8, share=0.9)


@dataclass(frozen=True, slots=True)
class Offence:
    """A document that holds an evaluation's item."""

    doc_id: str
    evaluation: str
    kind: Literal["equal", "overlap"]
    share: float
    """Share of the item's runs that the document holds."""


@dataclass(frozen=True, slots=True)
class Decontaminated:
    """What a search of documents found."""

    rows: list[MetricRow]
    """Share of offending documents for each evaluation; a census, so without an error."""
    counts: dict[str, int]
    """Number of offending documents for each evaluation."""
    offences: list[Offence]
    """At most one for a document and evaluation, the gravest."""

    @property
    def doc_ids(self) -> frozenset[str]:
        """Documents not to be trained on."""
        return frozenset(offence.doc_id for offence in self.offences)


@dataclass(frozen=True, slots=True)
class _Runs:
    """All items' runs of one length, sorted by hash; a run of many items comes as often."""

    hashes: Hashes
    items: NDArray[np.int64]


class EvaluationIndex:
    """The runs of every evaluation's items, as hashes; documents are searched one at a time."""

    def __init__(self, evaluations: Mapping[str, Iterable[str]], rule: OverlapRule) -> None:
        """Take in the items' texts by evaluation; memory holds about 20 bytes a run.

        Texts without a word are left out.
        """
        self.rule = rule
        self.names = tuple(evaluations)
        self.counts = dict.fromkeys(self.names, 0)
        """Items of each evaluation."""
        self._owners: list[str] = []
        self._whole: dict[int, set[str]] = {}
        held: dict[int, list[tuple[int, Hashes]]] = {}
        for name, texts in evaluations.items():
            for text in texts:
                words = words_in(text)
                if not words:
                    continue
                self.counts[name] += 1
                self._whole.setdefault(_whole(words), set()).add(name)
                if len(words) >= rule.shortest:
                    length = min(rule.n, len(words))
                    runs = ngram_hashes(words, length)
                    held.setdefault(length, []).append((len(self._owners), runs))
                    self._owners.append(name)
        self._sizes = np.zeros(len(self._owners), np.int64)
        self._runs = {length: self._sorted(own) for length, own in held.items()}

    def _sorted(self, own: list[tuple[int, Hashes]]) -> _Runs:
        for item, runs in own:
            self._sizes[item] = len(runs)
        hashes = np.concatenate([runs for _, runs in own])
        items = np.repeat([item for item, _ in own], [len(runs) for _, runs in own])
        order = np.argsort(hashes, kind="stable")
        return _Runs(hashes[order], items[order])

    def offences(self, documents: Iterable[Keyed]) -> Iterator[Offence]:
        """Yield what offends, document by document, nothing of which is held."""
        for doc_id, text in documents:
            words = words_in(text)
            equal = self._whole.get(_whole(words), set()) if words else set()
            shares = self._shares(words)
            for name in self.names:
                if name in equal:
                    yield Offence(doc_id, name, "equal", 1.0)
                elif name in shares:
                    yield Offence(doc_id, name, "overlap", shares[name])

    def _shares(self, words: list[str]) -> dict[str, float]:
        """Largest share of an item's runs that the words hold, where the rule forbids it."""
        found: dict[str, float] = {}
        for length, runs in self._runs.items():
            own = ngram_hashes(words, length)
            first = np.searchsorted(runs.hashes, own, "left")
            last = np.searchsorted(runs.hashes, own, "right")
            hits = [runs.items[a:b] for a, b in zip(first, last, strict=True) if b > a]
            if not hits:
                continue
            items, counts = np.unique(np.concatenate(hits), return_counts=True)
            for item, share in zip(items, counts / self._sizes[items], strict=True):
                name = self._owners[item]
                if share >= self.rule.share:
                    found[name] = max(found.get(name, 0.0), float(share))
        return found


def decontaminate(index: EvaluationIndex, documents: Iterable[Keyed]) -> Decontaminated:
    """Search documents for the items of every evaluation.

    An evaluation without items gives no value, and leaves every document unscored.

    Args:
        index: of the evaluations.
        documents: ids and revised texts, any number.
    """
    total = 0

    def counted() -> Iterator[Keyed]:
        nonlocal total
        for document in documents:
            total += 1
            yield document

    offences = list(index.offences(counted()))
    counts = dict.fromkeys(index.names, 0)
    for offence in offences:
        counts[offence.evaluation] += 1
    rows = [
        MetricRow(
            TASK,
            f"{TASK}/{name}",
            counts[name] / total if total and index.counts[name] else None,
            total if index.counts[name] else 0,
            unscored=0 if index.counts[name] else total,
            task_version=VERSION,
        )
        for name in index.names
    ]
    return Decontaminated(rows, counts, offences)


def _whole(words: list[str]) -> int:
    return hash_of(" ".join(words))
