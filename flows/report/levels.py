"""Numbers over seeds: a metric's level in an arm and generation, and what it is held against."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from flows.summary import seeds_of
from workers.evaluation.replication import SeedEstimate, over_seeds, unpaired

CONFIDENCE = 0.95
MAIN_ARMS = ("revise", "filter")
"""The arms that a report is about, the first that is there."""
Standing = Mapping[str, Any]
"""One entry of what `palimpsest status --json` prints."""


@dataclass(frozen=True, slots=True)
class OfSeed:
    """What one seed says."""

    seed: int
    value: float
    stderr: float | None
    """Standard error over the seed's items; None for a census."""
    n: int


@dataclass(frozen=True, slots=True)
class Level:
    """A number of an arm's generation with its 95% interval, and what the interval is over."""

    metric: str
    arm: str
    generation: int
    value: float
    """Mean over seeds."""
    lower: float | None
    """None where nothing gives an interval: a census, or one seed of several alone."""
    upper: float | None
    over: Literal["seeds", "items"] | None
    n: int
    """Number of what the interval is over; of seeds where there is none."""
    seeds: tuple[OfSeed, ...] = ()

    @property
    def half(self) -> float:
        """Half the interval; 0 where there is none."""
        return 0.0 if self.upper is None else self.upper - self.value


def level_of(row: Mapping[str, Any]) -> Level:
    """A level out of its row in the findings."""
    own = {each.name: row[each.name] for each in fields(Level)}
    return Level(**{**own, "seeds": tuple(OfSeed(**each) for each in row["seeds"])})


def levels(standing: Standing) -> list[Level]:
    """Every metric of every arm and generation, arms in their order.

    With two seeds or more the interval is Student's t over them, on the items that were asked; of
    an experiment's only seed it is over items.
    """
    return _over_arms(standing, lambda arm, index, metric: _found(standing, arm, index, metric))


def differences(standing: Standing) -> list[Level]:
    """The same of the difference to the control of the same seed and generation.

    The errors of the two sides are taken as independent.
    """

    def to_control(arm: str, index: int, metric: str) -> list[SeedEstimate]:
        control = {each.seed: each for each in _found(standing, "control", index, metric)}
        own = [] if arm == "control" else _found(standing, arm, index, metric)
        return [unpaired(each, control[each.seed]) for each in own if each.seed in control]

    return _over_arms(standing, to_control)


def relative(standing: Standing, wanted: Callable[[str], bool]) -> list[Level]:
    """Change since generation 0 of the same arm and seed, as a share of what it was there.

    Only what was taken over equally much is compared, and nothing where it was 0 in the beginning.
    A single seed has no interval: its errors at the two ends are not independent.
    """

    def to_first(arm: str, index: int, metric: str) -> list[SeedEstimate]:
        first = {each.seed: each for each in _found(standing, arm, 0, metric)}
        return [
            SeedEstimate(each.seed, each.value / begun.value - 1.0, None, each.n)
            for each in _found(standing, arm, index, metric)
            if (begun := first.get(each.seed)) and begun.value and begun.n == each.n
            and each.value is not None
        ]  # fmt: skip

    return [each for each in _over_arms(standing, to_first) if wanted(each.metric)]


def arms_of(standing: Standing) -> list[str]:
    """The arms' names, in the order of the record."""
    return list(dict.fromkeys(arm["arm"] for arm in standing["arms"]))


def main_arm(names: Sequence[str]) -> str | None:
    """The arm that a report is about; None where none is treated."""
    treated = [name for name in names if name != "control"]
    return min(
        treated,
        key=lambda name: MAIN_ARMS.index(name) if name in MAIN_ARMS else len(MAIN_ARMS),
        default=None,
    )


def generations_of(standing: Standing, arm: str) -> dict[int, list[tuple[int, dict[str, Any]]]]:
    """An arm's generations, in order: the seed and row of each that has it."""
    found: dict[int, list[tuple[int, dict[str, Any]]]] = {}
    for each in standing["arms"]:
        if each["arm"] == arm:
            for row in each["generations"]:
                found.setdefault(row["generation"], []).append((each["seed"], row))
    return dict(sorted(found.items()))


def _over_arms(
    standing: Standing, estimates: Callable[[str, int, str], list[SeedEstimate]]
) -> list[Level]:
    several = len(seeds_of(standing)) > 1
    found: list[Level] = []
    for arm in arms_of(standing):
        for index, rows in generations_of(standing, arm).items():
            for metric in dict.fromkeys(name for _, row in rows for name in row["metrics"]):
                level = _level(metric, arm, index, estimates(arm, index, metric), several)
                found += [level] if level else []
    return found


def _found(standing: Standing, arm: str, index: int, metric: str) -> list[SeedEstimate]:
    rows = generations_of(standing, arm).get(index, [])
    numbers = [(seed, row["metrics"].get(metric)) for seed, row in rows]
    return [
        SeedEstimate(seed, number["value"], number["stderr"], number["n"] or 0)
        for seed, number in numbers
        if number is not None and number["value"] is not None
    ]


def _level(
    metric: str, arm: str, index: int, estimates: Sequence[SeedEstimate], several: bool
) -> Level | None:
    seeds = tuple(
        OfSeed(each.seed, each.value, each.stderr, each.n)
        for each in estimates
        if each.value is not None
    )
    if not seeds:
        return None
    if len(seeds) == 1 and (several or seeds[0].stderr is None):
        return Level(metric, arm, index, seeds[0].value, None, None, None, 1, seeds)
    found = over_seeds(estimates, CONFIDENCE)
    ends = (found.lower, found.upper, found.over, found.n)
    return Level(metric, arm, index, found.value, *ends, seeds)
