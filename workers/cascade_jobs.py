"""The jobs of a cascade: rating a random sample, and rating what its classifier leaves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from workers.cascade import Distilled
from workers.engines.interface import Engine
from workers.jobs import Part, RateJob, shard_file
from workers.records import RATINGS, Document, Rating, from_table, to_table
from workers.shuffling import order_key
from workers.storage import read_table


def drawn(documents: Iterable[Document], share: float, salt: str) -> list[Document]:
    """A share of documents at random: the same whatever the shards, for one salt."""
    return [each for each in documents if order_key(salt, each.doc_id) < share * 2**64]


@dataclass(frozen=True)
class SampleJob(RateJob):
    """Rates a random sample of the documents."""

    share: float
    salt: str

    def run(self, engine: Engine | None, part: Part) -> pa.Table:
        """Return the ratings of those of the part's documents that are in the sample."""
        sample = drawn(self.documents(part), self.share, self.salt)
        return to_table(self.rated(engine, sample), RATINGS)

    def give_up(self, part: Part, why: str) -> pa.Table:
        """Return ratings without a score of those."""
        sample = drawn(self.documents(part), self.share, self.salt)
        return to_table(self.unrated(sample), RATINGS)


@dataclass(frozen=True)
class CascadeJob(RateJob):
    """Rates what the classifier does not let pass, and a random share of what it does."""

    sample: str
    """Folder of the sample's ratings, which are taken as they are."""
    classifier: str
    """File of the classifier."""
    classifier_id: str
    audit_share: float
    audit_salt: str

    def run(self, engine: Engine | None, part: Part) -> pa.Table:
        """Return the part's ratings; a document that is let pass has the status `settled`."""
        documents = self.documents(part)
        rows = self._of_the_sample(part)
        rest = [each for each in documents if each.doc_id not in rows]
        settled = self._settled(rest)
        asked = [each for each in rest if each.doc_id not in settled]
        quiet = [each for each in rest if each.doc_id in settled]
        for found in (
            self.rated(engine, asked),
            self.unrated(quiet, "settled", self.classifier_id),
        ):
            for row in found:
                rows.setdefault(row.doc_id, []).append(row)
        return to_table([row for each in documents for row in rows[each.doc_id]], RATINGS)

    def _settled(self, documents: Sequence[Document]) -> set[str]:
        passing = passing_of(self._distilled, documents)
        audited = {each.doc_id for each in drawn(passing, self.audit_share, self.audit_salt)}
        return {each.doc_id for each in passing} - audited

    def _of_the_sample(self, part: Part) -> dict[str, list[Rating]]:
        rows: dict[str, list[Rating]] = {}
        path = self.store.fetch_file(shard_file(self.sample, part.shard))
        for row in from_table(read_table(path), Rating):
            rows.setdefault(row.doc_id, []).append(row)
        return rows

    @cached_property
    def _distilled(self) -> Distilled:
        return Distilled.load(self.store.fetch_file(self.classifier), self.classifier_id)


def passing_of(classifier: Distilled, documents: Sequence[Document]) -> list[Document]:
    """The documents that a classifier lets pass."""
    sure = classifier.lets_pass([each.text for each in documents])
    return [each for each, passes in zip(documents, sure, strict=True) if passes]
