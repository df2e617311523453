"""`ancestors` and `descendants`: the graph of artifacts, walked both ways by the database.

An edge leads from what was made to what it was made from; `db.models.RELATIONS` names the kinds.
One recursive query reaches the edges, so the time grows with what is found and not with what is
recorded. Equal bytes are one artifact, so the graph may even hold circles: a node is met once.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, NamedTuple

from sqlalchemy import Select, bindparam, select
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
    """Every artifact on a way from the starts, each with the edges that lead on from it."""
    here, there = Derivation.artifact_id, Derivation.source_id
    if direction == "descendants":
        here, there = there, here
    starts = Artifact.id.in_(bindparam("starts", expanding=True))
    reached = select(Artifact.id).where(starts).cte("reached", recursive=True)
    reached = reached.union(select(there).join(reached, here == reached.c.id))
    return (
        select(reached.c.id, Artifact.kind, Artifact.digest, Derivation.relation, there)
        .select_from(reached)
        .join(Artifact, Artifact.id == reached.c.id)
        .join(Derivation, here == reached.c.id, isouter=True)
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
    names: dict[int, tuple[str, str]] = {}
    onward: dict[int, list[tuple[str, int]]] = {}
    rows = session.connection().execute(_EDGES[direction], {"starts": list(starts)}).all()
    for here, kind, digest, relation, there in rows:
        if here not in names:
            names[here] = (kind, digest)
            onward[here] = []
        if relation is not None:
            onward[here].append((relation, there))
    found: list[Relative] = []
    seen, layer, depth = set(starts), list(starts), 0
    while layer and depth != steps:
        depth += 1
        reached: list[int] = []
        for here in layer:
            of = names[here][1]
            for relation, there in sorted(onward[here]):
                if there in seen:
                    continue
                seen.add(there)
                reached.append(there)
                found.append(Relative(there, depth, *names[there], relation, of))
        layer = reached
    return found
