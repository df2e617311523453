"""Figures of the self-rater beside the anchors."""

from __future__ import annotations

from collections.abc import Sequence

from flows.report.levels import Level, main_arm
from flows.report.metrics import describe
from flows.report.plots import Figure
from flows.report.trajectories import Line, trajectory

# Roles, not arms: colours of their own.
RATERS = (
    ("rater/self_score", "self-rater", "#CC79A7", "o"),
    ("anchor/corpus_score", "gate anchor", "#0072B2", "s"),
    ("audit/corpus_score", "audit anchor", "#009E73", "D"),
)
SHOWN_TOGETHER = {metric for metric, _, _, _ in RATERS}
ABOUT = (
    "Mean score of the corpus by the model itself, by the gate anchor, which may stop the arm, and "
    "by the audit anchor, which decides nothing. Their scales differ: compare how they move."
)


def anchor_figures(found: Sequence[Level]) -> list[Figure]:
    """One figure for each arm, as far as the scores were measured."""
    figures: list[Figure] = []
    for arm in dict.fromkeys(each.arm for each in found):
        lines = [
            Line(name, colour, marker, levels)
            for metric, name, colour, marker in RATERS
            if (levels := tuple(e for e in found if (e.arm, e.metric) == (arm, metric)))
        ]
        if lines:
            figures.append(
                trajectory(
                    describe(RATERS[0][0]), lines, title=f"Raters of the corpus: {arm}",
                    about=ABOUT, axis="mean score, 0 to 1",
                )
            )  # fmt: skip
    return figures


def anchors_said(found: Sequence[Level]) -> str:
    """How far each rater's score of the main arm's corpus went from first generation to last."""
    arm = main_arm([each.arm for each in found])
    gains: list[str] = []
    for metric, name, _, _ in RATERS:
        own = [each for each in found if (each.arm, each.metric) == (arm, metric)]
        if len(own) > 1:
            gain = describe(metric).number(own[-1].value - own[0].value, "+")
            gains.append(f"{name} {gain}")
    return f"{arm}, change of the corpus' mean score: {', '.join(gains)}." if gains else ""
