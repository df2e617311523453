"""`ancestors` and `descendants`: the graph of artifacts, walked both ways by the database.

An edge leads from what was made to what it was made from; `db.models.RELATIONS` names the kinds.
One recursive query reaches the edges, so the time grows with what is found and not with what is
recorded. Equal bytes are one artifact, so the graph may even hold circles: a node is met once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import BigInteger, literal, select
from sqlalchemy.orm import Session, aliased

from db.lineage.identify import identify_artifact
from db.models import Artifact, Derivation

Direction = Literal["ancestors", "descendants"]


@dataclass(frozen=True, slots=True)
class Relative:
    """An artifact that was reached, and the edge by which it was reached first."""

    depth: int
    kind: str
    id: str
    relation: str
    of: str
    """Digest of the artifact next to it on the way back."""


def ancestors(session: Session, wanted: str) -> list[dict[str, Any]]:
    """What an artifact was made from, and what that was made from, nearest first."""
    start = identify_artifact(session, wanted)
    return [asdict(each) for each in relatives(session, start.id, "ancestors")]


def descendants(session: Session, wanted: str) -> list[dict[str, Any]]:
    """What was made from an artifact, and what from that, nearest first."""
    start = identify_artifact(session, wanted)
    return [asdict(each) for each in relatives(session, start.id, "descendants")]


def relatives(session: Session, start: int, direction: Direction) -> list[Relative]:
    """Everything that is reached from an artifact's key, nearest first, once each."""
    onward: dict[int, list[Any]] = defaultdict(list)
    for edge in _edges(session, start, direction):
        onward[edge.here].append(edge)
    found: list[Relative] = []
    seen, layer, depth = {start}, [start], 0
    while layer:
        depth += 1
        reached: list[int] = []
        for here in layer:
            for edge in onward[here]:
                if edge.there in seen:
                    continue
                seen.add(edge.there)
                reached.append(edge.there)
                found.append(Relative(depth, edge.kind, edge.digest, edge.relation, edge.of))
        layer = reached
    return found


def _edges(session: Session, start: int, direction: Direction) -> Iterable[Any]:
    """Every edge on a way from the start, with the names of both its ends."""
    here, there = Derivation.artifact_id, Derivation.source_id
    if direction == "descendants":
        here, there = there, here
    reached = select(literal(start, BigInteger).label("id")).cte("reached", recursive=True)
    reached = reached.union(select(there).join(reached, here == reached.c.id))
    own, other = aliased(Artifact, flat=True), aliased(Artifact, flat=True)
    wanted = (
        select(
            here.label("here"),
            Derivation.relation,
            there.label("there"),
            own.digest.label("of"),
            other.kind,
            other.digest,
        )
        .join(reached, reached.c.id == here)
        .join(own, own.id == here)
        .join(other, other.id == there)
        .order_by(here, Derivation.relation, there)
    )
    return session.execute(wanted)
