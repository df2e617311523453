"""Stages of training: how much is read, at what rate, in what steps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from configs.section import Positive, Section


class Stage(Section):
    """One stage of training, as the Hugging Face trainer runs it."""

    tokens: Positive
    """Token budget of the stage; the data repeat until it is spent."""
    learning_rate: Annotated[float, Field(gt=0)]
    """Peak learning rate, after warm-up; it falls linearly to a tenth."""
    batch_tokens: Positive = 4096
    """Tokens per optimiser step."""
    warmup_steps: Annotated[int, Field(ge=0)] = 20
    """Steps of linear warm-up."""
    loss: Literal["tokens", "rows"] = "tokens"
    """Mean over learned tokens, or over rows of each row's own mean: then an answer of one word, a
    rating, weighs as much as one of fifty, a revision."""


class FineTune(Stage):
    """A short stage on the arm's mix, after a corpus stage of corpus 0."""

    tokens: Positive = 15_000
    """Token budget; the data repeat until it is spent."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    """Peak learning rate, after warm-up; it falls linearly to a tenth."""
    batch_tokens: Positive = 2048
    """Tokens per optimiser step."""
    warmup_steps: Annotated[int, Field(ge=0)] = 2
    """Steps of linear warm-up."""


class Persistence(Stage):
    """A short training on unrelated texts, the same for every model, which is then measured again.

    What it makes is measured and never trained on.
    """

    tokens: Positive = 20_000
    """Token budget; the texts repeat until it is spent."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    """Peak learning rate, after warm-up; it falls linearly to a tenth."""
    batch_tokens: Positive = 2048
    """Tokens per optimiser step."""
    warmup_steps: Annotated[int, Field(ge=0)] = 2
    """Steps of linear warm-up."""
    path: str | None = None
    """A file, folder or glob of unrelated texts; rows have them in `text`. Without it, facts of the
    microworld, told among people and in no document of a corpus or an evaluation."""
    seed: int = 0
    """Draws the microworld's facts and the texts' order, alike for all seeds of an experiment."""
