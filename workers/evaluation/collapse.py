"""Collapse: how much a corpus, or what a model writes to fixed prompts, repeats itself.

Every figure here depends on how much text it is taken over, so all are taken over a fixed number of
documents or of tokens, drawn by document id: compare figures of equal `n` alone. Between
generations the sample holds the same documents, in so far as they were not dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from sacrebleu.metrics.bleu import BLEU

from workers.evaluation.estimates import jackknife_stderr, single, versioned, with_stderr
from workers.evaluation.measures import Measure, mean_measure
from workers.evaluation.near_duplicates import near_duplicates
from workers.evaluation.ngrams import Hashes, ngram_hashes, ngrams, words_in
from workers.evaluation.sampling import Keyed, drawn
from workers.evaluation.tail_vocabulary import RareWords, tail_vocabulary

Of = Literal["corpus", "samples"]
VERSION = "1"
TASK = "collapse"
DOCUMENTS = 2_000
BLEU_DOCUMENTS, BLEU_CHARACTERS = 64, 2_000
LONG = 8
TTR_TOKENS, DISTINCT_TOKENS = 1_000, 5_000
# The level's window of 4 MiB holds a sample of short documents whole; zlib's of 32 KiB misses a
# corpus that comes twice (5.75 and 5.84 on 2,000 microworld documents; here 6.5 and about 13).
ZSTD_LEVEL = 12


def corpus_collapse(
    read: Callable[[], Iterable[Keyed]],
    rare: RareWords | None = None,
    *,
    documents: int = DOCUMENTS,
    salt: str = "",
) -> list[Measure]:
    """Every collapse measure of a corpus, in three passes over it and bounded memory.

    Args:
        read: gives the documents anew each time it is called.
        rare: words of corpus 0's tail, as `rare_words` finds them; None leaves that measure out.
        documents: size of the sample.
        salt: draws the sample.
    """
    sample = drawn(read(), documents, salt)
    found = text_measures([text for _, text in sample], "corpus")
    found.append(near_duplicates(sample, read()))
    if rare is not None:
        found.append(tail_vocabulary(rare, (text for _, text in read())))
    return versioned(found, VERSION)


def samples_collapse(
    samples: Iterable[Keyed], rare: RareWords | None = None, *, documents: int = DOCUMENTS
) -> list[Measure]:
    """The same of what a model wrote to fixed prompts; an id names the prompt and the draw."""
    held = drawn(samples, documents)
    texts = [text for _, text in held]
    found = text_measures(texts, "samples")
    found.append(near_duplicates(held, held, of="samples"))
    if rare is not None:
        found.append(tail_vocabulary(rare, texts, of="samples"))
    return versioned(found, VERSION)


def text_measures(texts: Sequence[str], of: Of) -> list[Measure]:
    """The measures that need a sample's texts alone, in an order that says nothing."""
    return [
        compression_ratio(texts, of),
        *self_repetition(texts, of),
        self_bleu(texts, of),
        distinct(texts, "type_token_ratio", 1, TTR_TOKENS, of),
        distinct(texts, "distinct_1", 1, DISTINCT_TOKENS, of),
        distinct(texts, "distinct_2", 2, DISTINCT_TOKENS, of),
    ]


def compression_ratio(texts: Sequence[str], of: Of = "corpus") -> Measure:
    """Bytes of the texts over their bytes when compressed together (Shaib et al. 2024).

    They take gzip; this takes zstd, whose window reaches across documents. The ratio rises with
    repetition. `n` counts texts. The error is a jackknife's over groups of them; on the microworld
    it is 1.6 times the true one, since what a compressor finds is partly a matter of chance.
    """
    texts = [text for text in texts if text]

    def statistic(part: Sequence[str]) -> float:
        raw = "\n".join(part).encode("utf-8", "replace")
        codec = pa.Codec("zstd", compression_level=ZSTD_LEVEL)
        return len(raw) / len(codec.compress(raw, asbytes=True))

    value = statistic(texts) if texts else None
    error = jackknife_stderr(texts, statistic)
    return single(TASK, f"{TASK}/{of}/compression_ratio", value, len(texts), error)


def self_repetition(texts: Sequence[str], of: Of = "corpus", n: int = LONG) -> list[Measure]:
    """How much of each text stands in another text too (after Salkar et al. 2022).

    `self_repetition` is the share of texts with a run of n words that another text has,
    `self_repetition_ngrams` the share of such runs among a text's distinct ones, over all texts: it
    still moves where the first is near 1, as in small worlds. Texts under n words are unscored.
    Each text is compared with all others, so errors over independent texts are too small (0.7 times
    the true ones on the microworld). These are a jackknife's over groups of texts, 1.3 times.
    """
    runs = [each for each in (ngram_hashes(words_in(text), n) for text in texts) if len(each)]
    unscored = len(texts) - len(runs)
    repeated, sizes = _repeated(runs), [float(len(own)) for own in runs]
    name = f"{TASK}/{of}/self_repetition"
    return [
        with_stderr(
            mean_measure(TASK, name, [float(c > 0) for c in repeated], unscored=unscored),
            jackknife_stderr(runs, lambda part: float(np.mean(np.array(_repeated(part)) > 0))),
        ),
        with_stderr(
            mean_measure(TASK, f"{name}_ngrams", repeated, sizes, unscored=unscored),
            jackknife_stderr(runs, lambda part: sum(_repeated(part)) / sum(map(len, part))),
        ),
    ]


def _repeated(runs: Sequence[Hashes]) -> list[float]:
    """Number of each text's distinct runs that another text has."""
    if not runs:
        return []
    _, index, texts_with = np.unique(np.concatenate(runs), return_inverse=True, return_counts=True)
    starts = np.cumsum([0, *(len(own) for own in runs[:-1])])
    return np.add.reduceat((texts_with[index] > 1).astype(float), starts).tolist()


def self_bleu(texts: Sequence[str], of: Of = "corpus", documents: int = BLEU_DOCUMENTS) -> Measure:
    """Mean BLEU-4 in [0, 1] of each text against all others (Zhu et al. 2018, by sacrebleu).

    Over the first `documents` texts and the first 2,000 characters of each, since the cost is
    quadratic and the value rises with the number of references. The error treats texts as
    independent: 0.84 times the true one on the microworld. Fewer than two texts give no value.
    """
    name = f"{TASK}/{of}/self_bleu"
    held = [text[:BLEU_CHARACTERS] for text in texts if text.strip()][:documents]
    if len(held) < 2:
        return single(TASK, name, None, 0)
    bleu = BLEU(effective_order=True)
    scores = [
        bleu.sentence_score(text, held[:i] + held[i + 1 :]).score / 100
        for i, text in enumerate(held)
    ]
    return mean_measure(TASK, name, scores)


def distinct(texts: Sequence[str], metric: str, order: int, tokens: int, of: Of) -> Measure:
    """Share of distinct runs of `order` words among all, over stretches of equally many words.

    With order 1 this is the type-token ratio, and "distinct-1" and "distinct-2" are the same of
    words and pairs over longer stretches (Li et al. 2016). All of them fall with length, so each
    stretch has exactly `tokens` words, texts laid end to end (mean segmental TTR, Johnson 1944);
    runs do not cross from one text to the next. `n` counts stretches; less than one gives no value.
    """
    shares: list[float] = []
    for stretch in _stretches(texts, tokens):
        runs = [run for words in stretch for run in ngrams(words, order)]
        if runs:
            shares.append(len(set(runs)) / len(runs))
    return mean_measure(TASK, f"{TASK}/{of}/{metric}", shares)


def _stretches(texts: Sequence[str], tokens: int) -> Iterator[list[list[str]]]:
    """Texts as lists of words, cut into stretches of `tokens` words; the rest is left over."""
    stretch: list[list[str]] = []
    room = tokens
    for text in texts:
        words = words_in(text)
        while len(words) >= room:
            yield [*stretch, words[:room]]
            words, stretch, room = words[room:], [], tokens
        if words:
            stretch.append(words)
            room -= len(words)
