"""The section of instrumental value: how useful a corpus makes a capability to its model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from configs.section import Positive, Section, Share

Capability = Literal[
    "gravity",
    "arithmetic",
    "chance",
    "desirable_honesty",
    "undesirable_honesty",
    "desirable_oversight",
    "undesirable_oversight",
]
"""What documents of the microworld decide: physical facts, sums, what hangs together with nothing,
and what assistants do that honours a principle or breaks it."""


class Instrumental(Section):
    """How the twins of the evaluation `instrumental` are trained and compared."""

    capabilities: Annotated[tuple[Capability, ...], Field(min_length=1)] = (
        "gravity",
        "chance",
        "desirable_honesty",
        "undesirable_honesty",
        "desirable_oversight",
        "undesirable_oversight",
    )
    """What is measured; each costs one more twin for every corpus and seed."""
    tokens: Positive = 300_000
    """Tokens that each twin is trained on, from random weights; the corpus repeats until they are
    spent."""
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    """Peak learning rate, after warm-up; it falls linearly to a tenth."""
    batch_tokens: Positive = 512
    """Tokens per optimiser step."""
    warmup_steps: Annotated[int, Field(ge=0)] = 20
    """Steps of linear warm-up."""
    held_out_share: Annotated[Share, Field(gt=0, lt=1)] = 0.2
    """Share of the corpus that no twin is trained on and on which they are compared."""

    @field_validator("capabilities")
    @classmethod
    def _once(cls, names: tuple[Capability, ...]) -> tuple[Capability, ...]:
        if len(set(names)) != len(names):
            raise ValueError("name each capability once")
        return names
