"""`ancestors` and `descendants`: the graph of artifacts, walked both ways by the database.

An edge leads from what was made to what it was made from; `db.models.RELATIONS` names the kinds.
One recursive query reaches the edges, so the time grows with what is found and not with what is
recorded. Equal bytes are one artifact, so the graph may even hold circles: a node is met once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from db.lineage.identify import identify_artifact
from db.models import RELATIONS, Artifact, Derivation

Direction = Literal["ancestors", "descendants"]


@dataclass(frozen=True, slots=True)
class Relative:
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
    start = identify_artifact(session, wanted)
    return [
        {
            "depth": each.depth,
            "kind": each.kind,
            "id": each.id,
            "relation": each.relation,
            "of": each.of,
        }
        for each in relatives(session, [start.id], direction)
    ]


def relatives(
    session: Session,
    starts: Collection[int],
    direction: Direction,
    *,
    only: Sequence[str] = RELATIONS,
    stop: Collection[int] = (),
    steps: int | None = None,
) -> list[Relative]:
    """Everything that is reached from artifacts, nearest first, once each.

    Args:
        session: a reader's.
        starts: keys of the artifacts to start from.
        direction: `ancestors` for what they were made from, `descendants` for what came of them.
        only: the relations to follow.
        stop: keys of artifacts that are neither returned nor gone on from.
        steps: how far to go; all the way without it.
    """
    onward: dict[int, list[Any]] = defaultdict(list)
    for edge in _edges(session, starts, direction, only, recursive=steps != 1):
        onward[edge.here].append(edge)
    found: list[Relative] = []
    seen, layer, depth = {*starts, *stop}, list(starts), 0
    while layer and depth != steps:
        depth += 1
        reached: list[int] = []
        for here in layer:
            for edge in onward[here]:
                if edge.there in seen:
                    continue
                seen.add(edge.there)
                reached.append(edge.there)
                found.append(
                    Relative(edge.there, depth, edge.kind, edge.digest, edge.relation, edge.of)
                )
        layer = reached
    return found


def _edges(
    session: Session,
    starts: Collection[int],
    direction: Direction,
    only: Sequence[str],
    *,
    recursive: bool,
) -> Iterable[Any]:
    """Every edge on a way from the starts, with the names of both its ends."""
    here, there = Derivation.artifact_id, Derivation.source_id
    if direction == "descendants":
        here, there = there, here
    reached = select(Artifact.id).where(Artifact.id.in_(list(starts)))
    reached = reached.cte("reached", recursive=recursive)
    if recursive:
        step = select(there).join(reached, here == reached.c.id)
        reached = reached.union(step.where(Derivation.relation.in_(list(only))))
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
        .where(Derivation.relation.in_(list(only)))
        .order_by(here, Derivation.relation, there)
    )
    return session.execute(wanted)
