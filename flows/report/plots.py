"""What the report's figures share: colours, style, and SVG that stands in the page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

# Okabe and Ito's palette: apart for every kind of colour vision.
COLOURS = {
    "control": "#7f7f7f",
    "filter": "#E69F00",
    "paraphrase": "#009E73",
    "revise": "#0072B2",
    "invert": "#D55E00",
}
# Apart on paper without colours, too.
MARKERS = {"control": "s", "filter": "^", "paraphrase": "D", "revise": "o", "invert": "v"}
INK = "#808488"
WIDTH = 4.5
"""Inches: in a page 324 px, so that letters keep their size on a phone."""
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "palimpsest",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
}
BAR: dict[str, Any] = {"ms": 4.5, "capsize": 3, "lw": 1.6, "elinewidth": 1.2}


LONGEST_NUMBER = 40
"""Characters of a cell that holds a number with its interval."""


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as people read them."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lead: int = 1
    """Columns that name a row and stand to the left."""

    @property
    def prose(self) -> set[int]:
        """Columns of words and not of numbers, by their place: they wrap, and stand to the left."""
        columns = enumerate(zip(*self.rows, strict=True))
        return {place for place, cells in columns if max(map(len, cells)) > LONGEST_NUMBER}


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawn figure with its table, and what it shows: in a sentence, and for a screen reader."""

    title: str
    about: str
    svg: str
    table: Table
    text: str = ""


def canvas_of(height: float) -> tuple[Canvas, Axes]:
    """An empty drawing of the page's width; call it inside `styled`."""
    canvas = Canvas(figsize=(WIDTH, height), layout="constrained")
    return canvas, canvas.subplots()


def styled() -> Any:
    """The style in which every figure is drawn."""
    return mpl.rc_context(STYLE)


def over_generations(axes: Axes, label: str, generations: Sequence[int]) -> None:
    """Name the axes of a trajectory and take away what says nothing."""
    axes.set_xlabel("generation")
    axes.set_ylabel(label)
    axes.set_xticks(sorted(set(generations)))
    axes.set_xlim(min(generations) - 0.3, max(generations) + 0.3)
    axes.grid(axis="y", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Name each line at its right end, moved apart where lines end together.

    Args:
        axes: with its limits set.
        ends: last value, name and colour of each line.
    """
    low, high = axes.get_ylim()
    step = 0.085 * (high - low)
    heights: list[float] = []
    for value, _, _ in sorted(ends):
        heights.append(value if not heights else max(value, heights[-1] + step))
    # What was pushed past the top comes down again, and pushes the ones under it.
    ceiling = high
    for place in reversed(range(len(heights))):
        heights[place] = min(heights[place], ceiling)
        ceiling = heights[place] - step
    for height, (_, name, colour) in zip(heights, sorted(ends), strict=True):
        axes.annotate(
            name,
            xy=(1.02, height),
            xycoords=("axes fraction", "data"),
            color=colour,
            va="center",
            fontsize=9,
            annotation_clip=False,
        )


def svg_of(canvas: Canvas) -> str:
    """The drawing as an SVG element; equal drawings give equal text."""
    buffer = io.StringIO()
    canvas.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
