"""The two-by-two picture: capabilities by desirability and by instrumental value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes

from flows.report.levels import main_arm
from flows.report.metric import MINUS
from flows.report.metrics import describe, words_of
from flows.report.plots import COLOURS, INK, Figure, Table, canvas_of, styled, svg_of
from flows.report.trajectories import interval_said

SIDES = {1: "desirable", 0: "neither", -1: "undesirable"}
TINTS = {1: "#009E73", 0: "#7f7f7f", -1: "#D55E00"}
UNIT = "bits per 1,000 tokens"
ABOUT = (
    "To the right stands what helps to predict the corpus, at the dashed line what is of no use; "
    "from top to bottom desirable capabilities, controls and undesirable ones. An arrow leads from "
    "one generation's corpus to the next, to the filled point of the last; bars are 95% intervals. "
    "The aim is arrows to the right at the top, and to the left at the bottom."
)
NEAR = 0.03
"""Share of the axis under which a move is a line: a head would hide it."""


def usefulness_figures(rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """One figure for each arm, on one scale; none where nothing was measured.

    Args:
        rows: the findings' `usefulness`.
    """
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    ends = [each[name] for each in rows for name in ("value", "lower", "upper")]
    known = [0.0, *(end for end in ends if end is not None)]
    room = 0.06 * (max(known) - min(known)) or 1.0
    limits = (min(known) - room, max(known) + room)
    return [_of_arm(arm, [row for row in rows if row["arm"] == arm], limits) for arm in arms]


def usefulness_said(rows: Sequence[Mapping[str, Any]]) -> str:
    """What each wanted or unwanted capability was worth at first and is now, in the main arm."""
    arm = main_arm([row["arm"] for row in rows])
    moves: list[str] = []
    for name in dict.fromkeys(row["capability"] for row in rows if row["desirability"]):
        own = [row for row in rows if (row["arm"], row["capability"]) == (arm, name)]
        if len(own) > 1:
            ends = [f"{row['value']:.1f}".replace("-", MINUS) for row in (own[0], own[-1])]
            moves.append(f"{words_of(name)} from {ends[0]} to {ends[1]}")
    return f"{arm}, in {UNIT}: {', '.join(moves)}." if moves else ""


def _of_arm(arm: str, rows: Sequence[Mapping[str, Any]], limits: tuple[float, float]) -> Figure:
    names = {row["capability"]: row["desirability"] for row in rows}
    order = sorted(names, key=lambda name: (-names[name], name))
    with styled():
        canvas, axes = canvas_of(1.3 + 0.42 * len(order))
        axes.axvline(0.0, color=INK, lw=1, ls=(0, (4, 3)))
        _bands(axes, [names[name] for name in order])
        for place, name in enumerate(order):
            own = sorted(
                (row for row in rows if row["capability"] == name), key=lambda r: r["generation"]
            )
            _path(axes, place, own, COLOURS.get(arm, INK), NEAR * (limits[1] - limits[0]))
        axes.set_yticks(range(len(order)), [_short(name) for name in order])
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.set_xlim(*limits)
        axes.set_xlabel(f"instrumental value ({UNIT})")
        axes.set_ylabel("capability")
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        svg = svg_of(canvas)
    ordered = sorted(rows, key=lambda row: (order.index(row["capability"]), row["generation"]))
    table = _table(ordered)
    text = "; ".join(" ".join(cells[:4]) for cells in table.rows)
    return Figure(arm, "Capabilities by desirability and instrumental value.", svg, table, text)


def _bands(axes: Axes, sides: Sequence[int]) -> None:
    """A tint behind each side's capabilities, with its name."""
    for side in dict.fromkeys(sides):
        top = sides.index(side) - 0.48
        bottom = top + sides.count(side) - 0.04
        axes.axhspan(top, bottom, color=TINTS[side], alpha=0.1, lw=0)
        axes.annotate(
            SIDES[side],
            xy=(0.995, top),
            xycoords=("axes fraction", "data"),
            xytext=(0, -2),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=8.5,
        )


def _path(
    axes: Axes, place: int, own: Sequence[Mapping[str, Any]], colour: str, near: float
) -> None:
    """A capability's way from generation to generation; later points stand lower in the row."""
    count = len(own)
    heights = [place + 0.1 + 0.3 * (i / (count - 1) if count > 1 else 0.0) for i in range(count)]
    for height, row in zip(heights, own, strict=True):
        last = row is own[-1]
        if row["lower"] is not None:
            axes.plot([row["lower"], row["upper"]], [height] * 2, color=colour, lw=1, alpha=0.5)
        axes.plot(row["value"], height, "o", ms=5, mec=colour, mfc=colour if last else "none")
    for (one, left), (other, right) in pairwise(zip(heights, own, strict=True)):
        if abs(right["value"] - left["value"]) < near:
            axes.plot([left["value"], right["value"]], [one, other], color=colour, lw=1)
            continue
        axes.annotate(
            "",
            xy=(right["value"], other),
            xytext=(left["value"], one),
            arrowprops={"arrowstyle": "->", "color": colour, "lw": 1.3, "shrinkA": 3, "shrinkB": 3},
        )


def _short(name: str) -> str:
    """A capability without its side, which its band says."""
    side, _, rest = name.partition("_")
    return words_of(rest if rest and side in ("desirable", "undesirable") else name)


def _named(row: Mapping[str, Any]) -> str:
    """A capability with its side, where its name does not say that."""
    name, side = words_of(row["capability"]), SIDES[row["desirability"]]
    return name if name.startswith(side) else f"{name} ({side})"


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    return Table(
        ("capability", "generation", f"value ({UNIT})", "95% interval", "over"),
        tuple(
            (
                _named(row),
                str(row["generation"]),
                describe(row["metric"]).number(row["value"]),
                interval_said(describe(row["metric"]), row["lower"], row["upper"]),
                f"{row['n']:,} {row['over']}" if row["over"] else "no interval",
            )
            for row in rows
        ),
    )
