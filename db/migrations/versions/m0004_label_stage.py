"""The stage in which a model labels the exemplars of its successor."""

from __future__ import annotations

from alembic import op

revision = "0004_label_stage"
down_revision = "0003_predictions"
branch_labels = None
depends_on = None

BEFORE = "'import', 'rate', 'revise', 'accept', 'assemble', 'train', 'evaluate'"
AFTER = "'import', 'rate', 'revise', 'accept', 'assemble', 'label', 'train', 'evaluate'"


def upgrade() -> None:
    _allow(AFTER)


def downgrade() -> None:
    # Nothing else knows of what they made: the schema before has no such stage.
    labels = "(SELECT id FROM stages WHERE stage = 'label')"
    op.execute(f"DELETE FROM shard_ledger WHERE stage_id IN {labels}")
    op.execute(f"DELETE FROM stage_uses WHERE stage_id IN {labels}")
    op.execute(f"DELETE FROM used WHERE stage_id IN {labels}")
    op.execute(f"DELETE FROM generated WHERE stage_id IN {labels}")
    op.execute(f"DELETE FROM informed WHERE stage_id IN {labels} OR source_stage_id IN {labels}")
    op.execute("DELETE FROM stages WHERE stage = 'label'")
    _allow(BEFORE)


def _allow(names: str) -> None:
    with op.batch_alter_table("stages") as batch:
        batch.drop_constraint(op.f("ck_stages_stage"), type_="check")
        batch.create_check_constraint(op.f("ck_stages_stage"), f"stage IN ({names})")
