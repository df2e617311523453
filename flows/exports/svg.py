"""A lineage graph as SVG, drawn by matplotlib; nothing but Python is needed.

Time runs from left to right; an arrow leads back from what was made to what it was made from.
"""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from flows.exports.geometry import LABEL_HEIGHT, LINE, Box, Drawing, control_points, place
from flows.exports.graph import Edge, LineageGraph, Node, printable
from flows.exports.layout import arrange
from workers.problems import InputProblem

MOST_NODES = 200
_MARGIN = 24.0
_TITLE_HEIGHT = 26.0
_SIZE = 9.0
_UNKNOWN = "\ufffd"
# Letters become outlines: what was measured here is what is seen, whatever fonts a reader has.
_STYLE: dict[Any, Any] = {"svg.hashsalt": "palimpsest", "svg.fonttype": "path"}
# Okabe and Ito's palette, as outline and as fill.
_COLOURS = {"checkpoint": ("#0072B2", "#e3f0f8"), "corpus": ("#B07500", "#fdf1db")}
_OTHER_COLOURS = ("#555555", "#eeeeee")
_RELATIONS = {
    "parent": "#0072B2",
    "trained_on": "#B07500",
    "mixed_from": "#8A6A00",
    "derived_from": "#00795A",
    "read_by": "#A63F7C",
    "accepted_by": "#C24A00",
}
_INK = "#222222"


def svg(graph: LineageGraph) -> str:
    """The graph as an SVG document.

    Raises:
        InputProblem: it has more nodes than a person can read.
    """
    if len(graph.nodes) > MOST_NODES:
        raise InputProblem(
            f"this graph has {len(graph.nodes)} artifacts, and more than {MOST_NODES} cannot be "
            "read as a picture: name one artifact and bound its ancestors with --depth, or write "
            "--format mermaid"
        )
    drawing = place(graph, arrange(graph), _width)
    with mpl.rc_context(_STYLE):
        figure = _draw(graph, drawing)
        buffer = io.StringIO()
        title, words = printable(graph.title), printable(_in_words(graph))
        about = {"Date": None, "Title": title, "Description": words}
        figure.savefig(buffer, format="svg", metadata=about)
    return buffer.getvalue()


def _draw(graph: LineageGraph, drawing: Drawing) -> Figure:
    whole = drawing.bounds()
    left, right = whole.x - whole.width / 2 - _MARGIN, whole.x + whole.width / 2 + _MARGIN
    top = whole.y - whole.height / 2 - _MARGIN - _TITLE_HEIGHT
    bottom = whole.y + whole.height / 2 + _MARGIN
    right = max(right, left + _width(graph.title) * 1.4 + 2 * _MARGIN)
    figure = Figure(figsize=((right - left) / 72, (bottom - top) / 72), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    _write(axes, graph.title, left + _MARGIN, top + _MARGIN, size=12.0, ha="left")
    for edge in graph.edges:
        _draw_edge(axes, edge, drawing)
    for node in graph.nodes:
        _draw_node(axes, node, drawing.nodes[node.key])
    return figure


def _draw_edge(axes: Axes, edge: Edge, drawing: Drawing) -> None:
    colour = _RELATIONS.get(edge.relation, _INK)
    pieces = drawing.pieces[edge]
    points = [pieces[0][0]]
    for piece in pieces:
        points += control_points(piece)[1:]
    path = Path(points, [Path.MOVETO] + [Path.CURVE4] * (len(points) - 1))
    arrow = FancyArrowPatch(
        path=path, arrowstyle="-|>", mutation_scale=9, color=colour, linewidth=1.1
    )
    axes.add_patch(arrow)
    box = drawing.labels[edge]
    back = FancyBboxPatch(
        (box.x - box.width / 2, box.y - LABEL_HEIGHT / 2),
        box.width,
        LABEL_HEIGHT,
        boxstyle="square,pad=0",
        facecolor="white",
        edgecolor="none",
        zorder=3,
    )
    axes.add_patch(back)
    _write(axes, edge.relation, box.x, box.y, colour=colour)


def _draw_node(axes: Axes, node: Node, box: Box) -> None:
    line, fill = _COLOURS.get(node.kind, _OTHER_COLOURS)
    shape = FancyBboxPatch(
        (box.x - box.width / 2, box.y - box.height / 2),
        box.width,
        box.height,
        boxstyle=f"round,pad=0,rounding_size={7 if node.kind == 'checkpoint' else 1}",
        facecolor=fill,
        edgecolor=line,
        linewidth=1.3,
        zorder=2,
    )
    shape.set_gid(f"{node.kind}-{node.key}")
    axes.add_patch(shape)
    first = box.y - LINE * (len(node.label) - 1) / 2
    for row, words in enumerate(node.label):
        weight = "bold" if row == 0 else "normal"
        _write(axes, words, box.x, first + row * LINE, weight=weight)


def _write(
    axes: Axes,
    words: str,
    x: float,
    y: float,
    *,
    size: float = _SIZE,
    colour: str = _INK,
    weight: str = "normal",
    ha: str = "center",
) -> None:
    # A dollar is a letter here, and no start of a formula.
    axes.text(
        x,
        y,
        _drawable(words),
        fontproperties=_font(weight, size),
        color=colour,
        ha=ha,
        va="center_baseline",
        parse_math=False,
        zorder=4,
    )


def _in_words(graph: LineageGraph) -> str:
    """The graph for those who do not see it: a line for each edge."""
    names = {node.key: node.label[0] for node in graph.nodes}
    said = [f"{names[each.made]} {each.relation} {names[each.source]}" for each in graph.edges]
    return "; ".join(said or sorted(names.values()))


@cache
def _font(weight: str, size: float) -> FontProperties:
    return FontProperties(family="DejaVu Sans", weight=weight, size=size)


@cache
def _width(words: str) -> float:
    """Width of a line in bold, the wider of the weights."""
    font = _font("bold", _SIZE)
    text = _drawable(words) or " "
    return float(TextPath((0, 0), text, size=_SIZE, prop=font).get_extents().width)


def _drawable(words: str) -> str:
    """The words on one line, with a mark in place of each letter that the font does not have."""
    line = " ".join(words.split())
    return "".join(letter if ord(letter) in _letters() else _UNKNOWN for letter in line)


@cache
def _letters() -> frozenset[int]:
    return frozenset(get_font(findfont(_font("bold", _SIZE))).get_charmap())
