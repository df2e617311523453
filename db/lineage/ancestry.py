"""`ancestors` and `descendants`: the graph of checkpoints and corpus versions, walked both ways.

An edge leads from what was made to what it was made from:

    checkpoint → its parent checkpoint      `parent`
    checkpoint → the corpus it was trained on   `trained_on`
    corpus     → the corpus it was derived from `derived_from`
    corpus     → the checkpoint that read it    `read_by`

The whole graph is read at once: it grows with generations, not with documents.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from db.lineage.identify import identify_artifact, kind_of
from db.models import Checkpoint, CorpusVersion, Generation

Node = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Edge:
    """`made` was made from `source`."""

    made: Node
    relation: str
    source: Node


def ancestors(session: Session, wanted: str) -> list[dict[str, Any]]:
    """What an artifact was made from, and what that was made from, nearest first."""
    return _walk(session, wanted, {edge: (edge.made, edge.source) for edge in edges(session)})


def descendants(session: Session, wanted: str) -> list[dict[str, Any]]:
    """What was made from an artifact, and what from that, nearest first."""
    return _walk(session, wanted, {edge: (edge.source, edge.made) for edge in edges(session)})


def edges(session: Session) -> set[Edge]:
    """Every edge that is recorded."""
    found: set[Edge] = set()
    for model, kind, relation in (
        (Checkpoint, "checkpoint", "parent"),
        (CorpusVersion, "corpus", "derived_from"),
    ):
        rows = session.execute(
            select(model.id, model.parent_id).where(model.parent_id.is_not(None))
        )
        found |= {Edge((kind, made), relation, (kind, source or 0)) for made, source in rows}
    trained = select(Generation.checkpoint_id, Generation.corpus_version_id).where(
        Generation.checkpoint_id.is_not(None), Generation.corpus_version_id.is_not(None)
    )
    for made, source in session.execute(trained):
        found.add(Edge(("checkpoint", made or 0), "trained_on", ("corpus", source or 0)))
    return found | _read_by(session)


def _read_by(session: Session) -> set[Edge]:
    """Corpus n was made by model n-1 of the same arm, unless it is corpus n-1 itself."""
    before, after = aliased(Generation), aliased(Generation)
    rows = session.execute(
        select(after.corpus_version_id, before.checkpoint_id)
        .join(
            before,
            (before.arm_id == after.arm_id)
            & (before.generation_index == after.generation_index - 1),
        )
        .where(
            after.corpus_version_id != before.corpus_version_id,
            before.checkpoint_id.is_not(None),
        )
    )
    return {
        Edge(("corpus", made or 0), "read_by", ("checkpoint", read or 0)) for made, read in rows
    }


def _walk(
    session: Session, wanted: str, steps: dict[Edge, tuple[Node, Node]]
) -> list[dict[str, Any]]:
    start = identify_artifact(session, wanted)
    onward: dict[Node, list[tuple[str, Node]]] = defaultdict(list)
    for edge, (here, there) in steps.items():
        onward[here].append((edge.relation, there))
    digests = _digests(session)
    origin: Node = (kind_of(start), start.id)
    seen, layer, depth = {origin}, [origin], 0
    found: list[dict[str, Any]] = []
    while layer:
        depth += 1
        reached: list[Node] = []
        for here in layer:
            for relation, there in sorted(onward[here]):
                if there in seen:
                    continue
                seen.add(there)
                reached.append(there)
                found.append(
                    {
                        "depth": depth,
                        "kind": there[0],
                        "id": digests[there],
                        "relation": relation,
                        "of": digests[here],
                    }
                )
        layer = reached
    return found


def _digests(session: Session) -> dict[Node, str]:
    checkpoints = session.execute(select(Checkpoint.id, Checkpoint.digest))
    corpora = session.execute(select(CorpusVersion.id, CorpusVersion.digest))
    return {("checkpoint", key): digest for key, digest in checkpoints} | {
        ("corpus", key): digest for key, digest in corpora
    }
