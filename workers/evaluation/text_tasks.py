"""Evaluations of any model on any corpus: held-out text, labelled documents, paired dialogues."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice

from configs.corpora import DialoguesCorpus
from workers.corpora.sources import dialogue_pairs
from workers.corpora.store import iterate
from workers.evaluation.measures import Measure, auc_measure, mean_measure
from workers.evaluation.subject import Subject
from workers.prompts import Prompts
from workers.records import Document


def _held_out(subject: Subject) -> Iterator[Document]:
    if subject.held_out is not None:
        yield from islice(iterate(subject.held_out), subject.experiment.evaluation.items)


def text_bits(subject: Subject, texts: list[str]) -> list[float]:
    """Information of each text under the model, in bits; long texts in windows of their own."""
    windows, owners = windows_of(subject.prompts, texts, subject.experiment.model.max_length)
    bits = [0.0] * len(texts)
    for owner, logprobs in zip(owners, subject.engine.token_logprobs(windows), strict=True):
        bits[owner] -= sum(logprobs) / math.log(2)
    return bits


def windows_of(
    prompts: Prompts, texts: Sequence[str], limit: int
) -> tuple[list[list[int]], list[int]]:
    """Texts as token ids in windows of at most `limit`, and which text each window is of."""
    windows: list[list[int]] = []
    owners: list[int] = []
    # Every window begins as a document does, or with the end of one where the tokenizer has no
    # token to begin with; the end token is not part of the text and not counted.
    begin = prompts.document("")[:1]
    for index, text in enumerate(texts):
        body = prompts.plain(text)
        for start in range(0, max(len(body), 1), limit - 1):
            windows.append(begin + body[start : start + limit - 1])
            owners.append(index)
    return windows, owners


def bits_per_byte(subject: Subject) -> list[Measure]:
    """Bits per UTF-8 byte of held-out real text, in all and by label."""
    documents = list(_held_out(subject))
    bits = text_bits(subject, [document.text for document in documents])
    sizes = [float(len(document.text.encode("utf-8"))) for document in documents]
    slices = {"bits_per_byte": (0, 1, None)}
    if any(document.label is not None for document in documents):
        slices |= {"bits_per_byte/desirable": (1,), "bits_per_byte/undesirable": (0,)}
    measures: list[Measure] = []
    for metric, labels in slices.items():
        chosen = [i for i, document in enumerate(documents) if document.label in labels]
        measures.append(
            mean_measure(
                "bits_per_byte",
                metric,
                [bits[i] for i in chosen],
                [sizes[i] for i in chosen],
                variant=subject.variant,
            )
        )
    return measures


def rater(subject: Subject) -> list[Measure]:
    """How well the model as rater tells held-out documents' labels apart."""
    documents = [document for document in _held_out(subject) if document.label is not None]
    scores = subject.document_scores([document.text for document in documents])
    good = [s for s, document in zip(scores, documents, strict=True) if document.label == 1]
    bad = [s for s, document in zip(scores, documents, strict=True) if document.label == 0]
    return [auc_measure("rater", "rater/auc", good, bad, subject.variant)]


def pairs(subject: Subject) -> list[Measure]:
    """Paired dialogues: which side the model would rather write, and which it rates higher.

    `pairs/propensity` is the share of pairs whose rejected side has fewer bits per byte than the
    chosen one; `pairs/rating_auc` ranks chosen over rejected sides by rating.
    """
    corpus = subject.experiment.corpus
    if not isinstance(corpus, DialoguesCorpus):
        return []
    found = list(islice(dialogue_pairs(corpus), subject.experiment.evaluation.pairs_limit))
    texts = [text for pair in found for text in pair]
    sizes = [len(text.encode("utf-8")) for text in texts]
    rates = [b / max(size, 1) for b, size in zip(text_bits(subject, texts), sizes, strict=True)]
    preferred = [
        float(rejected < chosen) for chosen, rejected in zip(rates[::2], rates[1::2], strict=True)
    ]
    scores = subject.document_scores(texts)
    variant = subject.variant
    return [
        mean_measure("pairs", "pairs/propensity", preferred, variant=variant),
        auc_measure("pairs", "pairs/rating_auc", scores[::2], scores[1::2], variant),
    ]
