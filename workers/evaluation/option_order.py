"""Lettered options of a question, put in an order drawn for the question."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence

BEGIN = "Choices:"
LETTER = re.compile(r"(?m)^[ \t]*\(([A-Z])\)[ \t]*")
# Options that speak of others by their place or letter keep it, and so do those beside them.
PLACED = re.compile(r"\babove\b|\bbelow\b|\([A-Z]\)")


def reorder(question: str, answers: Sequence[str]) -> tuple[str, list[str]]:
    """Put a question's options in an order drawn from its own text, so that it is always the same.

    Args:
        question: has a line `Choices:` and under it a line for each option, ` (A) …` and so on.
        answers: letters of some of the options, such as ` (A)`.

    Returns:
        The question, and the letters that those options have now.

    Raises:
        ValueError: the question has no such options, or an answer is none of them.
    """
    stem, begins, rest = question.rpartition(BEGIN)
    marks = list(LETTER.finditer(rest))
    letters = [mark.group(1) for mark in marks]
    if not begins or len(marks) < 2 or letters != [chr(ord("A") + i) for i in range(len(marks))]:
        raise ValueError(f"no options (A), (B) … under `{BEGIN}`")
    wanted = [answer.strip(" ()") for answer in answers]
    if not set(wanted) <= set(letters) or len(set(wanted)) < len(wanted):
        raise ValueError("an answer is none of the options, or given twice")
    # What follows the last option after an empty line belongs to the question.
    last = rest[marks[-1].end() :].partition("\n\n")[0]
    ends = [mark.start() for mark in marks[1:]] + [marks[-1].end() + len(last)]
    options = [rest[mark.end() : end].rstrip() for mark, end in zip(marks, ends, strict=True)]
    order = list(range(len(options)))
    if not any(PLACED.search(option) for option in options):
        random.Random(hashlib.sha256(question.encode("utf-8")).digest()).shuffle(order)
    lines = [mark.group() + options[i] for mark, i in zip(marks, order, strict=True)]
    made = stem + begins + rest[: marks[0].start()] + "\n".join(lines) + rest[ends[-1] :]
    now = {letters[i]: letters[place] for place, i in enumerate(order)}
    return made, [f" ({now[letter]})" for letter in wanted]
