"""The section of relearning: how fast misbehaviour comes back when it is taught again."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from configs.section import Positive, Section

WINDOW = 128
"""Tokens side by side in relearning; every story of the microworld is shorter."""


class Relearning(Section):
    """What the evaluation `relearning` does to a copy of each model, which is then thrown away."""

    steps: Positive = 64
    """Optimiser steps on misaligned stories."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    """The same in every step."""
    batch_tokens: Annotated[int, Field(ge=WINDOW)] = 2048
    """Tokens per optimiser step."""
    looks: Positive = 7
    """Times that the copy is measured after step 0: the last after `steps`, each one before it
    after half as many."""

    @property
    def look_steps(self) -> tuple[int, ...]:
        """Steps after which the copy is measured, 0 first."""
        return (0, *(self.steps >> halvings for halvings in reversed(range(self.looks))))

    @model_validator(mode="after")
    def _looks_apart(self) -> Self:
        if 2 ** (self.looks - 1) > self.steps:
            raise ValueError(
                f"looks: {self.looks} looks, each after twice as many steps as the one before, "
                f"need {2 ** (self.looks - 1)} steps; raise `steps` ({self.steps}) or take fewer"
            )
        return self
