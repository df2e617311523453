"""What stages make and read, and how artifacts came from each other: PROV's entities and edges.

The edges follow W3C PROV-DM: `used` (a stage read an artifact), `generated` (a stage made it),
`informed` (a stage read what another stage put out) and `derivations` (an artifact came from
another). Stages are the activities; they stand in `db.models.stages`.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, JsonObject, Key, not_negative, one_of, utc_now

ARTIFACT_KINDS = (
    "checkpoint",
    "corpus",
    "principles",
    "prompts",
    "skills",
    "config",
    "labels",
)
# From what was made to what it was made from; `ancestors` walks them.
RELATIONS = (
    "parent",  # checkpoint -> the checkpoint whose training went on
    "trained_on",  # checkpoint -> corpus
    "mixed_from",  # checkpoint -> corpus 0, where real documents were mixed in
    "derived_from",  # corpus -> the corpus that was rated and revised
    "read_by",  # corpus -> the checkpoint that rated and revised
    "accepted_by",  # corpus -> the checkpoint that judged the revisions
)


class Artifact(Base):
    """Something immutable whose kind and digest are its stable id.

    One table holds every kind: an edge may lead from any to any. The columns of a kind are null
    in the rows of the others.
    """

    __tablename__ = "artifacts"
    __table_args__ = (
        UniqueConstraint("digest", "kind"),
        CheckConstraint(one_of("kind", ARTIFACT_KINDS), name="kind"),
        CheckConstraint("length(digest) BETWEEN 1 AND 200", name="digest"),
        CheckConstraint(
            not_negative("tokens_seen", "shards", "documents", "tokens"),
            name="counts_not_negative",
        ),
        CheckConstraint(
            "kind != 'corpus' OR (shards IS NOT NULL AND documents IS NOT NULL)",
            name="corpus_is_counted",
        ),
        CheckConstraint(
            "kind NOT IN ('checkpoint', 'corpus') OR uri != ''", name="bytes_have_a_place"
        ),
    )

    id: Mapped[Key]
    kind: Mapped[str]
    digest: Mapped[str]
    uri: Mapped[str] = mapped_column(default="")
    """Where the bytes stand; empty for what stands in `content`."""
    recipe_id: Mapped[str | None] = mapped_column(index=True)
    numerics_class: Mapped[JsonObject | None]
    tokens_seen: Mapped[int | None]
    shards: Mapped[int | None]
    documents: Mapped[int | None]
    tokens: Mapped[int | None]
    content: Mapped[JsonObject | None]
    """The whole of a small artifact: principles, prompts, a config."""
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"), index=True)
    meta: Mapped[JsonObject] = mapped_column(default=dict)

    __mapper_args__ = {"polymorphic_on": "kind"}  # noqa: RUF012 (SQLAlchemy reads it)


class Checkpoint(Artifact):
    """An immutable model folder; the digest of its bytes is its stable id."""

    __mapper_args__ = {"polymorphic_identity": "checkpoint"}  # noqa: RUF012


class CorpusVersion(Artifact):
    """An immutable set of shards; the hash of the ordered shard digests is its stable id."""

    __mapper_args__ = {"polymorphic_identity": "corpus"}  # noqa: RUF012


class PrinciplesFile(Artifact):
    """A version of a principle file."""

    __mapper_args__ = {"polymorphic_identity": "principles"}  # noqa: RUF012


class PromptSet(Artifact):
    """A version of a prompt file."""

    __mapper_args__ = {"polymorphic_identity": "prompts"}  # noqa: RUF012


class SkillsFile(Artifact):
    """A version of a skills set."""

    __mapper_args__ = {"polymorphic_identity": "skills"}  # noqa: RUF012


class ConfigVersion(Artifact):
    """A resolved config of an experiment."""

    __mapper_args__ = {"polymorphic_identity": "config"}  # noqa: RUF012


class LabelSet(Artifact):
    """A file of human labels."""

    __mapper_args__ = {"polymorphic_identity": "labels"}  # noqa: RUF012


class Derivation(Base):
    """An artifact came from another (PROV: wasDerivedFrom)."""

    __tablename__ = "derivations"
    __table_args__ = (
        CheckConstraint(one_of("relation", RELATIONS), name="relation"),
        CheckConstraint("artifact_id != source_id", name="not_from_itself"),
    )

    artifact_id: Mapped[int] = mapped_column(ForeignKey("artifacts.id"), primary_key=True)
    relation: Mapped[str] = mapped_column(primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("artifacts.id"), primary_key=True, index=True)


class Used(Base):
    """A stage read an artifact, in a role such as `corpus` or `checkpoint` (PROV: used)."""

    __tablename__ = "used"

    stage_id: Mapped[int] = mapped_column(ForeignKey("stages.id"), primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    artifact_id: Mapped[int] = mapped_column(
        ForeignKey("artifacts.id"), primary_key=True, index=True
    )


class Generated(Base):
    """A stage made an artifact (PROV: wasGeneratedBy)."""

    __tablename__ = "generated"

    stage_id: Mapped[int] = mapped_column(ForeignKey("stages.id"), primary_key=True)
    artifact_id: Mapped[int] = mapped_column(
        ForeignKey("artifacts.id"), primary_key=True, index=True
    )


class Informed(Base):
    """A stage read what another stage put out, such as ratings (PROV: wasInformedBy)."""

    __tablename__ = "informed"
    __table_args__ = (CheckConstraint("stage_id != source_stage_id", name="not_by_itself"),)

    stage_id: Mapped[int] = mapped_column(ForeignKey("stages.id"), primary_key=True)
    source_stage_id: Mapped[int] = mapped_column(
        ForeignKey("stages.id"), primary_key=True, index=True
    )
