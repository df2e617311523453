"""Word diffs, for people."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Literal

Kind = Literal["same", "removed", "added"]
_WORD = re.compile(r"\s+|[^\s]+")


def word_diff(before: str, after: str) -> Iterator[tuple[Kind, str]]:
    """Yield runs of text that stayed, went or came; the first two together are `before`."""
    old, new = _WORD.findall(before), _WORD.findall(after)
    # A match never starts from a space: each would match every other, and a diff of two texts that
    # share little would take time that grows with the cube of their length.
    matcher = difflib.SequenceMatcher(str.isspace, old, new, autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            yield "same", "".join(old[a:b])
            continue
        if b > a:
            yield "removed", "".join(old[a:b])
        if d > c:
            yield "added", "".join(new[c:d])
