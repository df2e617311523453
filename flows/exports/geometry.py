"""How large the nodes of a laid out graph are, where its edges run, and where their labels stand.

Lengths are points, 1/72 inch; x grows to the right and y downward.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import mean
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from flows.exports.graph import Edge, LineageGraph, Node
from flows.exports.layout import Layout, Place

LINE = 13.0
LABEL_HEIGHT = 12.0
_PADDING = 7.0
_ROW_GAP = 24.0
_COLUMN_GAP = 50.0
_SWEEPS = 6
# Tried one after another until no label touches another or a node.
_SPREADS = (1.0, 1.4, 2.0, 2.8, 4.0)
_ALONG = (0.5, 0.45, 0.55, 0.4, 0.6, 0.35, 0.65, 0.3, 0.7, 0.25, 0.75, 0.2, 0.8)

# A label stands on one of so many pieces at either end of its edge.
_NEAR = 3
_STEPS = 24

Point = tuple[float, float]
Measure = Callable[[str], float]
"""Width of a line of text."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle around a centre."""

    x: float
    y: float
    width: float
    height: float

    def touches(self, other: Box) -> bool:
        """Whether the rectangles have a point in common."""
        return (
            abs(self.x - other.x) * 2 < self.width + other.width
            and abs(self.y - other.y) * 2 < self.height + other.height
        )


@dataclass(frozen=True, slots=True)
class Drawing:
    """Everything that is drawn, in its place."""

    nodes: dict[int, Box]
    pieces: dict[Edge, list[tuple[Point, Point]]]
    """From what was made to its source; a piece leaves and arrives horizontally."""
    labels: dict[Edge, Box]

    def bounds(self) -> Box:
        """The rectangle around everything."""
        boxes = [*self.nodes.values(), *self.labels.values()]
        corners = [
            (box.x + side * box.width / 2, box.y + side * box.height / 2)
            for box in boxes
            for side in (-1, 1)
        ]
        corners += [end for pieces in self.pieces.values() for piece in pieces for end in piece]
        return _around(corners)

    def overlaps(self) -> int:
        """How many labels and nodes touch a label that is not their own."""
        labels = list(self.labels.values())
        pairs = sum(a.touches(b) for i, a in enumerate(labels) for b in labels[:i])
        return pairs + sum(a.touches(b) for a in labels for b in self.nodes.values())


def _around(points: Sequence[Point], width: float = 0.0, height: float = 0.0) -> Box:
    """The rectangle around boxes of one size about the points."""
    xs, ys = zip(*points, strict=True)
    low, high = (min(xs), min(ys)), (max(xs), max(ys))
    middle = (low[0] + high[0]) / 2, (low[1] + high[1]) / 2
    return Box(*middle, high[0] - low[0] + width, high[1] - low[1] + height)


def place(graph: LineageGraph, layout: Layout, measure: Measure) -> Drawing:
    """Give everything its place, further apart until no label touches anything."""
    drawings: list[Drawing] = []
    for spread in _SPREADS:
        boxes = _boxes(graph, layout, measure, spread)
        nodes = {node.key: boxes[node.key] for node in graph.nodes}
        pieces = _pieces(layout, boxes)
        drawings.append(Drawing(nodes, pieces, _labels(nodes, pieces, measure)))
        if drawings[-1].overlaps() == 0:
            break
    return min(drawings, key=Drawing.overlaps)


def _boxes(
    graph: LineageGraph, layout: Layout, measure: Measure, spread: float
) -> dict[Place, Box]:
    """The rectangle of each place; a place that an edge passes through is as wide as its layer."""
    nodes = {node.key: node for node in graph.nodes}
    sizes = {place: _size(nodes.get(place), measure) for row in layout.layers for place in row}  # pyright: ignore[reportCallIssue,reportArgumentType]
    widths = [max(sizes[place][0] for place in row) for row in layout.layers]
    relations = {edge.relation for edge in graph.edges}
    gap = _COLUMN_GAP + max((measure(relation) for relation in relations), default=0.0)
    ends = [end + gap * index for index, end in enumerate(accumulate(widths))]
    heights = {place: sizes[place][1] for place in sizes}
    middle = _heights(layout, heights, _ROW_GAP * spread)
    boxes: dict[Place, Box] = {}
    for row, width, end in zip(layout.layers, widths, ends, strict=True):
        for each in row:
            own = sizes[each][0] if each in nodes else width
            boxes[each] = Box(end - width / 2, middle[each], own, heights[each])
    return boxes


def _size(node: Node | None, measure: Measure) -> tuple[float, float]:
    if node is None:
        return 0.0, LABEL_HEIGHT
    width = max(measure(line) for line in node.label)
    return width + 3 * _PADDING, LINE * len(node.label) + 2 * _PADDING


def _heights(layout: Layout, heights: Mapping[Place, float], gap: float) -> dict[Place, float]:
    """The y of each place: near its neighbours', in the order of its layer, and `gap` apart."""
    neighbours: dict[Place, list[Place]] = defaultdict(list)
    for way in layout.ways.values():
        for one, other in pairwise(way):
            neighbours[one].append(other)
            neighbours[other].append(one)
    middle = {place: 0.0 for row in layout.layers for place in row}
    for sweep in range(_SWEEPS):
        for row in layout.layers[:: 1 if sweep % 2 == 0 else -1]:
            wanted = [
                mean(middle[each] for each in neighbours[place]) if neighbours[place] else 0.0
                for place in row
            ]
            middle |= zip(row, _apart(wanted, [heights[each] for each in row], gap), strict=True)
    return middle


def _apart(wanted: Sequence[float], heights: Sequence[float], gap: float) -> list[float]:
    """The ys nearest to those wanted, by least squares, that keep the order and the distance."""
    steps = [(one + other) / 2 + gap for one, other in pairwise(heights)]
    offsets = np.array([0.0, *accumulate(steps)])
    return (isotonic_regression(np.array(wanted) - offsets).x + offsets).tolist()


def _pieces(layout: Layout, boxes: Mapping[Place, Box]) -> dict[Edge, list[tuple[Point, Point]]]:
    ports = _ports(layout, boxes)
    pieces: dict[Edge, list[tuple[Point, Point]]] = {}
    for edge, way in layout.ways.items():
        points = [ports[edge, edge.made]]
        left = boxes[edge.made].x > boxes[edge.source].x
        for each in way[1:-1]:
            box = boxes[each]
            half = box.width / 2 if left else -box.width / 2
            points += [(box.x + half, box.y), (box.x - half, box.y)]
        points.append(ports[edge, edge.source])
        pieces[edge] = list(pairwise(points))
    return pieces


def _ports(layout: Layout, boxes: Mapping[Place, Box]) -> dict[tuple[Edge, int], Point]:
    """Where edges touch a node: side by side, in the order of where they lead."""
    sides: dict[tuple[int, bool], list[tuple[float, int, Edge]]] = defaultdict(list)
    for number, (edge, way) in enumerate(layout.ways.items()):
        left = boxes[edge.made].x > boxes[edge.source].x
        sides[edge.made, left].append((boxes[way[1]].y, number, edge))
        sides[edge.source, not left].append((boxes[way[-2]].y, number, edge))
    ports: dict[tuple[Edge, int], Point] = {}
    for (key, left), ends in sides.items():
        box = boxes[key]
        for index, (_, _, edge) in enumerate(sorted(ends, key=lambda end: end[:2])):
            share = (index + 1) / (len(ends) + 1) - 0.5
            x = box.x - box.width / 2 if left else box.x + box.width / 2
            ports[edge, key] = (x, box.y + share * box.height)
    return ports


def _labels(
    nodes: Mapping[int, Box],
    pieces: Mapping[Edge, Sequence[tuple[Point, Point]]],
    measure: Measure,
) -> dict[Edge, Box]:
    """Put each label on its edge, where it touches nothing and hides least of other edges."""
    courses = _Courses.of(pieces)
    labels: dict[Edge, Box] = {}
    # An edge through several layers has more room, and so can wait.
    for edge in sorted(pieces, key=lambda edge: len(pieces[edge])):
        width = measure(edge.relation) + 4
        near = [*pieces[edge][:_NEAR], *pieces[edge][_NEAR:][-_NEAR:]]
        spots = [
            Box(*point_on(piece, share), width, LABEL_HEIGHT) for share in _ALONG for piece in near
        ]
        around = _around([(spot.x, spot.y) for spot in spots], width, LABEL_HEIGHT)
        taken = [box for box in (*nodes.values(), *labels.values()) if box.touches(around)]
        harms = [(sum(map(box.touches, taken)), courses.hidden(box, edge)) for box in spots]
        labels[edge] = spots[harms.index(min(harms))]
    return labels


@dataclass(frozen=True, slots=True)
class _Courses:
    """Points along every edge, in the order of x, so that those near a label are soon found."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    edge: NDArray[np.int64]
    numbers: Mapping[Edge, int]

    @classmethod
    def of(cls, pieces: Mapping[Edge, Sequence[tuple[Point, Point]]]) -> Self:
        numbers = {edge: number for number, edge in enumerate(pieces)}
        shares = [step / _STEPS for step in range(_STEPS + 1)]
        rows = [
            (*point_on(piece, share), numbers[edge])
            for edge, own in pieces.items()
            for piece in own
            for share in shares
        ]
        table = np.array(sorted(rows)).reshape(-1, 3)
        return cls(table[:, 0], table[:, 1], table[:, 2].astype(np.int64), numbers)

    def hidden(self, box: Box, own: Edge) -> int:
        """How many points of other edges lie under a label."""
        near = slice(*np.searchsorted(self.x, (box.x - box.width / 2, box.x + box.width / 2)))
        under = np.abs(self.y[near] - box.y) * 2 < box.height
        return int(np.count_nonzero(under & (self.edge[near] != self.numbers[own])))


def control_points(piece: tuple[Point, Point]) -> tuple[Point, Point, Point, Point]:
    """The cubic Bézier curve of a piece."""
    (x, y), (to_x, to_y) = piece
    half = (x + to_x) / 2
    return (x, y), (half, y), (half, to_y), (to_x, to_y)


def point_on(piece: tuple[Point, Point], share: float) -> Point:
    """The point of a piece's curve at a share of its parameter, in [0, 1]."""
    rest = 1 - share
    weights = (rest**3, 3 * rest**2 * share, 3 * rest * share**2, share**3)
    points = control_points(piece)
    return (
        sum(weight * x for weight, (x, _) in zip(weights, points, strict=True)),
        sum(weight * y for weight, (_, y) in zip(weights, points, strict=True)),
    )
