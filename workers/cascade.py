"""The cascade: a classifier that is distilled from a rater lets documents pass that are easy.

A linear classifier on hashed runs of one to three words learns from half of a random sample which
documents the rater finds to fall short. The other half decides how far it is trusted: documents are
let pass in the order of how sure it is, and one step after another is tested for the share that
falls short after all, until one fails. This is fixed-sequence testing as in Angelopoulos et al.,
2021, "Learn then test" (https://arxiv.org/abs/2110.01052), which keeps the bound at its confidence
however many steps there are.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.stats import beta
from sklearn.linear_model import LogisticRegressionCV
from threadpoolctl import threadpool_limits

from workers.evaluation.anchors import Features
from workers.problems import InputProblem
from workers.records import text_digest
from workers.shuffling import order_key
from workers.storage import whole_file

Floats = NDArray[np.float64]
# Raised when the same ratings would let other documents pass.
VERSION = 1
FEATURES = Features("word", 1, 3, 18)
LEAST_OF_EACH = 20
"""Fewer documents that fall short, or do not, teach nothing."""
LEARNING: dict[str, Any] = {
    "Cs": (1.0, 10.0, 100.0, 1000.0),
    "l1_ratios": (0.0,),
    "cv": 3,
    "scoring": "roc_auc",
    "solver": "liblinear",
    "random_state": 0,
    "use_legacy_attributes": False,
}
"""Of four strengths of regularisation cross-validation takes the best."""
CONFIDENCE = 0.95
STEPS = 20
"""Tests, at most; each lets more pass than the one before."""


@dataclass(frozen=True, eq=False)
class Distilled:
    """A classifier, and how sure it must be; equal ids let the same texts pass."""

    weights: Floats
    """One for each feature; more means worse."""
    cut: float
    """A text whose sum is at most this is let pass; minus infinity lets none."""

    @cached_property
    def id(self) -> str:
        """SHA-256 of version, weights and cut."""
        digest = hashlib.sha256(f"cascade {VERSION}".encode())
        digest.update(np.append(self.weights, self.cut).astype("<f8").tobytes())
        return digest.hexdigest()

    def lets_pass(self, texts: Sequence[str]) -> list[bool]:
        """Whether each text is surely no case for the model; one without a feature never is."""
        if not texts or self.cut == -math.inf:
            return [False] * len(texts)
        rows = FEATURES.rows(list(texts))
        sure = (rows @ self.weights <= self.cut) & (np.diff(rows.indptr) > 0)
        return sure.tolist()

    def save(self, file: Path) -> None:
        """Write it.

        Raises:
            WorkProblem: the disk is full.
        """
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as fresh:
            save_file({"weights": self.weights, "cut": np.array([self.cut])}, fresh)

    @classmethod
    def load(cls, file: Path, wanted: str) -> Distilled:
        """Read what `save` wrote; nothing in the file is run.

        Args:
            file: where it stands.
            wanted: its id.

        Raises:
            InputProblem: the file is missing or damaged, or holds another classifier.
        """
        try:
            held = load_file(file)
            found = cls(held["weights"].astype(np.float64), float(held["cut"][0]))
        except (SafetensorError, OSError, KeyError, IndexError) as error:
            raise InputProblem(
                f"{file}: is no classifier ({type(error).__name__}: {error}). Run the experiment "
                "again: it makes what is missing."
            ) from error
        if found.id != wanted:
            raise InputProblem(
                f"{file}: holds the classifier {found.id[:12]}, on record is {wanted[:12]}. Its "
                "bytes were changed; delete it and run the experiment again."
            )
        return found


@dataclass(frozen=True, slots=True)
class Distillation:
    """What came of distilling a sample."""

    classifier: Distilled
    fitted: int
    """Documents that it learned from."""
    tested: int
    """Documents that it was tested on."""
    passing: int
    """Of those, let pass."""
    missed: int
    """Of those, fall short by the model."""
    why: str = ""
    """Why nothing is let pass; empty where something is."""


def distil(texts: Sequence[str], falls_short: Sequence[bool], max_missed: float) -> Distillation:
    """Learn from a rater's verdicts, and find out how much may be left to the classifier.

    Args:
        texts: a random sample of the documents to come.
        falls_short: what the rater says of each.
        max_missed: most of what passes that may fall short, at 95% confidence.
    """
    # Equal texts have equal verdicts, and are on one side.
    verdicts = dict(zip(texts, falls_short, strict=True))
    ordered = sorted(verdicts, key=text_digest)
    fit = [text for text in ordered if order_key("distil", text_digest(text)) % 2 == 0]
    test = [text for text in ordered if order_key("distil", text_digest(text)) % 2]
    nothing = Distilled(np.zeros(2**FEATURES.bits), -math.inf)
    bad = sum(verdicts[text] for text in fit)
    if min(bad, len(fit) - bad) < LEAST_OF_EACH:
        why = f"of {len(fit)} documents to learn from {bad} fall short"
        return Distillation(nothing, len(fit), len(test), 0, 0, why)
    weights = _fitted(fit, [verdicts[text] for text in fit])
    sums = FEATURES.rows(test) @ weights
    order = np.argsort(sums, kind="stable")
    short = np.array([verdicts[test[i]] for i in order], bool)
    passing = missed = 0
    for count in _steps(len(test), max_missed):
        found = int(short[:count].sum())
        if beta.ppf(CONFIDENCE, found + 1, count - found) > max_missed:
            break
        passing, missed = count, found
    if not passing:
        why = f"on {len(test)} documents it is not sure enough of any"
        return Distillation(nothing, len(fit), len(test), 0, 0, why)
    cut = float(sums[order[passing - 1]])
    return Distillation(Distilled(weights, cut), len(fit), len(test), passing, missed)


def _fitted(texts: Sequence[str], falls_short: Sequence[bool]) -> Floats:
    rows = FEATURES.rows(list(texts))
    # More threads sum in another order, and the last bits would be others.
    with threadpool_limits(1):
        model = LogisticRegressionCV(**LEARNING)
        model.fit(rows, np.asarray(falls_short, int))
    return model.coef_[0].astype(np.float64)


def _steps(tested: int, max_missed: float) -> Iterator[int]:
    """How many are let pass, from the fewest that can keep the bound with none missed."""
    least = math.ceil(math.log(1 - CONFIDENCE) / math.log(1 - max_missed))
    if least > tested:
        return
    yield from sorted({int(n) for n in np.linspace(least, tested, STEPS)})
