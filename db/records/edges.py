"""What a stage used and generated, read from its recipe: every input stands there by digest."""

from __future__ import annotations

from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from db.models import Artifact, Base, Generated, Informed, Stage, Used
from db.records.idempotence import insert_into

# The name of an input in a recipe, and the kind of artifact that its digest is of.
ROLES = {
    "checkpoint": "checkpoint",
    "corpus_stage": "checkpoint",
    "persistence": "checkpoint",
    "corpus": "corpus",
    "corpus0": "corpus",
    "held_out": "corpus",
    "principles": "principles",
    "prompts": "prompts",
    "skills": "skills",
}
# Inputs that are the output of another stage.
OUTPUTS = ("ratings", "revisions", "decisions")


def note_inputs(session: Session, stage: Stage) -> None:
    """Record what a stage reads; an input that is not an artifact on record has no edge."""
    inputs: dict[str, Any] = stage.params.get("inputs") or {}
    for role, kind in ROLES.items():
        if not inputs.get(role):
            continue
        wanted = select(Artifact.id).where(Artifact.kind == kind, Artifact.digest == inputs[role])
        for artifact_id in session.scalars(wanted):
            _link(session, Used, stage_id=stage.id, role=role, artifact_id=artifact_id)
    digests = [inputs[name] for name in OUTPUTS if inputs.get(name)]
    if digests:
        wanted = select(Stage.id).where(Stage.output_digest.in_(digests), Stage.id != stage.id)
        for source in session.scalars(wanted):
            _link(session, Informed, stage_id=stage.id, source_stage_id=source)


def note_outputs(session: Session, stage: Stage) -> None:
    """Record what a stage made: the artifact of its digest, and those that name its recipe."""
    made = or_(Artifact.digest == stage.output_digest, Artifact.recipe_id == stage.recipe_id)
    for artifact_id in session.scalars(select(Artifact.id).where(made)):
        _link(session, Generated, stage_id=stage.id, artifact_id=artifact_id)


def _link(session: Session, model: type[Base], **columns: Any) -> None:
    statement = insert_into(session, model).values(**columns)
    session.execute(statement.on_conflict_do_nothing())
