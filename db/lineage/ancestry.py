"""`ancestors` and `descendants`: the graph of artifacts, walked both ways by the database.

An edge leads from what was made to what it was made from; `db.models.RELATIONS` names the kinds.
One recursive query reaches the edges, so the time grows with what is found and not with what is
recorded. Equal bytes are one artifact, so the graph may even hold circles: a node is met once.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, NamedTuple

from sqlalchemy import Select, Text, bindparam, cast, func, literal, select
from sqlalchemy.orm import Session

from db.lineage.identify import identify_artifact
from db.models import Artifact, Derivation

Direction = Literal["ancestors", "descendants"]


class Relative(NamedTuple):
    """An artifact that was reached, and the edge by which it was reached first."""

    key: int
    depth: int
    kind: str
    id: str
    relation: str
    of: str
    """Digest of the artifact next to it on the way back."""


def ancestors(session: Session, wanted: str) -> list[dict[str, Any]]:
    """What an artifact was made from, and what that was made from, nearest first."""
    return _answer(session, wanted, "ancestors")


def descendants(session: Session, wanted: str) -> list[dict[str, Any]]:
    """What was made from an artifact, and what from that, nearest first."""
    return _answer(session, wanted, "descendants")


def _answer(session: Session, wanted: str, direction: Direction) -> list[dict[str, Any]]:
    start = identify_artifact(session, wanted).id
    return [
        {"depth": depth, "kind": kind, "id": digest, "relation": relation, "of": of}
        for _, depth, kind, digest, relation, of in relatives(session, [start], direction)
    ]


def _edges(direction: Direction) -> Select[*tuple[Any, ...]]:
    """Every artifact on a way from the starts, each with the edges that lead on from it.

    The edges come as one text, "parent 7,trained_on 9": a row for each takes half as long again.
    """
    here, there = Derivation.artifact_id, Derivation.source_id
    if direction == "descendants":
        here, there = there, here
    starts = Artifact.id.in_(bindparam("starts", expanding=True))
    reached = select(Artifact.id).where(starts).cte("reached", recursive=True)
    reached = reached.union(select(there).join(reached, here == reached.c.id))
    edge = Derivation.relation + literal(" ") + cast(there, Text)
    edges = select(func.aggregate_strings(edge, ",")).where(here == reached.c.id)
    return (
        select(
            reached.c.id, Artifact.kind, Artifact.digest, edges.correlate(reached).scalar_subquery()
        )
        .select_from(reached)
        .join(Artifact, Artifact.id == reached.c.id)
    )


# Built once: a statement made anew for each question takes longer than many an answer.
_EDGES = {"ancestors": _edges("ancestors"), "descendants": _edges("descendants")}


def relatives(
    session: Session, starts: Collection[int], direction: Direction, *, steps: int | None = None
) -> list[Relative]:
    """Everything that is reached from artifacts, nearest first, once each.

    Args:
        session: a reader's.
        starts: keys of the artifacts to start from.
        direction: `ancestors` for what they were made from, `descendants` for what came of them.
        steps: how far to go; all the way without it.
    """
    rows = session.connection().execute(_EDGES[direction], {"starts": list(starts)}).all()
    reachable = {key: (kind, digest, edges) for key, kind, digest, edges in rows}
    found: list[Relative] = []
    seen, layer, depth = set(starts), list(starts), 0
    while layer and depth != steps:
        depth += 1
        reached: list[int] = []
        for here in layer:
            _, of, edges = reachable[here]
            for relation, there in _read(edges):
                if there in seen:
                    continue
                seen.add(there)
                reached.append(there)
                kind, digest, _ = reachable[there]
                found.append(Relative(there, depth, kind, digest, relation, of))
        layer = reached
    return found


def _read(edges: str | None) -> list[tuple[str, int]]:
    """Edges by relation, and then in the order in which the artifacts were recorded."""
    if edges is None:
        return []
    pairs = (edge.split(" ") for edge in edges.split(","))
    return sorted((relation, int(key)) for relation, key in pairs)
