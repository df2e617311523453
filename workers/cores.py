"""CPU cores of a node, each claimed by one engine as long as there are free ones."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import IO

PATIENCE_S = 1.0
"""An engine that was just ended may hold its cores for a moment longer."""


class ClaimedCores:
    """Cores that this process computes on; they are free again when it ends."""

    def __init__(self, index: int, threads: int) -> None:
        """Claim `threads` cores; where fewer are free, share others.

        Args:
            index: of the engine. The search begins with the cores that are this engine's when no
                other is in the way, so that engines in containers of one machine, which do not see
                each other's claims, spread too.
            threads: number of cores.
        """
        cores = sorted(os.sched_getaffinity(0))
        at = index * threads % len(cores)
        self._order = [*cores[at:], *cores[:at]]
        self._held: dict[int, IO[str]] = {}
        # Per user: a folder of somebody else's could not be written.
        self._folder = Path(tempfile.gettempdir()) / f"palimpsest-cores-{os.getuid()}"
        self._folder.mkdir(exist_ok=True)
        end = time.monotonic() + PATIENCE_S
        self._claim(threads)
        while len(self._held) < min(threads, len(cores)) and time.monotonic() < end:
            time.sleep(PATIENCE_S / 10)
            self._claim(threads)
        shared = cycle([c for c in self._order if c not in self._held] or self._order)
        self.cores = [*self._held, *islice(shared, threads - len(self._held))]

    def _claim(self, threads: int) -> None:
        for core in self._order:
            if len(self._held) == threads:
                return
            if core in self._held:
                continue
            file = (self._folder / str(core)).open("w")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.close()
                continue
            self._held[core] = file
