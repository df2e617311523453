"""Naming what was likely meant, without ever repeating ten kilobytes of what was typed."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

# difflib's time grows with the product of the lengths.
_COMPARED_CHARACTERS = 128


def nearest(wanted: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """The known names that look most like the wanted one, nearest first."""
    by_start = {name[:_COMPARED_CHARACTERS]: name for name in known}
    close = get_close_matches(wanted[:_COMPARED_CHARACTERS], list(by_start), n=limit, cutoff=0.4)
    return [by_start[name] for name in close]


def quoted(text: str, limit: int = 80) -> str:
    """The text as it may stand in a message: on one line, and not long."""
    return repr(text if len(text) <= limit else f"{text[:limit]}…")


def or_nearest(names: list[str]) -> str:
    """The end of a message: what was likely meant, or that nothing is like it."""
    return f"nearest: {', '.join(names)}" if names else "nothing recorded is like it"
