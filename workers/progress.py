"""How far a remote job is: told where it runs, asked for where it was started."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

Progress = Callable[[str, int, int, dict[str, Any]], None]
"""Takes what is done, how much of it, out of how much, and figures to show beside."""
ROOM_AWAITED, ROOM_FOUND = "room awaited", "room found"
"""Told as what is done, and shown to nobody: whether the job can go on."""
TELL_S = 0.5
"""Least seconds between two tellings, so that a fast job does not flood the board."""


class Board:
    """The last that was told, held by an actor that both sides reach from wherever they are."""

    def __init__(self) -> None:
        """Begin with nothing told."""
        self._told: tuple[int, tuple[Any, ...]] | None = None

    def tell(self, *told: Any) -> None:
        """Put up how far the job is."""
        self._told = ((self._told[0] + 1 if self._told else 1), told)

    def read(self) -> tuple[int, tuple[Any, ...]] | None:
        """What was told last, with its number; None before anything was."""
        return self._told


class Teller:
    """The job's side: passes progress on to the board, without waiting for it."""

    def __init__(self, board: Any) -> None:
        """Take the board's handle."""
        self._board = board
        self._last: tuple[str, float] = ("", 0.0)
        self._on_its_way: Any = None

    def __reduce__(self) -> tuple[type[Teller], tuple[Any]]:
        """Take the board alone along: another node's clock stands elsewhere."""
        return Teller, (self._board,)

    def __call__(self, what: str, done: int, total: int, figures: dict[str, Any]) -> None:
        """Tell how far the job is, at most twice a second; a beginning and an end always."""
        told, when = self._last
        if what == told and done < total and time.monotonic() - when < TELL_S:
            return
        self._last = what, time.monotonic()
        self._on_its_way = self._board.tell.remote(what, done, total, figures)

    def close(self) -> None:
        """Wait a little for the last telling to arrive: the reader looks when the job has ended."""
        if self._on_its_way is not None:
            ray.wait([self._on_its_way], timeout=TELL_S * 4)


class Reader:
    """The starter's side: shows what is new on the board.

    Progress is nothing to fail for: a board that is gone shows nothing more.
    """

    def __init__(self, show: Progress) -> None:
        """Put up a board on this node, and show its news by `show`."""
        pin = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        # Without a core of its own: it may stand on a node that offers none.
        made: Any = ray.remote(Board).options(num_cpus=0, scheduling_strategy=pin)
        self.board: Any = made.remote()
        self._show = show
        self._seen = 0
        self.has_room = False
        """Whether the job runs, and waits for no node."""
        self._asked = self.board.read.remote()

    def look(self) -> None:
        """Show what was told since the last look; at once, whether there is an answer or not."""
        if not ray.wait([self._asked], timeout=0)[0]:
            return
        with suppress(RayError):
            self._take(ray.get(self._asked))
        self._asked = self.board.read.remote()

    def close(self) -> None:
        """Show what is left, and take the board down."""
        with suppress(RayError, GetTimeoutError):
            self._take(ray.get(self.board.read.remote(), timeout=TELL_S * 4))
        ray.kill(self.board)

    def _take(self, found: Any) -> None:
        if found is not None and found[0] != self._seen:
            self._seen, told = found
            self.has_room = told[0] != ROOM_AWAITED
            if told[0] not in (ROOM_AWAITED, ROOM_FOUND):
                self._show(*told)
