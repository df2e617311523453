"""Decontamination of one generation: its accepted revisions against what every evaluation asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from configs.corpora import Corpus, MicroworldCorpus
from configs.evaluation import Evaluation
from configs.experiment import Experiment
from workers.assembling import decided
from workers.corpora.store import CorpusRef, iterate
from workers.evaluation.decontamination import (
    MICROWORLD,
    REAL_TEXT,
    TASK,
    VERSION,
    EvaluationIndex,
    OverlapRule,
    decontaminate,
)
from workers.evaluation.sampling import Keyed
from workers.microworld.world import WorldParams
from workers.records import MetricRow
from workers.sharing import MOUNTED, SharedStore

# What the oracle asks is looked for and counted, and may not steer what a model is trained on.
ORACLE = "oracle"


@dataclass(frozen=True)
class Contamination:
    """Decisions of a generation, and what its models will be asked."""

    experiment: Experiment
    corpus: CorpusRef
    """What the decisions are about."""
    decisions: Path
    """Folder of their shards."""
    held_out: CorpusRef | None
    store: SharedStore = MOUNTED


def overlap_rule(corpus: Corpus) -> OverlapRule:
    """When a revision holds too much of an item: the microworld says the same all the time."""
    return MICROWORLD if isinstance(corpus, MicroworldCorpus) else REAL_TEXT


def contaminated(spec: Contamination) -> tuple[list[MetricRow], list[str]]:
    """Search accepted revisions for what evaluations ask.

    Returns:
        For each evaluation the share of accepted revisions that hold an item of it,
        `decontamination/excluded` for those not to be trained on; and the ids of these, sorted.
    """
    # Frozen models can be hashed, which their stubs do not say.
    settings: Any = spec.experiment
    index = _index(settings.evaluation, settings.corpus, spec.held_out)
    found = decontaminate(index, _accepted(spec))
    excluded = {each.doc_id for each in found.offences if each.evaluation != ORACLE}
    total = max((row.n + row.unscored for row in found.rows), default=0)
    share = len(excluded) / total if total else None
    row = MetricRow(TASK, f"{TASK}/excluded", share, total, task_version=VERSION)
    return [*found.rows, row], sorted(excluded)


# Arms and generations of a seed are asked the same; what is held for it are some megabytes.
@lru_cache(maxsize=8)
def _index(evaluation: Evaluation, corpus: Corpus, held_out: CorpusRef | None) -> EvaluationIndex:
    return EvaluationIndex(asked(evaluation, corpus, held_out), overlap_rule(corpus))


def asked(
    evaluation: Evaluation, corpus: Corpus, held_out: CorpusRef | None
) -> dict[str, Iterator[str]]:
    """Texts of what each evaluation asks, by its name; documents held out go by `held_out`.

    `pairs` is not among them: it asks about the dialogues of which the corpus is made.
    """
    found: dict[str, Iterator[str]] = {}
    if held_out is not None:
        found["held_out"] = (document.text for document in iterate(held_out))
    if "harness" in evaluation.tasks:
        # Imported when asked for, because it takes seconds.
        from workers.evaluation.harness_items import item_texts as harness_texts

        documents = islice(iterate(held_out), evaluation.items) if held_out else None
        texts = [document.text for document in documents] if documents else None
        found["harness"] = harness_texts(evaluation.harness, texts)
    if ORACLE in evaluation.tasks and isinstance(corpus, MicroworldCorpus):
        # Imported when asked for, so that everything else runs with the oracle deleted.
        from workers.evaluation.oracle_tasks import item_texts

        params = WorldParams(misaligned_share=corpus.misaligned_share)
        found[ORACLE] = item_texts(evaluation, params)
    return found


def _accepted(spec: Contamination) -> Iterator[Keyed]:
    for _, row in decided(spec.corpus, spec.decisions, spec.store):
        if row.action == "revise":
            yield row.doc_id, row.text or ""
