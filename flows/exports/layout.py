"""Where the nodes and edges of a lineage graph stand: in layers, as Sugiyama's method places them.

A node stands one layer to the right of the last of what it was made from. An edge over several
layers passes through a free place in each, so that no edge runs through a node. The order within a
layer is the barycentre heuristic's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean

import networkx as nx

from flows.exports.graph import Edge, LineageGraph

_SWEEPS = 8

Place = Hashable
"""A node's key, or an edge with a layer that it passes through."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Places by layer, first layer first, top to bottom; and the way of each edge."""

    layers: list[list[Place]]
    ways: Mapping[Edge, list[Place]]
    """From what was made to its source: where an edge leads past."""


def arrange(graph: LineageGraph) -> Layout:
    """Place a graph in layers with few crossings; the same graph always alike."""
    layer_of = _layers(graph)
    layers: dict[int, list[Place]] = defaultdict(list)
    for key, layer in layer_of.items():
        layers[layer].append(key)
    ways: dict[Edge, list[Place]] = {}
    for edge in graph.edges:
        # Backwards edges are those of a circle; they lead through their layers all the same.
        first, last = layer_of[edge.made], layer_of[edge.source]
        step = -1 if first > last else 1
        between = [(edge, layer) for layer in range(first + step, last, step)]
        for _, layer in between:
            layers[layer].append((edge, layer))
        ways[edge] = [edge.made, *between, edge.source]
    ordered = [layers[layer] for layer in sorted(layers)]
    return Layout(_untangled(ordered, ways), ways)


def _layers(graph: LineageGraph) -> dict[int, int]:
    """The layer of each node; those of a circle share one layer's depth and follow each other."""
    whole = nx.DiGraph()
    whole.add_nodes_from(node.key for node in graph.nodes)
    whole.add_edges_from((edge.source, edge.made) for edge in graph.edges)
    condensed = nx.condensation(whole)
    end: dict[int, int] = {}
    found: dict[int, int] = {}
    for component in nx.topological_sort(condensed):
        start = 1 + max((end[before] for before in condensed.predecessors(component)), default=-1)
        members = sorted(condensed.nodes[component]["members"])
        found |= {key: start + place for place, key in enumerate(members)}
        end[component] = start + len(members) - 1
    return {node.key: found[node.key] for node in graph.nodes}


def _untangled(
    layers: list[list[Place]], ways: Mapping[Edge, Sequence[Place]]
) -> list[list[Place]]:
    """Order each layer by the mean place of its neighbours, to and fro; keep the best seen."""
    neighbours: dict[Place, set[Place]] = defaultdict(set)
    for way in ways.values():
        for one, other in pairwise(way):
            neighbours[one].add(other)
            neighbours[other].add(one)
    best, fewest = [list(layer) for layer in layers], _crossings(layers, neighbours)
    current = [list(layer) for layer in layers]
    for sweep in range(_SWEEPS):
        order = range(1, len(current)) if sweep % 2 == 0 else range(len(current) - 2, -1, -1)
        for index in order:
            fixed = current[index - 1 if sweep % 2 == 0 else index + 1]
            at = {place: row for row, place in enumerate(fixed)}
            current[index] = _by_barycentre(current[index], at, neighbours)
        crossings = _crossings(current, neighbours)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in current], crossings
    return best


def _by_barycentre(
    layer: list[Place], at: Mapping[Place, int], neighbours: Mapping[Place, set[Place]]
) -> list[Place]:
    def centre(row: int) -> tuple[float, int]:
        rows = [at[each] for each in neighbours[layer[row]] if each in at]
        return (mean(rows) if rows else float(row), row)

    return [layer[row] for row in sorted(range(len(layer)), key=centre)]


def _crossings(layers: list[list[Place]], neighbours: Mapping[Place, set[Place]]) -> int:
    """How many pairs of edges cross between neighbouring layers."""
    crossings = 0
    for left, right in pairwise(layers):
        at = {place: row for row, place in enumerate(right)}
        ends: list[int] = []
        for place in left:
            mine = sorted(at[each] for each in neighbours[place] if each in at)
            crossings += sum(1 for end in mine for before in ends if before > end)
            ends += mine
    return crossings
