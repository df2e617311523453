"""From what a person types (a name, a digest or the start of one) to a row."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import Artifact, Checkpoint, Experiment, storable
from db.nearest import nearest, or_nearest, quoted
from db.problems import AmbiguousId, UnknownId
from db.records.experiments import find_experiment

MIN_PREFIX = 6
# As many digests as are compared with a mistyped one: the newest, for a person means those.
_COMPARED_DIGESTS = 500


def kind_of(row: Artifact | Experiment) -> str:
    """The word for a row: `experiment`, or the artifact's kind."""
    return "experiment" if isinstance(row, Experiment) else row.kind


def identify(session: Session, wanted: str) -> Artifact | Experiment:
    """The experiment of this name, or the artifact whose digest is or begins with this."""
    experiment = find_experiment(session, wanted)
    if experiment is not None:
        return experiment
    found = _artifacts_like(session, wanted)
    exact = [row for row in found if row.digest == wanted]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if found:
        names = [f"{kind_of(row)} {row.digest}" for row in found]
        raise AmbiguousId(f"{quoted(wanted)} is the start of {'; '.join(names)}: type more", names)
    raise _unknown(session, wanted)


def identify_artifact(session: Session, wanted: str) -> Artifact:
    """The artifact whose digest is or begins with this."""
    row = identify(session, wanted)
    if isinstance(row, Experiment):
        raise UnknownId(
            f"{quoted(wanted)} is an experiment; name a checkpoint or corpus of it, which "
            f"`palimpsest status {row.name}` lists"
        )
    return row


def identify_checkpoint(session: Session, wanted: str) -> Checkpoint:
    """The checkpoint whose digest is or begins with this."""
    row = identify_artifact(session, wanted)
    if not isinstance(row, Checkpoint):
        raise UnknownId(f"{quoted(wanted)} is of kind {row.kind}; name a checkpoint")
    return row


def _artifacts_like(session: Session, wanted: str) -> list[Artifact]:
    if not storable(wanted) or len(wanted) < MIN_PREFIX:
        return []
    # By the index first: the start of a digest is looked for in all of them.
    exact = list(session.scalars(select(Artifact).where(Artifact.digest == wanted)))
    if exact:
        return exact
    # Not LIKE: its wildcards are letters that a person may type.
    starts = func.substr(Artifact.digest, 1, len(wanted)) == wanted
    return list(session.scalars(select(Artifact).where(starts).order_by(Artifact.id).limit(10)))


def _unknown(session: Session, wanted: str) -> UnknownId:
    known = list(session.scalars(select(Experiment.name)))
    newest = select(Artifact.digest).order_by(Artifact.id.desc()).limit(_COMPARED_DIGESTS)
    known += session.scalars(newest)
    # A short id is compared with the starts of digests: it is like none of them as a whole.
    starts = {name[: max(len(wanted), MIN_PREFIX)]: name for name in reversed(known)}
    names = [starts[start] for start in nearest(wanted, starts)]
    return UnknownId(
        f"nothing is recorded under {quoted(wanted)} (an experiment's name, or at least "
        f"{MIN_PREFIX} characters of an artifact's digest); {or_nearest(names)}",
        names,
    )
