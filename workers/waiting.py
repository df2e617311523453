"""Waiting for a node with room: said from time to time, and ended after a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from workers.nodes import alive_nodes, describe
from workers.problems import WorkProblem

NOTICE_S = 20.0
"""Seconds after which it is said for the first time; an actor's process takes some to start."""
NOTICE_AGAIN_S = 60.0


@dataclass
class RoomWait:
    """Counts how long nothing has found room."""

    cpus: int
    gpus: float
    fields: str
    """The settings that ask for so much, for the message."""
    wait_s: float
    say: Callable[[str], None]
    processes: int = 1
    """How many need so much each."""
    _since: float | None = field(default=None, init=False)
    _next: float = field(default=NOTICE_S, init=False)

    def over(self) -> None:
        """Room was found; the next wait counts from its own beginning."""
        self._since, self._next = None, NOTICE_S

    def still(self) -> None:
        """There is no room yet.

        Raises:
            WorkProblem: there was none for `wait_s`.
        """
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        waited = now - self._since
        if waited < min(self._next, self.wait_s):
            return
        nodes = alive_nodes()
        said = f"{len(nodes)} node{'' if len(nodes) == 1 else 's'} alive: {describe(nodes)}"
        if waited >= self.wait_s:
            raise WorkProblem(
                f"no {self._room} free came in {waited:.0f} s (engine.wait_s); {said}. "
                "What was finished is kept. Add nodes, wait for other work on the cluster to end, "
                f"or lower {self.fields}; then run the same command again."
            )
        self._next = waited + NOTICE_AGAIN_S
        self.say(f"  waiting for a {self._room} free; {said}")

    @property
    def _room(self) -> str:
        said = f"{self.cpus} CPU{'' if self.cpus == 1 else 's'}"
        said += f" and {self.gpus:g} GPU" if self.gpus else ""
        if self.processes > 1:
            return f"set of nodes with {self.processes} times {said}"
        return f"node with {said}"
