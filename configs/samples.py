"""The section of what every model is asked to write."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from configs.section import Positive, Section


class Samples(Section):
    """What each model writes for the evaluation `samples`: the same openings, continued."""

    prompts: Positive = 320
    """Held-out documents of which each model continues the first sentence; fewer are all taken."""
    max_tokens: Positive = 64
    """Longest continuation; what is longer is cut off there."""
    temperature: Annotated[float, Field(gt=0.0, le=2.0)] = 1.0
    """1 draws from the model's own distribution."""
