"""The lineage graph of an experiment or of one artifact, and its text for Mermaid.

An edge leads from what was made to what it was made from, as in PROV, so that its label reads in
that direction: checkpoint, trained_on, corpus.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy.orm import Session

from db.lineage import identify
from db.lineage.ancestry import relatives
from db.models import Experiment
from flows.exports.labels import SHORT, spans
from flows.exports.reading import (
    artifacts_of_generations,
    generations_of,
    read_artifacts,
    read_derivations,
    users_of,
)

# A node with more users than these is labelled with the first of them and a count.
_LABELS = 3
_SHAPES = {"checkpoint": ('(["', '"])'), "corpus": ('[("', '")]')}
_OTHER_SHAPE = ('["', '"]')
# Mermaid's own escapes: what would end a label, start an entity, or be taken for HTML or Markdown.
_ENTITIES = {ord(character): f"#{ord(character)};" for character in '#"<>&`\\*_~[](){}|;'}


@dataclass(frozen=True, slots=True)
class Node:
    """One artifact."""

    key: int
    kind: str
    digest: str
    used_by: tuple[str, ...]
    """Arms and generations whose checkpoint or corpus it is, such as `control 0-3`."""

    @property
    def label(self) -> tuple[str, ...]:
        """The lines that stand in the node: kind, digest, users."""
        return (f"{self.kind} {self.digest[:SHORT]}", *self.used_by)


@dataclass(frozen=True, slots=True)
class Edge:
    """`made` came from `source`, both keys of nodes."""

    made: int
    relation: str
    source: int


@dataclass(frozen=True, slots=True)
class LineageGraph:
    """What is drawn. It may hold circles: equal bytes are one artifact."""

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def lineage_graph(session: Session, wanted: str, depth: int | None = None) -> LineageGraph:
    """Read the graph of an experiment, or of an artifact with what it came from.

    Args:
        session: a reader's.
        wanted: name of an experiment, or a digest or its first characters.
        depth: how many edges to go back; all the way without it.

    Raises:
        UnknownId: nothing is recorded under it.
    """
    row = identify(session, wanted)
    if isinstance(row, Experiment):
        title, experiment = f"Lineage of experiment {row.name}", row
        starts = artifacts_of_generations(generations_of(session, row))
    else:
        title, experiment = f"Ancestors of {row.kind} {row.digest[:SHORT]}", None
        starts = {row.id}
    reached = relatives(session, starts, "ancestors", steps=depth) if depth != 0 else []
    keys = starts | {each.key for each in reached}
    artifacts = read_artifacts(session, keys)
    users = users_of(session, keys, experiment)
    nodes = tuple(
        Node(each.id, each.kind, each.digest, _few(spans(users.get(each.id, ()))))
        for each in artifacts.values()
    )
    return LineageGraph(
        title, nodes, tuple(Edge(*each) for each in read_derivations(session, keys))
    )


def mermaid(graph: LineageGraph) -> str:
    """The graph as Mermaid text; what was made stands to the right of what it was made from."""
    return "\n".join(_mermaid_lines(graph)) + "\n"


def _mermaid_lines(graph: LineageGraph) -> Iterator[str]:
    yield "---"
    # JSON is YAML, whatever the name holds.
    yield f"title: {json.dumps(printable(graph.title), ensure_ascii=False)}"
    yield "---"
    yield "flowchart RL"
    for node in graph.nodes:
        left, right = _SHAPES.get(node.kind, _OTHER_SHAPE)
        label = "<br/>".join(_escaped(line) for line in node.label)
        yield f"    n{node.key}{left}{label}{right}"
    for edge in graph.edges:
        yield f"    n{edge.made} -->|{edge.relation}| n{edge.source}"


def _escaped(text: str) -> str:
    """Text as it may stand in a quoted label: on one line, with nothing that Mermaid reads."""
    return printable(text).translate(_ENTITIES)


def printable(text: str) -> str:
    """Text on one line, with a mark in place of what no page can show."""
    line = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in line)


def _few(labels: list[str]) -> tuple[str, ...]:
    more = len(labels) - _LABELS
    return (*labels[:_LABELS], f"and {more} more") if more > 0 else tuple(labels)
