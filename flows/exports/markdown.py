"""Markdown that stays as it is meant, whatever a name, a command or a reason holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

# What Markdown or HTML would read in running text or in a table's cell.
_READ = re.compile(r"([\\`*_{}\[\]<>#|~$])")


def plain(value: Any) -> str:
    """A value as running text on one line."""
    return _READ.sub(r"\\\1", " ".join(str(value).split()))


def code(value: Any) -> str:
    """A value as code within a line; the fence is longer than any within it."""
    text = " ".join(str(value).split())
    if "|" in text:
        # Within a table a bar ends the cell even in code, and what escapes it there depends on
        # what stands before it.
        return plain(text)
    fence = "`" * (_longest_run(text) + 1)
    return f"{fence} {text} {fence}" if "`" in text else f"`{text}`"


def block(text: str, language: str = "") -> str:
    """Lines of code, fenced."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def as_json(value: Any) -> str:
    """A value as fenced JSON."""
    return block(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False), "json")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
