"""Predictions, written down before an experiment's first model call."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003_predictions"
down_revision = "0002_lineage"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "predictions",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("experiment_id", BIG_ID, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("arm", sa.Text(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("size", sa.Float(), nullable=False),
        sa.Column("by_generation", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", BIG_ID, nullable=True),
        sa.CheckConstraint(
            "direction IN ('lower', 'higher', 'within')", name=op.f("ck_predictions_direction")
        ),
        sa.CheckConstraint("size >= 0", name=op.f("ck_predictions_size")),
        sa.CheckConstraint("by_generation > 0", name=op.f("ck_predictions_by_generation")),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiments.id"],
            name=op.f("fk_predictions_experiment_id_experiments"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_predictions_run_id_runs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_predictions")),
        sa.UniqueConstraint(
            "experiment_id", "digest", name=op.f("uq_predictions_experiment_id_digest")
        ),
    )
    op.create_index(op.f("ix_predictions_run_id"), "predictions", ["run_id"])


def downgrade() -> None:
    op.drop_table("predictions")
