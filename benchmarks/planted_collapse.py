"""Corpora that collapse in a known way, and how early the collapse bounds say so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from configs.gating import Gate
from flows import gates
from workers.evaluation.collapse import compression_ratio
from workers.microworld.generator import generate_documents
from workers.microworld.world import WorldParams

# As many documents as the microworld's default corpus trains on, and a sample of the size over
# which collapse is measured.
DOCUMENTS, SAMPLE, HELD_OUT = 2_400, 2_000, 300
LONGEST = 160
MOVED = 0.05
GENERATIONS = 5
NEUTRAL_SEED = 1_000_000

Words = NDArray[np.int64]


class WordModel:
    """A bigram model over words with Witten-Bell smoothing (Chen and Goodman 1999, 2.4)."""

    def __init__(self, documents: Sequence[Words], words: int) -> None:
        """Fit on documents of word numbers under `words`; that number itself ends a document."""
        self.end = words
        text = np.concatenate([np.append(words, document) for document in documents] + [[words]])
        counts = np.bincount(text[:-1] * (words + 1) + text[1:], minlength=(words + 1) ** 2)
        counts = counts.reshape(words + 1, words + 1).astype(float)
        seen = counts.sum(axis=0)
        single = (seen + np.count_nonzero(seen) / (words + 1)) / (
            seen.sum() + np.count_nonzero(seen)
        )
        kinds, total = (counts > 0).sum(axis=1, keepdims=True), counts.sum(axis=1, keepdims=True)
        self.shares = (counts + np.maximum(kinds, 1) * single) / (total + np.maximum(kinds, 1))

    def bits(self, documents: Sequence[Words]) -> float:
        """Information of documents, each with its end, in bits."""
        ended = [np.concatenate([[self.end], each, [self.end]]) for each in documents]
        return -sum(float(np.log2(self.shares[each[:-1], each[1:]]).sum()) for each in ended)

    def write(self, draw: np.random.Generator, count: int, sharpness: float) -> list[Words]:
        """Sample documents; a sharpness over 1 prefers what is likely, as low temperatures do."""
        raised, width = self.shares**sharpness, self.end + 1
        upto = np.cumsum(raised / raised.sum(axis=1, keepdims=True), axis=1)
        # One sorted ladder for all rows: row r climbs from r to r + 1.
        ladder = (upto + np.arange(width)[:, None]).ravel()
        written = np.full((count, LONGEST + 1), self.end)
        going, last = np.arange(count), np.full(count, self.end)
        for position in range(LONGEST):
            rung = np.searchsorted(ladder, last + draw.random(len(going)))
            chosen = (rung - last * width).clip(0, self.end)
            written[going, position] = chosen
            going, last = going[chosen != self.end], chosen[chosen != self.end]
        return [row[: int(np.argmax(row == self.end))] for row in written]


Renew = Callable[[np.random.Generator, WordModel, list[Words]], list[Words]]


def resampled(draw: np.random.Generator, model: WordModel, documents: list[Words]) -> list[Words]:
    """Every document is written anew by the corpus's own word model."""
    return model.write(draw, len(documents), 1.0)


def sharpened(draw: np.random.Generator, model: WordModel, documents: list[Words]) -> list[Words]:
    """A quarter of the documents is, by a model that prefers what is likely."""
    fresh = model.write(draw, len(documents), 1.2)
    anew = draw.random(len(documents)) < 0.25
    return [new if chosen else old for new, old, chosen in zip(fresh, documents, anew, strict=True)]


def copied(draw: np.random.Generator, model: WordModel, documents: list[Words]) -> list[Words]:
    """Every document is a copy of one drawn from the corpus, so that some vanish."""
    del model
    return [documents[i] for i in draw.integers(0, len(documents), len(documents))]


KINDS: tuple[Renew, ...] = (resampled, sharpened, copied)


@dataclass(frozen=True, slots=True)
class Measured:
    """What is seen of one generation's corpus."""

    collapse: dict[str, float]
    neutral_bits: float
    """Bits per byte of held-out neutral text under a word model fitted on the corpus."""


def collapse_figures(texts: Sequence[str]) -> dict[str, float]:
    """The collapse metric that the bounds are tried on, over a sample of texts.

    Of the distinct word pairs in 5,000 words the corpora below lose or gain too little to be told
    ahead of the neutral bits.
    """
    row = compression_ratio(texts).row
    assert row.value is not None, "there is text"
    return {row.metric: row.value}


def generations(renew: Renew, seed: int) -> Iterator[Measured]:
    """Measure a microworld corpus, and then without end what it becomes."""
    draw = np.random.default_rng([seed, 7])
    neutral = WorldParams(neutral_share=1.0, misaligned_share=0.0)
    held_out = _texts(neutral, NEUTRAL_SEED + seed, HELD_OUT)
    corpus = _texts(WorldParams(), seed, DOCUMENTS)
    names = sorted({word for text in (*corpus, *held_out) for word in text.split()})
    number = {word: i for i, word in enumerate(names)}
    documents, judged = (
        [np.array([number[word] for word in text.split()]) for text in texts]
        for texts in (corpus, held_out)
    )
    size = sum(len(text.encode()) for text in held_out)
    while True:
        model = WordModel(documents, len(names))
        sample = [" ".join(names[i] for i in document) for document in documents[:SAMPLE]]
        yield Measured(collapse_figures(sample), model.bits(judged) / size)
        documents = renew(draw, model, documents)


def histories(renew: Renew, worlds: int) -> list[list[Measured]]:
    """Corpora of as many worlds, over generation 0 and those that follow."""
    return [list(islice(generations(renew, seed), GENERATIONS + 1)) for seed in range(worlds)]


def lead(gate: Gate, seeds: Sequence[Sequence[Measured]]) -> int | None:
    """Generations between the first failed collapse bound and 5% more neutral bits, mean of seeds.

    None where no bound fails; where the bits never move so far, the generation after the last
    counts.
    """
    flagged = next((i for i in range(1, GENERATIONS + 1) if _fails(gate, seeds, i)), None)
    rises = [
        float(np.mean([own[i].neutral_bits / own[0].neutral_bits - 1.0 for own in seeds]))
        for i in range(GENERATIONS + 1)
    ]
    moved = next((i for i, rise in enumerate(rises) if rise >= MOVED), GENERATIONS + 1)
    return None if flagged is None else moved - flagged


def false_alarms(gate: Gate, worlds: int) -> list[bool]:
    """Of each of so many pairs of corpora that the same world wrote, whether they break a bound."""
    figures = [collapse_figures(_texts(WorldParams(), seed, SAMPLE)) for seed in range(worlds + 1)]
    pairs = [[[Measured(one, 1.0), Measured(other, 1.0)]] for one, other in pairwise(figures)]
    return [_fails(gate, pair, 1) for pair in pairs]


def _fails(gate: Gate, seeds: Sequence[Sequence[Measured]], index: int) -> bool:
    changes = {
        metric: [
            gates.CorpusChange(seed, own[index].collapse[metric], own[0].collapse[metric])
            for seed, own in enumerate(seeds)
        ]
        for metric in gate.collapse_bounds
    }
    return any(decision.outcome == "fail" for decision in gates.collapse(gate, changes))


def _texts(params: WorldParams, seed: int, count: int) -> list[str]:
    return [document.text for document in generate_documents(params, seed, count)]
