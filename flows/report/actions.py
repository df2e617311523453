"""The figure of what became of the documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows.report.plots import Figure, Table, canvas_of, styled, svg_of
from flows.summary import ACTIONS

ACTION_COLOURS = {
    "keep": "#c9c9c9",
    "revise": "#0072B2",
    "drop": "#E69F00",
    "tag": "#CC79A7",
    "quarantine": "#D55E00",
}
ABOUT = (
    "Every document is kept, revised, dropped, tagged or, where the engine failed on it, "
    "quarantined: exactly one of them in each generation."
)


def action_figure(actions: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Draw a stacked bar for each treated arm and generation; None where there is none.

    Args:
        actions: rows of the findings' `actions`.
    """
    bars = [
        row
        for row in actions
        if row["arm"] != "control" and row["generation"] > 0 and row["keep"] is not None
    ]
    if not bars:
        return None
    with styled():
        canvas, axes = canvas_of(max(2.2, 1.1 + 0.3 * len(bars)))
        for place, row in enumerate(bars):
            left = 0.0
            for action in ACTIONS:
                label = action if place == 0 else None
                axes.barh(place, row[action], left=left, color=ACTION_COLOURS[action], label=label)
                left += row[action]
        names = [f"{row['arm']} {row['generation']}" for row in bars]
        axes.set_yticks(range(len(bars)), names)
        axes.invert_yaxis()
        axes.set_ylabel("arm, generation")
        axes.set_xlabel("documents (mean over seeds)")
        axes.spines[["top", "right", "left"]].set_visible(False)
        canvas.legend(
            loc="outside lower center", ncols=3, frameon=False, fontsize=9, columnspacing=1.2
        )
        svg = svg_of(canvas)
    rows = tuple(
        (row["arm"], str(row["generation"]), *(f"{row[action]:,.0f}" for action in ACTIONS))
        for row in bars
    )
    text = "; ".join(
        f"{row[0]} {row[1]}: "
        + ", ".join(f"{n} {a}" for n, a in zip(row[2:], ACTIONS, strict=True) if n != "0")
        for row in rows
    )
    table = Table(("arm", "generation", *ACTIONS), rows)
    return Figure("What became of the documents", ABOUT, svg, table, text)
