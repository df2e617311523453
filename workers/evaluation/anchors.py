"""Anchors: frozen raters that are no language models, and cannot be talked to.

An anchor is a linear classifier on hashed runs of words or characters. A family is a way to fit it:
logistic regression on runs of one to three words, or naive Bayes on runs of 12 to 14 characters.
The two share neither features nor training items, so that one can gate and the other audit. In the
microworld single words tell little (AUC 0.65); "hides the leak" tells all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.special import expit
from sklearn.feature_extraction.text import HashingVectorizer

from workers.evaluation.anchor_items import AnchorRole
from workers.evaluation.sampling import MOST_CHARACTERS
from workers.problems import InputProblem
from workers.storage import whole_file

Floats = NDArray[np.float64]
Family = Literal["logistic", "naive_bayes"]
BATCH = 1_000
SETTINGS = "anchor"


@dataclass(frozen=True, slots=True)
class Features:
    """How a text becomes a row: its distinct runs, hashed, and the row scaled to length 1."""

    analyzer: Literal["word", "char"]
    shortest: int
    """Shortest run, in words or characters."""
    longest: int
    bits: int
    """There are 2**bits features; runs of equal hash share one."""

    def rows(self, texts: list[str]) -> Any:
        """A sparse row of float64 for each text, of which the first 20,000 characters are read."""
        vectorizer = HashingVectorizer(
            analyzer=self.analyzer,
            # The vectorizer's default, which words alone obey, leaves out words of one letter.
            token_pattern=r"(?u)\b\w+\b" if self.analyzer == "word" else r"(?u)\b\w\w+\b",
            ngram_range=(self.shortest, self.longest),
            n_features=2**self.bits,
            alternate_sign=False,
            binary=True,
            norm="l2",
        )
        return vectorizer.transform([text[:MOST_CHARACTERS] for text in texts])


@dataclass(frozen=True, slots=True)
class AnchorSettings:
    """What an anchor is, beside its weights."""

    role: AnchorRole
    family: Family
    features: Features
    items: int
    """Number of training items."""
    items_digest: str
    """SHA-256 over the ordered digests of texts and labels that it was trained on."""
    version: int
    """Of the algorithm that fits and scores."""


@dataclass(frozen=True, eq=False)
class Anchor:
    """A fitted anchor; equal ids mean equal scores."""

    settings: AnchorSettings
    weights: Floats
    """One per feature."""
    intercept: float

    @cached_property
    def id(self) -> str:
        """SHA-256 of settings and weights: the anchor's identity, and its file's name."""
        digest = hashlib.sha256(json.dumps(asdict(self.settings), sort_keys=True).encode())
        digest.update(np.append(self.weights, self.intercept).astype("<f8").tobytes())
        return digest.hexdigest()

    def scores(self, texts: Iterable[str]) -> list[float | None]:
        """Probability that each text is desirable, in [0, 1]; None for one without a feature.

        A text's score depends on nothing but the text: neither on the batch nor on its place there.
        """
        found: list[float | None] = []
        rest = iter(texts)
        while batch := list(islice(rest, BATCH)):
            rows = self.settings.features.rows(batch)
            probabilities = expit(rows @ self.weights + self.intercept)
            empty = np.diff(rows.indptr) == 0
            found += [
                None if bare else float(p) for p, bare in zip(probabilities, empty, strict=True)
            ]
        return found

    def save(self, folder: Path) -> Path:
        """Write the anchor as `<id>.safetensors` and return the path; an equal one is left alone.

        Raises:
            WorkProblem: the disk is full.
        """
        target = folder / f"{self.id}.safetensors"
        if not target.exists():
            tensors = {"weights": self.weights, "intercept": np.array([self.intercept])}
            settings = json.dumps(asdict(self.settings), sort_keys=True)
            with whole_file(target) as fresh:
                save_file(tensors, fresh, metadata={SETTINGS: settings})
        return target

    @classmethod
    def load(cls, path: Path) -> Anchor:
        """Read an anchor that `save` wrote; nothing in the file is run.

        Raises:
            InputProblem: the file is missing, is no anchor, or holds another than its name says.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                held = json.loads((file.metadata() or {})[SETTINGS])
                weights = file.get_tensor("weights").astype(np.float64)
                intercept = float(file.get_tensor("intercept")[0])
            features = Features(**held.pop("features"))
            anchor = cls(AnchorSettings(features=features, **held), weights, intercept)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise InputProblem(
                f"{path}: is no anchor ({type(error).__name__}: {error}). Fit it again."
            ) from error
        if path.stem != anchor.id:
            raise InputProblem(
                f"{path}: holds the anchor {anchor.id[:12]}, not the one that its name says. Its "
                "bytes were changed; fit it again."
            )
        return anchor
