"""Rounds in turn, each beside a fixed piece of arithmetic that says how quick the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

from benchmarks.targets import Figure

SIDE = 768
TIMES = 12
LEAST = 0.6
"""A round in which the machine was slower than this share of its median is left out."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """What each job took in the rounds that count."""

    seconds: dict[str, list[float]]
    machine_s: list[float]
    """Seconds of the fixed matrix product beside each of them."""
    discarded: int

    def rate(self, of: str, label: str, job: str, amount: float, unit: str) -> Figure:
        """How much a second a job did: median of the rounds, lowest and highest."""
        rates = [amount / each for each in self.seconds[job]]
        return Figure(of, label, median(rates), unit, spread=(min(rates), max(rates)))

    def ratio(self, of: str, label: str, job: str, other: str, at_least: float) -> Figure:
        """How many times as quick as another a job was: median of the rounds, lowest, highest."""
        each = [b / a for a, b in zip(self.seconds[job], self.seconds[other], strict=True)]
        return Figure(
            of, label, median(each), "times", at_least=at_least, spread=(min(each), max(each))
        )

    def figures(self) -> dict[str, Any]:
        """For the file of figures."""
        return {
            "rounds": len(self.machine_s),
            "discarded": self.discarded,
            "matrix_product_s": self.machine_s,
            "seconds": self.seconds,
        }


def rounds_of(jobs: Mapping[str, Callable[[], float | None]], count: int) -> Rounds:
    """Do every job once in each round, after one round that is not counted.

    Args:
        jobs: by name; each does the same amount of work every time. One of which not all counts
            returns the seconds that do.
        count: rounds that are counted, but for those in which the machine was busy elsewhere.
    """
    machine: list[float] = []
    taken: list[dict[str, float]] = []
    names = list(jobs)
    for number in range(count + 1):
        # None is always the first: what the one before left in the caches would favour another.
        order = names[number % len(names) :] + names[: number % len(names)]
        before = _matrix_product()
        now = {name: _seconds(jobs[name]) for name in order}
        if number:
            machine.append((before + _matrix_product()) / 2)
            taken.append(now)
    kept = [i for i, s in enumerate(machine) if median(machine) / s >= LEAST]
    return Rounds(
        {name: [taken[i][name] for i in kept] for name in names},
        [machine[i] for i in kept],
        len(machine) - len(kept),
    )


def _seconds(job: Callable[[], float | None]) -> float:
    began = time.perf_counter()
    counted = job()
    return time.perf_counter() - began if counted is None else counted


def _matrix_product() -> float:
    one = torch.ones(SIDE, SIDE)
    began = time.perf_counter()
    for _ in range(TIMES):
        _ = one @ one
    return time.perf_counter() - began
