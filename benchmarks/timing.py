"""Timing jobs in turn, so that what else the machine does falls on all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any


@dataclass(frozen=True, slots=True)
class Timed:
    """Milliseconds of a job's calls, round by round."""

    rounds: list[list[float]]

    @property
    def median_ms(self) -> float:
        """The middle one of all calls."""
        return median(self._calls())

    @property
    def p99_ms(self) -> float:
        """What 99 calls of 100 stay under."""
        return quantiles(self._calls(), n=100, method="inclusive")[98]

    @property
    def medians(self) -> list[float]:
        """The middle call of each round."""
        return [median(each) for each in self.rounds]

    def figures(self) -> dict[str, Any]:
        """For the file of figures: the spread is the lowest and the highest round."""
        return {
            "calls": len(self._calls()),
            "median_ms": self.median_ms,
            "p99_ms": self.p99_ms,
            "spread_ms": [min(self.medians), max(self.medians)],
        }

    def _calls(self) -> list[float]:
        return [call for each in self.rounds for call in each]


def in_turn(
    jobs: Mapping[str, Callable[[], object]], *, rounds: int, calls: int
) -> dict[str, Timed]:
    """Call each job so many times, then the next one, and all of them again for each round.

    A round that is not counted goes first: it fills what is filled once, such as caches of
    statements.
    """
    taken: dict[str, list[list[float]]] = {name: [] for name in jobs}
    for number in range(rounds + 1):
        for name, job in jobs.items():
            taken[name].append([_one(job) for _ in range(calls if number else 5)])
    return {name: Timed(each[1:]) for name, each in taken.items()}


def _one(job: Callable[[], object]) -> float:
    began = time.perf_counter()
    job()
    return (time.perf_counter() - began) * 1_000


def ratio(ours: list[float], bare: list[float]) -> tuple[float, float, float]:
    """How many times longer than bare ours takes: the median of the rounds, lowest and highest."""
    each = [one / other for one, other in zip(ours, bare, strict=True)]
    return median(each), min(each), max(each)
