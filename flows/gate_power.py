"""Whether the seeds and items at hand can decide the capability gate's margin."""

from __future__ import annotations

import math

from configs.corpora import MicroworldCorpus
from configs.experiment import Experiment
from configs.gating import Gate
from workers.evaluation.replication import Spread, items_needed, power, seeds_needed

# A smaller margin is allowed only where this power, at no deficit, is shown for it.
SMALL_MARGIN, ENOUGH_POWER = 0.02, 0.8


def power_warning(gate: Gate, seeds: int, items: int, spread: Spread | None = None) -> str | None:
    """What to say of a margin that the capability gate is unlikely to decide; None where it can.

    Args:
        gate: margin, coverage and, for want of a measured one, the expected spread.
        seeds: number of seeds.
        items: number of items of each.
        spread: as measured, by `spread_of` over an earlier generation.
    """
    assumed = spread or Spread(gate.expected_seed_sd, gate.expected_item_sd)
    found = power(gate.margin, assumed, seeds, items, gate.confidence)
    if found >= ENOUGH_POWER:
        return None
    more_seeds = seeds_needed(gate.margin, assumed, items, gate.confidence)
    more_items = items_needed(gate.margin, assumed, seeds, gate.confidence)
    fixes = [f"{more_seeds} seeds"] if more_seeds else []
    fixes += [f"{more_items:,} items of each"] if more_items else []
    unsupported = f"; a margin under {SMALL_MARGIN:g} needs that" * (gate.margin < SMALL_MARGIN)
    return (
        f"gate.margin: {seeds} seed{'s' * (seeds > 1)} of {items:,} items would pass a margin of "
        f"{gate.margin:g} with power {found:.2f} when nothing is lost, not {ENOUGH_POWER:.2f}"
        f"{unsupported} ({'measured' if spread else 'expected'} standard deviation between seeds "
        f"{assumed.seed_sd:.2g}, between items {assumed.item_sd:.2g}). "
        + (f"Give {' or '.join(fixes)}, or a wider margin." if fixes else "Give a wider margin.")
    )


def expected_items(experiment: Experiment) -> int | None:
    """Most items that the capability metric can have in each seed; None where only the data know.

    Of a slice of the microworld's held-out documents it is the number to be expected.
    """
    evaluation, metric = experiment.evaluation, experiment.gate.capability_metric
    if metric.startswith("harness/"):
        return evaluation.harness.limit
    if metric.startswith("pairs/"):
        return evaluation.pairs_limit
    if not metric.startswith("bits_per_byte"):
        return evaluation.items
    corpus, share = experiment.corpus, 1.0
    documents = corpus.documents if isinstance(corpus, MicroworldCorpus) else corpus.limit
    if isinstance(corpus, MicroworldCorpus):
        bad = corpus.misaligned_share
        share = {"desirable": 1.0 - bad, "undesirable": bad}.get(metric.rpartition("/")[2], 1.0)
    held_out = math.inf if documents is None else experiment.intake.held_out_share * documents
    return round(share * min(evaluation.items, held_out)) or None
