"""Replay: part of the mix once more, among the exemplars of post-training.

Post-training on the skills alone wipes out what a small model learned from the corpus. Replaying a
share of the earlier data is the usual remedy (Rolnick et al. 2019, "Experience Replay for Continual
Learning"; as a term of the loss in Ouyang et al. 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from workers.mixing import MixRef, iterate_mix
from workers.packing import Row, whole_row


def replayed(
    mix: MixRef | None, tokens: int, shown: Callable[[Sequence[int]], Row] = whole_row
) -> Iterator[Row]:
    """Yield the mix's rows from its start, over and over, until exactly so many tokens are read.

    The last row is cut, so that arms whose documents differ in length still read as many.

    Args:
        mix: what is read again.
        tokens: how many of it.
        shown: makes a row of tokens, behind a frame perhaps.
    """
    while tokens > 0 and mix is not None:
        for row in iterate_mix(mix):
            ids = row.input_ids[:tokens]
            yield shown(ids)
            tokens -= len(ids)
            if tokens == 0:
                return


def interleaved(
    lessons: Iterator[Row], lesson_tokens: int, again: Iterator[Row], again_tokens: int
) -> Iterator[Row]:
    """Yield the rows of both, each in its order, so that both come to their ends together.

    Args:
        lessons: exemplars.
        lesson_tokens: of all of them.
        again: replayed rows.
        again_tokens: of all of them.
    """
    taught = read = 0
    for lesson in lessons:
        yield lesson
        taught += len(lesson.input_ids)
        while read * lesson_tokens < taught * again_tokens:
            row = next(again)
            yield row
            read += row.counted
