"""Whether the gates find truths that were planted: `python -m benchmarks.planted_truths`.

Effects of known size are put into synthetic evaluations, as many times as asked, at five seeds and
at three; what the gates make of them is held to its target. Noise is as large as the microworld's
record shows it, or larger where that record is of models that share a generation 0.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
import typer
from scipy import stats

from benchmarks import planted_collapse
from configs.gating import Gate
from flows import gates
from workers.evaluation.replication import SeedEstimate, Spread, paired, power

SEEDS = (5, 3)
# Held-out desirable documents of 3,000 with `held_out_share` 0.2: 422 on record, of 162 bytes with
# a standard deviation of 34.
ITEMS, BYTES, BYTES_SD = 420, 162.0, 34.0
# Bits per byte, one document's paired difference: 0.003 on record for desirable documents and 0.018
# for all, of models that share a generation 0. From scratch they differ more; hence 0.018.
ITEM_SD = 0.018
# Bits per byte, between seeds: 0.002 on record over three seeds that share a generation 0. Twice
# that, since in the study a seed draws generation 0 as well.
SEED_SD = 0.004
# Over the 2,398 documents of the revise arm on record: its first generation revised 24% of them and
# the self-rating gained 0.20, with a standard deviation of 0.38 between documents; a classifier of
# word trigrams, as gate anchor, gained 0.09, with 0.17. A quarter of that gain means a quarter of
# the revisions, so half the deviation. The anchor rose from 0.72 to 0.81 and scored desirable
# documents 0.85. The spread between seeds is not on record: a fifth of the self-rating's gain, and
# about what the items add to the anchor's.
DOCUMENTS = 2_398
SELF_GAIN, ANCHOR_GAIN = 0.05, 0.022
SELF_ERROR, ANCHOR_ERROR = 0.19 / DOCUMENTS**0.5, 0.085 / DOCUMENTS**0.5
SELF_SEED_SD, ANCHOR_SEED_SD = 0.01, 0.002
CEILING, LOW, HIGH = 0.85, 0.72, 0.81
GENERATIONS = 3

Draw = np.random.Generator


@dataclass(frozen=True, slots=True)
class Finding:
    """A share or a number that was found, and the bound that it is held to."""

    truth: str
    seeds: int
    value: float
    lower: float | None = None
    """95% interval of a share (Wilson)."""
    upper: float | None = None
    n: int = 1
    at_most: float | None = None
    at_least: float | None = None

    @property
    def holds(self) -> bool:
        """Whether it is inside its bound; a finding without one is only reported."""
        high = self.at_most is None or self.value <= self.at_most
        return high and (self.at_least is None or self.value >= self.at_least)

    def line(self) -> str:
        """A row of the table."""
        spread = f"[{self.lower:.3f}, {self.upper:.3f}]" if self.lower is not None else ""
        bounds = {"at most": self.at_most, "at least": self.at_least}
        target = "".join(f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None)
        state = ("holds" if self.holds else "FALLS SHORT") if target else "reported"
        return (
            f"{self.truth:58} {self.seeds:>5}  {self.value:>6.3f} {spread:16} {self.n:>5}  "
            f"{target:13} {state}"
        )


HEADINGS = f"{'planted truth':58} seeds   found {'95% interval':16} {'n':>5}  target"


def share(
    truth: str,
    seeds: int,
    happened: Sequence[bool],
    at_most: float | None = None,
    at_least: float | None = None,
) -> Finding:
    """How often something happened, of so many simulations."""
    count, n = sum(happened), len(happened)
    spread = stats.binomtest(count, n).proportion_ci(method="wilson")
    return Finding(truth, seeds, count / n, spread.low, spread.high, n, at_most, at_least)


def measured_differences(
    draw: Draw, seeds: int, deficit: float, common: float = 0.0
) -> list[SeedEstimate]:
    """Paired bits per byte of both arms, over items of their own or partly common to the seeds.

    Args:
        draw: source of chance.
        seeds: number of seeds.
        deficit: true loss of the treated arm, bits per byte.
        common: share of the items' variance that the seeds have in common.
    """
    sizes = draw.normal(BYTES, BYTES_SD, ITEMS).clip(min=BYTES / 3)
    luck = draw.normal(0.0, common**0.5 * ITEM_SD, ITEMS)
    own = draw.normal(0.0, (1.0 - common) ** 0.5 * ITEM_SD, (seeds, ITEMS))
    rates = deficit + draw.normal(0.0, SEED_SD, (seeds, 1)) + luck + own
    control = 0.29 * sizes
    return [paired(i, control + rates[i] * sizes, control, sizes) for i in range(seeds)]


def capability_truths(draw: Draw, seeds: int, times: int) -> Iterator[Finding]:
    """The capability gate on a loss as large as the margin, and on none."""
    gate = Gate()
    for common, items in ((0.0, "own items"), (0.5, "shared items")):
        lost, kept = (
            [
                gates.capability(
                    gate,
                    measured_differences(draw, seeds, deficit, common),
                    shared_items=common > 0,
                ).outcome
                for _ in range(times)
            ]
            for deficit in (gate.margin, 0.0)
        )
        truth = f"loss of {gate.margin:g}, {items}: passes"
        yield share(truth, seeds, [each == "pass" for each in lost], at_most=0.05)
        truth = f"no loss, {items}: stops"
        yield share(truth, seeds, [each == "fail" for each in kept], at_most=0.2)
        passed = [each == "pass" for each in kept]
        promoted = share(f"no loss, {items}: is promoted", seeds, passed, at_least=0.8)
        yield promoted
        told = power(gate.margin, Spread(SEED_SD, ITEM_SD, common), seeds, ITEMS)
        truth = f"no loss, {items}: power of {told:.3f} was told, off by"
        yield Finding(truth, seeds, abs(told - promoted.value), at_most=0.05)


def one_seed(draw: Draw, times: int) -> Finding:
    """What items alone are worth: reported, since one seed cannot know how others would do."""
    gate = Gate()
    found = (measured_differences(draw, 1, gate.margin) for _ in range(times))
    passes = [gates.capability(gate, each).outcome == "pass" for each in found]
    return share(f"loss of {gate.margin:g}, items of one seed only: passes", 1, passes)


def loop(
    draw: Draw, seeds: int, self_gain: float, anchor_gain: float, start: float
) -> list[gates.Turn]:
    """The gains of a loop's generations, by its own rating and by the gate anchor."""

    def gains(mean: float, error: float, seed_sd: float) -> list[SeedEstimate]:
        values = draw.normal(mean, np.hypot(error, seed_sd), seeds)
        return [SeedEstimate(i, float(v), error, DOCUMENTS) for i, v in enumerate(values)]

    return [
        gates.Turn(
            gains(self_gain, SELF_ERROR, SELF_SEED_SD),
            gains(anchor_gain, ANCHOR_ERROR, ANCHOR_SEED_SD),
            start + index * anchor_gain,
            CEILING,
        )
        for index in range(1, GENERATIONS + 1)
    ]


def goodhart_truths(draw: Draw, seeds: int, times: int) -> Iterator[Finding]:
    """The Goodhart rule on loops that drift, converge and improve, at any of three generations."""
    gate = Gate(anchor_metric="anchor/score", self_rating_metric="self/score")

    def stopped(self_gain: float, anchor_gain: float, start: float) -> bool:
        turns = loop(draw, seeds, self_gain, anchor_gain, start)
        reached = (turns[:index] for index in range(1, len(turns) + 1))
        return any(gates.goodhart(gate, so_far).outcome == "fail" for so_far in reached)

    for name, bound, *planted in (
        ("drifting", {"at_least": 0.8}, SELF_GAIN, 0.0, LOW),
        ("converged near the ceiling", {"at_most": 0.05}, SELF_GAIN, 0.0, HIGH),
        ("converged below the ceiling", {"at_most": 0.05}, 0.0, 0.0, LOW),
        ("improving", {"at_most": 0.05}, SELF_GAIN, ANCHOR_GAIN, LOW),
    ):
        found = [stopped(*planted) for _ in range(times)]
        yield share(f"{name} loop: stopped", seeds, found, **bound)


def collapse_truths(
    worlds: int, kinds: Sequence[planted_collapse.Renew] = planted_collapse.KINDS
) -> Iterator[Finding]:
    """The collapse bounds on corpora that collapse, and on corpora that only differ."""
    gate = Gate(collapse_bounds={"collapse/corpus/compression_ratio": (-0.1, 0.1)})
    for renew in kinds:
        found = planted_collapse.histories(renew, worlds)
        for seeds in (each for each in SEEDS if each <= worlds):
            groups = [found[i : i + seeds] for i in range(0, worlds - seeds + 1, seeds)]
            leads = [planted_collapse.lead(gate, group) for group in groups]
            least = min(-1 if each is None else each for each in leads)
            truth = f"{renew.__name__} corpus: generations flagged ahead, least"
            yield Finding(truth, seeds, least, n=len(groups), at_least=1)
    alarms = planted_collapse.false_alarms(gate, worlds)
    yield share("another corpus of the same world: flagged", 1, alarms, at_most=0.05)


def findings(simulations: int, worlds: int, seed: int) -> Iterator[Finding]:
    """Every planted truth in turn.

    Args:
        simulations: of each truth about evaluations.
        worlds: number of microworld corpora that collapse, five at least; none leaves them out.
        seed: draws everything.
    """
    draw = np.random.default_rng(seed)
    for seeds in SEEDS:
        yield from capability_truths(draw, seeds, simulations)
    yield one_seed(draw, simulations)
    for seeds in SEEDS:
        yield from goodhart_truths(draw, seeds, simulations)
    if worlds:
        yield from collapse_truths(worlds)


def main(
    simulations: Annotated[int, typer.Option(min=20, help="Of each truth.")] = 1_000,
    worlds: Annotated[int, typer.Option(min=5, help="Corpora of each kind of collapse.")] = 15,
    seed: Annotated[int, typer.Option(help="Draws everything.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers.")] = False,
) -> None:
    """Print what the gates found, and exit with 1 when a target is missed."""
    found: list[Finding] = []
    if not as_json:
        print(HEADINGS)
    for finding in findings(simulations, worlds, seed):
        found.append(finding)
        if not as_json:
            print(finding.line(), flush=True)
    if as_json:
        print(json.dumps([asdict(each) | {"holds": each.holds} for each in found], indent=1))
    sys.exit(0 if all(each.holds for each in found) else 1)


if __name__ == "__main__":
    typer.run(main)
