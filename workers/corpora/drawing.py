"""Rows in an order drawn by a seed, with the rows on disk and their offsets in memory."""

from __future__ import annotations

import json
import random
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

from workers.storage import explain_full_disk

Row = tuple[str, str, str]


def draw_rows(rows: Iterable[Row], seed: int, limit: int | None) -> Iterator[Row]:
    """Yield `limit` of the rows, or all, in an order that the seed draws.

    The rows are kept in a temporary file that has no name, so that nothing stays behind even when
    the process is killed. Memory holds 16 bytes a row.

    Raises:
        WorkProblem: the disk is full.
    """
    offsets = array("Q")
    with tempfile.TemporaryFile() as spool:
        with explain_full_disk(Path(tempfile.gettempdir())):
            for row in rows:
                offsets.append(spool.tell())
                spool.write(json.dumps(row).encode("ascii") + b"\n")
            spool.flush()
        order = array("Q", range(len(offsets)))
        random.Random(f"dialogues|{seed}").shuffle(order)
        for index in order[:limit]:
            spool.seek(offsets[index])
            where, first, second = json.loads(spool.readline())
            yield where, first, second
