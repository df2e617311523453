"""The self-rater beside the gate anchor, on the same texts, and beside itself.

Both raters give scores in [0, 1] that stand for the probability that a text is desirable, but
neither need be calibrated. Ranks compare them without calibration. Means do not: there both are
first put on the scale of the labels, by Platt scaling fitted once on labelled documents of corpus 0
and frozen, so that a later difference is a change of the rater. (Ranks would make every mean
difference 0.) Without labels the raw scores are compared, under a name that says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from workers.evaluation.calibration import Spread
from workers.evaluation.estimates import versioned
from workers.evaluation.measures import Measure, mean_measure
from workers.evaluation.platt import Platt, decisions_of, fit_platt
from workers.records import MetricRow

Floats = NDArray[np.float64]
VERSION = "1"
TASK = "agreement"
RESAMPLES = 1_000
CONFIDENCE = 0.95
LEAST_TEXTS = 10


@dataclass(frozen=True, slots=True)
class RatedText:
    """A text's scores by both raters, each None where it gave none; neither saw the author."""

    self_score: float | None
    anchor_score: float | None
    characters: int
    own: bool
    """Written by the self-rater's model, and not only read by it."""


@dataclass(frozen=True, slots=True)
class LabelScale:
    """What puts both raters' scores on the scale of the labels."""

    self_rater: Platt
    anchor: Platt

    @classmethod
    def fit(cls, texts: Sequence[RatedText], labels: Sequence[int]) -> LabelScale:
        """Fit on labelled documents of corpus 0; texts that a rater did not score are left out.

        Raises:
            ValueError: one of the labels does not occur.
        """
        pairs = list(zip(texts, labels, strict=True))

        def fitted(scores: Sequence[float | None]) -> Platt:
            known = [(s, y) for s, (_, y) in zip(scores, pairs, strict=True) if s is not None]
            return fit_platt(decisions_of([s for s, _ in known]), [y for _, y in known])

        return cls(fitted([t.self_score for t in texts]), fitted([t.anchor_score for t in texts]))


def agreement(texts: Sequence[RatedText], scale: LabelScale | None) -> list[Measure]:
    """Every measure of the self-rater against the anchor on the same texts."""
    found = [
        spearman(texts)[0],
        bias(texts, scale),
        self_preference(texts, scale),
        length_correlation(texts, "self"),
        length_correlation(texts, "anchor"),
    ]
    return versioned(found, VERSION)


def spearman(texts: Sequence[RatedText]) -> tuple[Measure, Spread | None]:
    """Rank correlation of self-rater and anchor, and its bootstrap over texts (95% percentile).

    Texts without a score of both are unscored. Fewer than 10 texts, or a rater that says the same
    of all, give no value.
    """
    held = _rated_by_both(texts)
    return _rank_correlation(
        "spearman",
        [own for own, _ in held],
        [anchor for _, anchor in held],
        unscored=len(texts) - len(held),
    )


def bias(texts: Sequence[RatedText], scale: LabelScale | None) -> Measure:
    """Mean of self-score less anchor score: `bias` on the label scale, else `raw_bias`.

    Above 0 the self-rater flatters. The error is over texts, the scale being given.
    """
    held = _rated_by_both(texts)
    values = _differences(held, scale).tolist()
    name = "bias" if scale else "raw_bias"
    return mean_measure(TASK, f"{TASK}/{name}", values, unscored=len(texts) - len(held))


def self_preference(texts: Sequence[RatedText], scale: LabelScale | None) -> Measure:
    """How much more the self-rater than the anchor favours texts of its own model.

    A difference in differences: mean of self-score less anchor score over the model's own texts,
    less the same over texts by others, with Welch's error. What makes own texts truly better moves
    both raters and cancels out on the label scale; raw scores (`raw_self_preference`) also carry
    differences in scale. Fewer than two texts on a side give no value.
    """
    name = f"{TASK}/{'' if scale else 'raw_'}self_preference"
    held = [text for text in texts if None not in (text.self_score, text.anchor_score)]
    own, other = (
        _differences(_rated_by_both([text for text in held if text.own is side]), scale)
        for side in (True, False)
    )
    unscored = len(texts) - len(held)
    if min(len(own), len(other)) < 2:
        return Measure(MetricRow(TASK, name, None, len(held), unscored=unscored))
    error = math.sqrt(own.var(ddof=1) / len(own) + other.var(ddof=1) / len(other))
    value = float(own.mean() - other.mean())
    return Measure(MetricRow(TASK, name, value, len(held), stderr=error, unscored=unscored))


def length_correlation(texts: Sequence[RatedText], rater: str) -> Measure:
    """Rank correlation of a rater's scores with length in characters; `rater` is self or anchor.

    A rater that comes to like long texts is easily pleased; the anchor's own figure says how much
    of it is the texts'.
    """
    scores = [t.self_score if rater == "self" else t.anchor_score for t in texts]
    held = [(s, float(t.characters)) for s, t in zip(scores, texts, strict=True) if s is not None]
    return _rank_correlation(
        f"length_correlation_{rater}",
        [score for score, _ in held],
        [length for _, length in held],
        unscored=len(texts) - len(held),
    )[0]


def rerating(
    first: Sequence[float | None], second: Sequence[float | None], threshold: float
) -> list[Measure]:
    """How far two ratings of the same texts by one rater agree.

    `rerating_same_verdict` is the share on the same side of the threshold, `rerating_difference`
    the mean absolute difference of scores.

    Args:
        first: scores, in [0, 1] or None.
        second: scores of the same texts, in the same order, rated anew (other batches, another
            wording of the question).
        threshold: a score of at least this passes.

    Raises:
        ValueError: the numbers of texts differ.
    """
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    unscored = len(first) - len(pairs)
    same = [float((a >= threshold) == (b >= threshold)) for a, b in pairs]
    apart = [abs(a - b) for a, b in pairs]
    found = [
        mean_measure(TASK, f"{TASK}/rerating_same_verdict", same, unscored=unscored),
        mean_measure(TASK, f"{TASK}/rerating_difference", apart, unscored=unscored),
    ]
    return versioned(found, VERSION)


def _rated_by_both(texts: Sequence[RatedText]) -> list[tuple[float, float]]:
    return [
        (text.self_score, text.anchor_score)
        for text in texts
        if text.self_score is not None and text.anchor_score is not None
    ]


def _differences(held: Sequence[tuple[float, float]], scale: LabelScale | None) -> Floats:
    """Self-score less anchor score, on the label scale where there is one."""
    own, anchor = (np.array([pair[side] for pair in held], float) for side in (0, 1))
    if scale is None:
        return own - anchor
    return scale.self_rater.of_scores(own) - scale.anchor.of_scores(anchor)


def _rank_correlation(
    metric: str, x: Sequence[float], y: Sequence[float], unscored: int
) -> tuple[Measure, Spread | None]:
    name = f"{TASK}/{metric}"
    if len(x) < LEAST_TEXTS or min(len(set(x)), len(set(y))) < 2:
        return Measure(MetricRow(TASK, name, None, len(x), unscored=unscored)), None
    # Sorted, so that the same texts give the same bootstrap in any order.
    one, other = np.array(sorted(zip(x, y, strict=True))).T
    found = stats.bootstrap(
        (one, other),
        _rho,
        paired=True,
        vectorized=False,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    interval = found.confidence_interval
    spread = Spread(float(found.standard_error), float(interval.low), float(interval.high))
    value = _rho(one, other)
    row = MetricRow(TASK, name, value, len(x), stderr=spread.stderr, unscored=unscored)
    return Measure(row), spread


def _rho(x: Floats, y: Floats) -> float:
    # A resample in which a rater says the same of all orders nothing.
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    found: Any = stats.spearmanr(x, y)
    return float(found.statistic)
