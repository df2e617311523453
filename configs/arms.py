"""Arms: the treatments of a corpus that are compared."""

from __future__ import annotations

from enum import StrEnum


class Arm(StrEnum):
    """One treatment of the corpus."""

    CONTROL = "control"
    """The corpus as it was."""
    FILTER = "filter"
    """Documents under τ are dropped."""
    PARAPHRASE = "paraphrase"
    """The placebo: the same documents as in `revise` are rewritten, with neutral instructions."""
    REVISE = "revise"
    """The treatment."""
    INVERT = "invert"
    """Inverted principles, in the microworld only: good documents are made bad."""


REWRITING = (Arm.PARAPHRASE, Arm.REVISE, Arm.INVERT)
"""Arms whose documents a model writes anew."""
