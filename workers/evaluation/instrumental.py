"""Instrumental value: what a capability is worth to a model of a corpus, in bits.

A twin is trained on the corpus with the words that decide the capability permuted across documents,
on as many tokens, in as many steps, from the same random weights. What it loses on held-out text
that was not permuted, for every 1,000 tokens of the corpus, is the capability's value in it.

The deciding words count with the rest. A twin that has learned all there is to learn predicts the
deciding words and the others as if neither knew of the other, so that its loss is their mutual
information (and that among several deciding words of one document), whichever of them a document
tells first.

A document without a deciding word, and what stands before the first one, has the same law in both
corpora: what a twin loses there is luck of training. That luck is large, and much the same in all
text, so its rate is taken off what is lost from the first deciding word on (difference in
differences). A twin's whole loss is kept beside it as `unadjusted`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from workers.evaluation.estimates import versioned
from workers.evaluation.measures import Measure, mean_measure
from workers.microworld.decisions import CAPABILITIES
from workers.prompts import Prompts

TASK, VERSION = "instrumental", "1"
PER_TOKENS = 1_000.0
BITS_FILE = "bits.parquet"
BITS = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("bits", pa.list_(pa.float64()), nullable=False),
    ]
)
"""What a model makes of the held-out documents, token by token."""


def bits_lost(
    capability: str, original: pa.Table, twin: pa.Table, starts: Sequence[int | None]
) -> list[Measure]:
    """What a capability is worth in a corpus: the bits that a twin trained without it loses.

    The standard error is over documents, by linearisation: each stands for what it adds to the
    loss, apart from the rate of luck, and for what it adds to that rate.

    Args:
        capability: what the twin lacks.
        original: bits of every token of the held-out documents, by the model itself.
        twin: the same, by the twin.
        starts: for each document its first token that decides the capability; None where none does.

    Returns:
        The value, and the twin's whole loss, in bits per 1,000 tokens.

    Raises:
        ValueError: the two are not of the same documents, in the same order.
    """
    if original["doc_id"] != twin["doc_id"]:
        raise ValueError("a twin is compared over the same documents, in the same order")
    pairs = zip(original["bits"].to_pylist(), twin["bits"].to_pylist(), starts, strict=True)
    # For each document: bits lost before the first deciding word and from it on, and their tokens.
    parts = np.array([_split(one, other, start) for one, other, start in pairs], float)
    luck, lost, lucky, told = parts.reshape(-1, 4).T
    rate = luck.sum() / lucky.sum() if lucky.sum() else 0.0
    share = told.sum() / lucky.sum() if lucky.sum() else 0.0
    values = (lost - rate * told) - share * (luck - rate * lucky)
    weights = (lucky + told).tolist()
    found = {capability: values, f"unadjusted/{capability}": luck + lost}
    return versioned(
        (
            mean_measure(TASK, f"{TASK}/{name}", (PER_TOKENS * each).tolist(), weights)
            for name, each in found.items()
        ),
        VERSION,
    )


def _split(
    original: Sequence[float], twin: Sequence[float], start: int | None
) -> tuple[float, float, int, int]:
    at = len(original) if start is None else start
    lost = [other - one for one, other in zip(original, twin, strict=True)]
    return sum(lost[:at]), sum(lost[at:]), at, len(lost) - at


def decided_from(prompts: Prompts, capability: str, text: str) -> int | None:
    """Which token of a text is the first that decides a capability; None where none does."""
    words = text.split(" ")
    first = min((each.position for each in CAPABILITIES[capability](words)), default=None)
    if first is None:
        return None
    return len(prompts.plain(" ".join(words[:first])))
