"""What can go wrong in a way that a user can mend."""

from __future__ import annotations


class InputProblem(Exception):
    """Input that cannot be used: says what is wrong, where, and how to mend it."""


class WorkProblem(Exception):
    """Work that had to stop although its input was fine; what was finished stays usable."""


class StoreAway(WorkProblem):
    """The store does not answer now: the same work may be done later, or by another node."""
