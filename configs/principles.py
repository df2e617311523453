"""Principles: the written standard that a corpus is rated and revised by."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from configs.fingerprint import digest_of
from configs.loading import read_yaml, shipped_file, validate
from configs.section import Section

Text = Annotated[str, Field(min_length=1)]


class Side(Section):
    """One of the two capabilities that a principle weighs, and how it is measured."""

    capability: Text
    """The capability, in words."""
    evaluation: Text
    """Name of the evaluation that measures it."""


class Principle(Section):
    """One desirable capability and the undesirable one it displaces."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
    """Short name, used in tables and queries."""
    desirable: Side
    """What the corpus should show more of."""
    undesirable: Side
    """What it displaces."""
    question: Text
    """Asked of the rater after the document; `yes` means that the document lives up to it."""
    revision: Text
    """Told to the reviser when the document falls short."""


class Principles(Section):
    """A versioned set of principles."""

    version: Annotated[int, Field(ge=1)]
    """Raised whenever a text changes."""
    title: Text
    """What the set is about."""
    principles: Annotated[tuple[Principle, ...], Field(min_length=1)]
    """The principles, in the order in which they are asked."""

    @model_validator(mode="after")
    def _unique(self) -> Self:
        ids = [principle.id for principle in self.principles]
        if len(set(ids)) != len(ids):
            raise ValueError("principles: each id once")
        return self

    @property
    def digest(self) -> str:
        """Hash of everything in the set; part of identity."""
        return digest_of(self)


def load_principles(name: str) -> Principles:
    """Load a shipped set by name, or any set by path.

    Raises:
        ConfigProblem: no such file, a missing side, or a side without an evaluation.
    """
    path = shipped_file("principles", name)
    return validate(Principles, read_yaml(path), where=str(path))
