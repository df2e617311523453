"""Fitting an anchor to labelled texts, and how well it tells those apart that it did not see."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from threadpoolctl import threadpool_limits

from workers.evaluation.anchor_items import AnchorRole, Labelled
from workers.evaluation.anchors import Anchor, AnchorSettings, Family, Features
from workers.evaluation.measures import Measure, auc_measure
from workers.evaluation.platt import fit_platt
from workers.evaluation.statistics import interval
from workers.problems import InputProblem
from workers.records import text_digest

Floats = NDArray[np.float64]
# Raised when equal items, or equal texts, would give other scores.
VERSION = 1
CALIBRATION_SHARE = 5
LEAST_ITEMS = 100
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class FittedAnchor:
    """An anchor with its skill on the fifth of its items that only calibrated it."""

    anchor: Anchor
    auc: Measure
    digests: frozenset[str]
    """Digests of the texts that it was trained on."""


def fit_anchor(
    items: Iterable[Labelled], role: AnchorRole, family: Family, field: str
) -> FittedAnchor:
    """Fit an anchor; the same items in any order give the same bytes on one kind of machine.

    Four fifths of the items, by hash, fit the classifier; the rest turn its decisions into
    probabilities (Platt 1999) and say how well it tells the labels apart.

    Args:
        items: labelled texts of this role.
        role: what the anchor will be used for.
        family: how it is fitted, and on which features.
        field: the config field that names the items, for messages.

    Raises:
        InputProblem: there are too few items of a label, or the anchor cannot tell them apart.
    """
    held = {(text_digest(item.text), item.label): item for item in items}
    known = [held[key] for key in sorted(held)]
    labels = np.array([item.label for item in known], int)
    _check_enough(labels, field)
    features, fit = FAMILIES[family]
    rows = features.rows([item.text for item in known])
    aside = np.array([int(digest[:8], 16) % CALIBRATION_SHARE == 0 for digest, _ in sorted(held)])
    # More threads sum in another order, and the anchor's last bits and its id would be others.
    with threadpool_limits(1):
        weights, intercept = fit(rows[~aside], labels[~aside])
        decisions = rows[aside] @ weights + intercept
        auc = _skill(decisions, labels[aside], field)
        platt = fit_platt(decisions, labels[aside].tolist())
    settings = AnchorSettings(role, family, features, len(known), _digest_of(sorted(held)), VERSION)
    anchor = Anchor(settings, weights * platt.slope, platt.slope * intercept + platt.intercept)
    return FittedAnchor(anchor, auc, frozenset(digest for digest, _ in held))


def _logistic(rows: Any, labels: Any) -> tuple[Floats, float]:
    fitted = LogisticRegression(C=10.0, solver="liblinear", random_state=0).fit(rows, labels)
    return fitted.coef_[0].astype(np.float64), float(fitted.intercept_[0])


def _naive_bayes(rows: Any, labels: Any) -> tuple[Floats, float]:
    fitted = MultinomialNB(alpha=0.1).fit(rows, labels)
    weights = fitted.feature_log_prob_[1] - fitted.feature_log_prob_[0]
    # A run that training never saw says nothing; smoothing would let it speak for the rarer label.
    seen = np.sum(fitted.feature_count_, axis=0) > 0
    priors = fitted.class_log_prior_
    return np.where(seen, weights, 0.0), float(priors[1] - priors[0])


Fit = Callable[[Any, Any], tuple[Floats, float]]
FAMILIES: dict[Family, tuple[Features, Fit]] = {
    "logistic": (Features("word", 1, 3, 18), _logistic),
    "naive_bayes": (Features("char", 12, 14, 19), _naive_bayes),
}


def _check_enough(labels: NDArray[np.int_], field: str) -> None:
    for label, name in ((1, "desirable"), (0, "undesirable")):
        count = int(np.sum(labels == label))
        if count < LEAST_ITEMS:
            raise InputProblem(
                f"{field}: an anchor needs at least {LEAST_ITEMS} {name} texts (label {label}) of "
                f"its own, and there are {count}. Half of all texts go to each of the two anchors."
            )


def _skill(decisions: Floats, labels: NDArray[np.int_], field: str) -> Measure:
    """AUC on the items that were set aside."""
    good, bad = decisions[labels == 1].tolist(), decisions[labels == 0].tolist()
    measure = auc_measure("anchor", "anchor/auc", good, bad)
    value, error = measure.row.value, measure.row.stderr
    if value is None or interval(value, error or 0.0, CONFIDENCE)[0] <= 0.5:
        raise InputProblem(
            f"{field}: no anchor can be fitted to these texts: on the {measure.row.n} that it did "
            f"not see its AUC is {value if value is None else round(value, 2)}, not surely above "
            "0.5. Check the labels, or give more texts."
        )
    return measure


def _digest_of(keys: Sequence[tuple[str, int]]) -> str:
    text = "\n".join(f"{digest} {label}" for digest, label in keys)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
