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
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            yield "same", "".join(old[a:b])
            continue
        if b > a:
            yield "removed", "".join(old[a:b])
        if d > c:
            yield "added", "".join(new[c:d])
