"""Platt scaling: a score's logit, shifted and stretched until it is a probability of a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

Floats = NDArray[np.float64]
# A score of exactly 0 or 1 has no logit.
LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class Platt:
    """P(label 1) = 1 / (1 + exp(-(slope * x + intercept))) of a decision value x."""

    slope: float
    intercept: float

    def of_decisions(self, decisions: Sequence[float] | Floats) -> Floats:
        """Probabilities of decision values on any scale."""
        return expit(self.slope * np.asarray(decisions, float) + self.intercept)

    def of_scores(self, scores: Sequence[float] | Floats) -> Floats:
        """Probabilities of scores in [0, 1], taken by their logits."""
        return self.of_decisions(decisions_of(scores))


def decisions_of(scores: Sequence[float] | Floats) -> Floats:
    """Logits of scores in [0, 1]."""
    return logit(np.clip(np.asarray(scores, float), LEAST, 1.0 - LEAST))


def fit_platt(decisions: Sequence[float] | Floats, labels: Sequence[int]) -> Platt:
    """Fit by maximum likelihood, with targets drawn in by one item a side (Platt 1999).

    The drawn-in targets keep the fit finite where the labels are told apart without error.

    Raises:
        ValueError: one of the labels does not occur.
    """
    x, y = np.asarray(decisions, float), np.asarray(labels, int)
    good, bad = int(np.sum(y == 1)), int(np.sum(y == 0))
    if not good or not bad:
        raise ValueError(f"calibration needs both labels, not {good} of 1 and {bad} of 0")
    target = np.where(y == 1, (good + 1) / (good + 2), 1 / (bad + 2))
    fitted: Any = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-9, max_iter=200)
    scale = float(np.std(x)) or 1.0
    fitted.fit(
        np.tile(x / scale, 2).reshape(-1, 1),
        np.repeat([1, 0], len(x)),
        np.concatenate([target, 1.0 - target]),
    )
    return Platt(float(fitted.coef_[0, 0]) / scale, float(fitted.intercept_[0]))
