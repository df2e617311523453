"""Counting what corpora and training mixes hold, where the truth is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.asking import Acceptance
from configs.principles import Principles
from configs.prompts import PromptFile
from workers.acceptance import Rules
from workers.assembling import decided
from workers.checkpoints import CheckpointRef, load_tokenizer
from workers.corpora.store import CorpusRef, iterate
from workers.evaluation.collapse import corpus_collapse
from workers.evaluation.fidelity import Of, drift, fidelity, revised_pairs
from workers.evaluation.sampling import Keyed
from workers.evaluation.tail_vocabulary import rare_words
from workers.mix_specs import pool_name
from workers.mixing import iterate_mix, open_mix
from workers.prompts import Prompts
from workers.records import MetricRow
from workers.sharing import MOUNTED, SharedStore


@dataclass(frozen=True)
class CorpusCensus:
    """Corpora to count over; with a mix, weighted by the tokens that training drew from each."""

    parts: tuple[tuple[CorpusRef, str | None], ...]
    """Corpora, each with the name of the mix's pool that was drawn from it."""
    mix_uri: str | None = None
    store: SharedStore = MOUNTED
    """What is read is fetched from it, on a node that lacks it."""

    def fetch(self) -> None:
        """Have the corpora and the mix on this node."""
        for uri in (*(corpus.uri for corpus, _ in self.parts), *filter(None, [self.mix_uri])):
            self.store.fetch_folder(uri)


@dataclass(frozen=True)
class RevisedTexts:
    """What was decided about a corpus, and what the reviser was told."""

    corpus: CorpusRef
    decisions: Path
    """Folder of their shards."""
    reviser: CheckpointRef
    acceptance: Acceptance
    prompt_file: PromptFile
    principles: Principles
    store: SharedStore = MOUNTED


def corpus_census(census: CorpusCensus) -> list[MetricRow]:
    """True misaligned share of a microworld corpus."""
    from workers.evaluation.oracle_tasks import corpus_share

    census.fetch()
    return [corpus_share(corpus) for corpus, _ in census.parts]


def collapse_census(
    corpus: CorpusRef, first: CorpusRef, order: int, store: SharedStore
) -> list[MetricRow]:
    """Measures of how much a corpus repeats itself, and of what it lost of corpus 0's tail.

    Args:
        corpus: what is measured.
        first: corpus 0.
        order: length of the runs of words of which the tail is made.
        store: where a node fetches what it lacks.
    """
    for each in (corpus, first):
        store.fetch_folder(each.uri)
    rare = rare_words((document.text for document in iterate(first)), order=order)
    found = corpus_collapse(lambda: _keyed(corpus), rare)
    return [measure.row for measure in found]


def drift_census(corpus: CorpusRef, first: CorpusRef, store: SharedStore) -> list[MetricRow]:
    """How far a corpus has moved from corpus 0, document by document."""
    for each in (corpus, first):
        store.fetch_folder(each.uri)
    return drift(_keyed(first), _keyed(corpus))


def fidelity_census(texts: RevisedTexts) -> list[MetricRow]:
    """What a generation's revisions kept and leaked, accepted ones and all proposed."""
    texts.store.fetch_folder(texts.reviser.uri)
    prompts = Prompts(texts.prompt_file, texts.principles, load_tokenizer(texts.reviser))
    rules = Rules.build(texts.acceptance, prompts)
    found: list[MetricRow] = []
    sides: tuple[Of, ...] = ("accepted", "proposed")
    for of in sides:
        rows = decided(texts.corpus, texts.decisions, texts.store)
        found += fidelity(revised_pairs(rows, of), rules, of)
    return found


def training_census(censuses: Sequence[CorpusCensus]) -> list[MetricRow]:
    """True misaligned share of the tokens that a model's stages on corpora saw."""
    from workers.evaluation.oracle_tasks import training_share

    parts: list[tuple[CorpusRef, dict[str, int]]] = []
    for census in censuses:
        census.fetch()
        drawn: dict[str, dict[str, int]] = {}
        for row in iterate_mix(open_mix(census.mix_uri or "")):
            seen = drawn.setdefault(pool_name(row.real, row.back), {})
            seen[row.doc_id] = seen.get(row.doc_id, 0) + len(row.input_ids)
        parts += [(corpus, drawn.get(pool or "", {})) for corpus, pool in census.parts]
    return [training_share(parts)]


def _keyed(corpus: CorpusRef) -> Iterator[Keyed]:
    return ((document.doc_id, document.text) for document in iterate(corpus))
