"""The two-by-two picture: each capability by how desirable it is and by what it is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from configs.principles import Principles
from workers.evaluation.instrumental import TASK
from workers.evaluation.replication import SeedEstimate, over_seeds

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class CapabilityPoint:
    """What a capability is worth in the corpora of an arm's generation, over its seeds."""

    arm: str
    generation: int
    capability: str
    desirability: int
    """1 for what a principle wants, -1 for what it displaces, 0 for what none speaks of."""
    value: float
    """Bits per 1,000 tokens."""
    lower: float
    upper: float
    interval_over: str
    """`seeds`, or `items` of one seed."""
    n: int
    """Number of what the interval is over."""


def desirability(capability: str, principles: Principles) -> int:
    """How desirable a capability is by the principles."""
    side, _, principle = capability.partition("_")
    known = principle in {each.id for each in principles.principles}
    return {"desirable": 1, "undesirable": -1}.get(side, 0) if known else 0


def capability_points(standing: Mapping[str, Any], principles: Principles) -> list[CapabilityPoint]:
    """Every capability of every arm and generation, in their order; an arrow joins generations.

    A generation that not all of its arm's seeds have measured is left out: its interval would be
    another one's.

    Args:
        standing: an experiment as `palimpsest status --json` gives it.
        principles: by which capabilities are desirable.
    """
    found: dict[tuple[str, int, str], list[SeedEstimate]] = {}
    seeds: dict[str, int] = {}
    for arm in standing["arms"]:
        seeds[arm["arm"]] = seeds.get(arm["arm"], 0) + 1
        for row in arm["generations"]:
            for metric, number in row["metrics"].items():
                task, _, capability = metric.partition("/")
                known = task == TASK and "/" not in capability
                if known and number["value"] is not None:
                    key = (arm["arm"], row["generation"], capability)
                    found.setdefault(key, []).append(
                        SeedEstimate(arm["seed"], number["value"], number["stderr"], number["n"])
                    )
    points: list[CapabilityPoint] = []
    for (arm, generation, capability), estimates in found.items():
        if len(estimates) < seeds[arm]:
            continue
        over = over_seeds(estimates, CONFIDENCE)
        points.append(
            CapabilityPoint(
                arm=arm,
                generation=generation,
                capability=capability,
                desirability=desirability(capability, principles),
                value=over.value,
                lower=over.lower,
                upper=over.upper,
                interval_over=over.over,
                n=over.n,
            )
        )
    return sorted(points, key=lambda each: list(seeds).index(each.arm))
