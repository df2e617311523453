"""Every document of a corpus by both anchors, and how the means of two corpora differ."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from workers.corpora.store import CorpusRef
from workers.evaluation.anchor_items import AnchorRole
from workers.evaluation.anchors import Anchor
from workers.evaluation.catalogue import AUDIT_ANCHOR, GATE_ANCHOR
from workers.evaluation.estimates import RunningMean
from workers.evaluation.replication import SeedEstimate
from workers.evaluation.statistics import Floats, influence, ratio
from workers.jobs import shard_file
from workers.records import MetricRow
from workers.sharing import MOUNTED, SharedStore
from workers.storage import read_table, write_table

TASK = "anchors"
# Raised when the same corpus and anchors would give other scores or figures.
VERSION = "1"
METRICS: dict[AnchorRole, str] = {"gate": GATE_ANCHOR, "audit": AUDIT_ANCHOR}
SCORES = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("text_sha256", pa.string(), nullable=False),
        pa.field("characters", pa.int64(), nullable=False),
        pa.field("label", pa.int8()),
        pa.field("gate", pa.float64()),
        pa.field("audit", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True)
class CorpusScores:
    """What the anchors say of a corpus."""

    rows: tuple[MetricRow, ...]
    """The mean over documents of each anchor, with its standard error."""
    digests: tuple[str, ...]
    """SHA-256 of each shard's file, in order."""
    desirable: float | None
    """The gate anchor's mean over documents labelled 1; None without any."""


def score_corpus(
    corpus: CorpusRef,
    anchors: Mapping[AnchorRole, Anchor],
    out: Path,
    store: SharedStore = MOUNTED,
) -> CorpusScores:
    """Mean score of a corpus by the gate anchor and by the audit anchor, and each document's.

    Args:
        corpus: what is scored, a shard at a time.
        anchors: one of each role.
        out: folder that gets a file of the schema `SCORES` for each shard.
        store: where the corpus is fetched and the files are published.
    """
    store.fetch_folder(corpus.uri)
    means = {role: RunningMean() for role in METRICS}
    desirable = RunningMean()
    digests: list[str] = []
    for index in range(len(corpus.shards)):
        held = read_table(corpus.shard_path(index), ["doc_id", "text", "text_sha256", "label"])
        texts, labels = held["text"].to_pylist(), held["label"].to_pylist()
        scores = {role: anchors[role].scores(texts) for role in METRICS}
        for role, found in scores.items():
            for score in found:
                means[role].add(score)
        for score, label in zip(scores["gate"], labels, strict=True):
            if label == 1:
                desirable.add(score)
        columns = {
            "doc_id": held["doc_id"],
            "text_sha256": held["text_sha256"],
            "characters": [len(text) for text in texts],
            "label": held["label"],
            **scores,
        }
        path = shard_file(out, index)
        digests.append(write_table(path, pa.table(columns, schema=SCORES)))
        store.publish_file(path)
    rows = tuple(means[role].row(TASK, metric, VERSION) for role, metric in METRICS.items())
    return CorpusScores(rows, tuple(digests), desirable.mean if desirable.n else None)


def difference_of_means(
    seed: int, treated: tuple[Floats, Floats], control: tuple[Floats, Floats]
) -> SeedEstimate:
    """One seed's difference of the mean scores of two corpora, treated minus control.

    Documents are the items. Those of both corpora are paired; one that is in a single corpus, or
    has a score in one alone, adds to that mean only, as what a filter dropped does. Unmeasured for
    fewer than two documents, or where a corpus has none with a score.

    Args:
        seed: whose it is.
        treated: values and weights of every document of either corpus, in one order for both; a
            document without a score there has weight and value 0.
        control: the same of the other corpus.
    """
    n = len(treated[0])
    if n < 2 or not treated[1].sum() or not control[1].sum():
        return SeedEstimate(seed, None, None, n)
    own = influence(*treated) - influence(*control)
    error = float(np.std(own, ddof=1)) / math.sqrt(n)
    return SeedEstimate(seed, ratio(*treated) - ratio(*control), error, n, own)
