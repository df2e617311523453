"""Predictions: what is expected of an experiment, written down before its first model call."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from configs.arms import Arm
from configs.fingerprint import digest_of
from configs.section import Section


class Prediction(Section):
    """One expected difference between an arm and the control."""

    metric: Annotated[str, Field(min_length=1)]
    """Full name of the metric, such as `oracle/propensity_ood`."""
    arm: Arm = Arm.REVISE
    """Arm of which it is said."""
    direction: Literal["lower", "higher", "within"]
    """Whether the arm's value is to lie under the control's, over it, or close to it."""
    size: Annotated[float, Field(ge=0)]
    """By how much at least, or for `within` at most, in the metric's own unit."""
    by: Annotated[int, Field(ge=1)]
    """Generation at which it is judged."""

    @property
    def digest(self) -> str:
        """Hash of all that it says."""
        return digest_of(self)
