"""What is measured on every model and corpus."""

from __future__ import annotations

from typing import Literal

from configs.harness import Harness
from configs.instrumental import Instrumental
from configs.relearning import Relearning
from configs.samples import Samples
from configs.section import Positive, Section
from configs.stages import Persistence

OF_THE_ORACLE = ("oracle", "deployment", "relearning")
"""Evaluations whose items the oracle sets."""


class Evaluation(Section):
    """What is measured on every model and corpus."""

    tasks: tuple[
        Literal[
            "bits_per_byte",
            "rater",
            "pairs",
            "oracle",
            "collapse",
            "fidelity",
            "samples",
            "harness",
            "deployment",
            "relearning",
            "anchors",
            "instrumental",
        ],
        ...,
    ] = (
        "bits_per_byte",
        "rater",
        "oracle",
    )
    """Names of evaluations; `palimpsest doctor --tasks` says what each measures."""
    items: Positive = 1000
    """Items of each evaluation, where it can draw as many as it likes."""
    facts_items: Positive = 5200
    """Items of the microworld's facts evaluation."""
    batch: Positive = 64
    """Sequences scored at once."""
    pairs_limit: Positive | None = None
    """Use at most this many labelled pairs (dialogues only)."""
    harness: Harness = Harness()
    """What the evaluation `harness` asks."""
    relearning: Relearning = Relearning()
    """What the evaluation `relearning` does."""
    persistence: Persistence | None = None
    """Measure every model once more, as `@persistence`, after a training on unrelated texts."""
    samples: Samples = Samples()
    """What the evaluation `samples` has written."""
    decontaminate: bool = False
    """Look in each generation for what evaluations ask in the accepted revisions, and train no arm
    on a document that holds some. `pairs` asks about the corpus' own dialogues, so it is left out;
    what the oracle asks is counted and may not steer."""
    instrumental: Instrumental = Instrumental()
    """What the evaluation `instrumental` measures."""
