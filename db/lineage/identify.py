"""From what a person types (a name, a digest or the start of one) to a row."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import Checkpoint, CorpusVersion, Experiment, storable
from db.nearest import nearest, or_nearest, quoted
from db.problems import AmbiguousId, UnknownId
from db.records.experiments import find_experiment

Artifact = Checkpoint | CorpusVersion

MIN_PREFIX = 6
# As many digests as are compared with a mistyped one: the newest, for a person means those.
_COMPARED_DIGESTS = 500


def kind_of(row: Artifact | Experiment) -> str:
    """The word for a row: `checkpoint`, `corpus` or `experiment`."""
    match row:
        case Checkpoint():
            return "checkpoint"
        case CorpusVersion():
            return "corpus"
        case Experiment():
            return "experiment"


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
    """The checkpoint or corpus version whose digest is or begins with this."""
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
    if isinstance(row, CorpusVersion):
        raise UnknownId(f"{quoted(wanted)} is a corpus version; name a checkpoint")
    return row


def _artifacts_like(session: Session, wanted: str) -> list[Artifact]:
    if not storable(wanted) or len(wanted) < MIN_PREFIX:
        return []
    rows: list[Artifact] = []
    for model in (Checkpoint, CorpusVersion):
        # Not LIKE: its wildcards are letters that a person may type.
        starts = func.substr(model.digest, 1, len(wanted)) == wanted
        rows += session.scalars(select(model).where(starts).order_by(model.id).limit(10))
    return rows


def _unknown(session: Session, wanted: str) -> UnknownId:
    known = list(session.scalars(select(Experiment.name)))
    for model in (Checkpoint, CorpusVersion):
        newest = select(model.digest).order_by(model.id.desc()).limit(_COMPARED_DIGESTS)
        known += session.scalars(newest)
    # A short id is compared with the starts of digests: it is like none of them as a whole.
    starts = {name[: max(len(wanted), MIN_PREFIX)]: name for name in reversed(known)}
    names = [starts[start] for start in nearest(wanted, starts)]
    return UnknownId(
        f"nothing is recorded under {quoted(wanted)} (an experiment's name, or at least "
        f"{MIN_PREFIX} characters of a checkpoint's or corpus's digest); {or_nearest(names)}",
        names,
    )
