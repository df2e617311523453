"""First cut: experiments, arms, generations, artifacts, stages, documents, evaluations, gates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001_first_cut"
down_revision = None
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UTC_TIME = sa.DateTime(timezone=True)
CIRCLE = "fk_arms_promoted_generation_id_generations"


def upgrade() -> None:
    _create_experiments()
    _create_arms()
    _create_leases()
    _create_runs()
    _create_checkpoints()
    _create_corpus_versions()
    _create_stages()
    _create_generations()
    _create_shard_ledger()
    _create_changed_documents()
    _create_evaluations()
    _create_gate_decisions()
    _create_stage_uses()
    if not _is_sqlite():
        op.create_foreign_key(
            op.f(CIRCLE), "arms", "generations", ["promoted_generation_id"], ["id"]
        )


def downgrade() -> None:
    if not _is_sqlite():
        op.drop_constraint(op.f(CIRCLE), "arms", type_="foreignkey")
    for table in (
        "stage_uses",
        "gate_decisions",
        "evaluations",
        "changed_documents",
        "shard_ledger",
        "generations",
        "stages",
        "corpus_versions",
        "checkpoints",
        "runs",
        "leases",
        "arms",
        "experiments",
    ):
        op.drop_table(table)


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _create_experiments() -> None:
    op.create_table(
        "experiments",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("fingerprints", sa.JSON(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("forked_from_id", BIG_ID, nullable=True),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.CheckConstraint(
            "status IN ('pending', 'running', 'finished', 'stopped', 'failed')",
            name=op.f("ck_experiments_status"),
        ),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 200", name=op.f("ck_experiments_name")),
        sa.ForeignKeyConstraint(
            ["forked_from_id"],
            ["experiments.id"],
            name=op.f("fk_experiments_forked_from_id_experiments"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiments")),
        sa.UniqueConstraint("name", name=op.f("uq_experiments_name")),
    )


def _create_arms() -> None:
    # Arms and generations point at each other. SQLite lets a key name a table that is still to come
    # and cannot add one later; PostgreSQL is the other way round.
    circle: list[sa.Constraint] = []
    if _is_sqlite():
        circle = [
            sa.ForeignKeyConstraint(
                ["promoted_generation_id"], ["generations.id"], name=op.f(CIRCLE)
            )
        ]
    op.create_table(
        "arms",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("experiment_id", BIG_ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("promoted_generation_id", BIG_ID, nullable=True),
        sa.CheckConstraint(
            "status IN ('pending', 'running', 'finished', 'stopped', 'failed')",
            name=op.f("ck_arms_status"),
        ),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 200", name=op.f("ck_arms_name")),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name=op.f("fk_arms_experiment_id_experiments")
        ),
        *circle,
        sa.PrimaryKeyConstraint("id", name=op.f("pk_arms")),
        sa.UniqueConstraint(
            "experiment_id", "name", "seed", name=op.f("uq_arms_experiment_id_name_seed")
        ),
    )


def _create_leases() -> None:
    op.create_table(
        "leases",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("experiment_id", BIG_ID, nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("acquired_at", UTC_TIME, nullable=False),
        sa.Column("heartbeat_at", UTC_TIME, nullable=False),
        sa.Column("expires_at", UTC_TIME, nullable=False),
        sa.Column("released_at", UTC_TIME, nullable=True),
        sa.CheckConstraint("token >= 0", name=op.f("ck_leases_token")),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name=op.f("fk_leases_experiment_id_experiments")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leases")),
        sa.UniqueConstraint("experiment_id", name=op.f("uq_leases_experiment_id")),
    )


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("commit", sa.Text(), nullable=True),
        sa.Column("dirty", sa.Boolean(), nullable=True),
        sa.Column("versions", sa.JSON(), nullable=False),
        sa.Column("host_kind", sa.JSON(), nullable=False),
        sa.Column("started_at", UTC_TIME, nullable=False),
        sa.Column("finished_at", UTC_TIME, nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("experiment_id", BIG_ID, nullable=True),
        sa.CheckConstraint(
            "outcome IN ('finished', 'stopped', 'failed', 'interrupted', 'refused')",
            name=op.f("ck_runs_outcome"),
        ),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name=op.f("fk_runs_experiment_id_experiments")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        sa.UniqueConstraint("run_id", name=op.f("uq_runs_run_id")),
    )
    op.create_index(op.f("ix_runs_experiment_id"), "runs", ["experiment_id"], unique=False)


def _create_checkpoints() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("parent_id", BIG_ID, nullable=True),
        sa.Column("recipe_id", sa.Text(), nullable=True),
        sa.Column("numerics_class", sa.JSON(), nullable=True),
        sa.Column("tokens_seen", sa.BigInteger(), nullable=True),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("run_id", BIG_ID, nullable=True),
        sa.Column("meta", sa.JSON(), nullable=False),
        sa.CheckConstraint("length(digest) BETWEEN 1 AND 200", name=op.f("ck_checkpoints_digest")),
        sa.CheckConstraint("tokens_seen >= 0", name=op.f("ck_checkpoints_tokens_seen")),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["checkpoints.id"], name=op.f("fk_checkpoints_parent_id_checkpoints")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_checkpoints_run_id_runs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkpoints")),
        sa.UniqueConstraint("digest", name=op.f("uq_checkpoints_digest")),
    )
    op.create_index(op.f("ix_checkpoints_parent_id"), "checkpoints", ["parent_id"], unique=False)
    op.create_index(op.f("ix_checkpoints_recipe_id"), "checkpoints", ["recipe_id"], unique=False)
    op.create_index(op.f("ix_checkpoints_run_id"), "checkpoints", ["run_id"], unique=False)


def _create_corpus_versions() -> None:
    op.create_table(
        "corpus_versions",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("shards", sa.BigInteger(), nullable=False),
        sa.Column("documents", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=True),
        sa.Column("parent_id", BIG_ID, nullable=True),
        sa.Column("recipe_id", sa.Text(), nullable=True),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("run_id", BIG_ID, nullable=True),
        sa.Column("meta", sa.JSON(), nullable=False),
        sa.CheckConstraint(
            "length(digest) BETWEEN 1 AND 200", name=op.f("ck_corpus_versions_digest")
        ),
        sa.CheckConstraint(
            "shards >= 0 AND documents >= 0 AND tokens >= 0",
            name=op.f("ck_corpus_versions_counts_not_negative"),
        ),
        sa.ForeignKeyConstraint(
            ["parent_id"],
            ["corpus_versions.id"],
            name=op.f("fk_corpus_versions_parent_id_corpus_versions"),
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.id"], name=op.f("fk_corpus_versions_run_id_runs")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_corpus_versions")),
        sa.UniqueConstraint("digest", name=op.f("uq_corpus_versions_digest")),
    )
    op.create_index(
        op.f("ix_corpus_versions_parent_id"), "corpus_versions", ["parent_id"], unique=False
    )
    op.create_index(
        op.f("ix_corpus_versions_recipe_id"), "corpus_versions", ["recipe_id"], unique=False
    )
    op.create_index(op.f("ix_corpus_versions_run_id"), "corpus_versions", ["run_id"], unique=False)


def _create_stages() -> None:
    op.create_table(
        "stages",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("recipe_id", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("algorithm_version", sa.Text(), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("started_at", UTC_TIME, nullable=False),
        sa.Column("finished_at", UTC_TIME, nullable=True),
        sa.Column("engine", sa.Text(), nullable=True),
        sa.Column("engine_version", sa.Text(), nullable=True),
        sa.Column("numerics_class", sa.JSON(), nullable=True),
        sa.Column("documents", sa.BigInteger(), nullable=True),
        sa.Column("model_calls", sa.BigInteger(), nullable=True),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens", sa.BigInteger(), nullable=True),
        sa.Column("errors", sa.BigInteger(), nullable=True),
        sa.Column("engine_start_s", sa.Float(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("output_digest", sa.Text(), nullable=True),
        sa.Column("output_uri", sa.Text(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("run_id", BIG_ID, nullable=True),
        sa.Column("meta", sa.JSON(), nullable=False),
        sa.CheckConstraint(
            "stage IN ('import', 'rate', 'revise', 'accept', 'assemble', 'train', 'evaluate')",
            name=op.f("ck_stages_stage"),
        ),
        sa.CheckConstraint(
            "status IN ('running', 'done', 'failed')", name=op.f("ck_stages_status")
        ),
        sa.CheckConstraint(
            "documents >= 0 AND model_calls >= 0 AND prompt_tokens >= 0 AND cached_tokens >= 0"
            " AND output_tokens >= 0 AND errors >= 0 AND engine_start_s >= 0 AND seconds >= 0",
            name=op.f("ck_stages_costs_not_negative"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_stages_run_id_runs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stages")),
        sa.UniqueConstraint("recipe_id", name=op.f("uq_stages_recipe_id")),
    )
    op.create_index(op.f("ix_stages_output_digest"), "stages", ["output_digest"], unique=False)
    op.create_index(op.f("ix_stages_run_id"), "stages", ["run_id"], unique=False)


def _create_generations() -> None:
    op.create_table(
        "generations",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("arm_id", BIG_ID, nullable=False),
        sa.Column("generation_index", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("corpus_version_id", BIG_ID, nullable=True),
        sa.Column("checkpoint_id", BIG_ID, nullable=True),
        sa.Column("training_documents", sa.BigInteger(), nullable=True),
        sa.Column("training_tokens", sa.BigInteger(), nullable=True),
        sa.Column("unique_tokens", sa.BigInteger(), nullable=True),
        sa.Column("epochs", sa.Float(), nullable=True),
        sa.Column("documents_in", sa.BigInteger(), nullable=True),
        sa.Column("keep", sa.BigInteger(), nullable=True),
        sa.Column("revise", sa.BigInteger(), nullable=True),
        sa.Column("drop", sa.BigInteger(), nullable=True),
        sa.Column("tag", sa.BigInteger(), nullable=True),
        sa.Column("quarantine", sa.BigInteger(), nullable=True),
        sa.Column("started_at", UTC_TIME, nullable=True),
        sa.Column("finished_at", UTC_TIME, nullable=True),
        sa.CheckConstraint(
            "status IN ('pending', 'running', 'finished', 'stopped', 'failed')",
            name=op.f("ck_generations_status"),
        ),
        sa.CheckConstraint(
            '(documents_in IS NULL AND "keep" IS NULL AND "revise" IS NULL AND "drop" IS NULL'
            ' AND "tag" IS NULL AND "quarantine" IS NULL) OR (documents_in IS NOT NULL'
            ' AND "keep" IS NOT NULL AND "revise" IS NOT NULL AND "drop" IS NOT NULL'
            ' AND "tag" IS NOT NULL AND "quarantine" IS NOT NULL AND documents_in = "keep"'
            ' + "revise" + "drop" + "tag" + "quarantine")',
            name=op.f("ck_generations_counts_add_up"),
        ),
        sa.CheckConstraint(
            'documents_in >= 0 AND "keep" >= 0 AND "revise" >= 0 AND "drop" >= 0 AND "tag" >= 0'
            ' AND "quarantine" >= 0',
            name=op.f("ck_generations_counts_not_negative"),
        ),
        sa.CheckConstraint("generation_index >= 0", name=op.f("ck_generations_generation_index")),
        sa.CheckConstraint(
            "training_documents >= 0 AND training_tokens >= 0 AND unique_tokens >= 0"
            " AND epochs >= 0",
            name=op.f("ck_generations_training_not_negative"),
        ),
        sa.ForeignKeyConstraint(["arm_id"], ["arms.id"], name=op.f("fk_generations_arm_id_arms")),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"],
            ["checkpoints.id"],
            name=op.f("fk_generations_checkpoint_id_checkpoints"),
        ),
        sa.ForeignKeyConstraint(
            ["corpus_version_id"],
            ["corpus_versions.id"],
            name=op.f("fk_generations_corpus_version_id_corpus_versions"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_generations")),
        sa.UniqueConstraint(
            "arm_id", "generation_index", name=op.f("uq_generations_arm_id_generation_index")
        ),
    )
    op.create_index(
        op.f("ix_generations_checkpoint_id"), "generations", ["checkpoint_id"], unique=False
    )
    op.create_index(
        op.f("ix_generations_corpus_version_id"), "generations", ["corpus_version_id"], unique=False
    )


def _create_shard_ledger() -> None:
    op.create_table(
        "shard_ledger",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("stage_id", BIG_ID, nullable=False),
        sa.Column("shard_index", sa.BigInteger(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("documents", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("meta", sa.JSON(), nullable=False),
        sa.CheckConstraint(
            "status IN ('done', 'quarantined')", name=op.f("ck_shard_ledger_status")
        ),
        sa.CheckConstraint(
            "shard_index >= 0 AND documents >= 0 AND attempts >= 0 AND seconds >= 0",
            name=op.f("ck_shard_ledger_counts_not_negative"),
        ),
        sa.ForeignKeyConstraint(
            ["stage_id"], ["stages.id"], name=op.f("fk_shard_ledger_stage_id_stages")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shard_ledger")),
        sa.UniqueConstraint(
            "stage_id", "shard_index", name=op.f("uq_shard_ledger_stage_id_shard_index")
        ),
    )


def _create_changed_documents() -> None:
    op.create_table(
        "changed_documents",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("generation_id", BIG_ID, nullable=False),
        sa.Column("doc_id", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("before_sha256", sa.Text(), nullable=False),
        sa.Column("after_sha256", sa.Text(), nullable=True),
        sa.Column("principle", sa.Text(), nullable=True),
        sa.Column("score_before", sa.Float(), nullable=True),
        sa.Column("score_after", sa.Float(), nullable=True),
        sa.Column("acceptance_score", sa.Float(), nullable=True),
        sa.Column("edit_distance", sa.Float(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "action IN ('keep', 'revise', 'drop', 'tag', 'quarantine')",
            name=op.f("ck_changed_documents_action"),
        ),
        sa.CheckConstraint("edit_distance >= 0", name=op.f("ck_changed_documents_edit_distance")),
        sa.CheckConstraint(
            "length(doc_id) BETWEEN 1 AND 512", name=op.f("ck_changed_documents_doc_id")
        ),
        sa.ForeignKeyConstraint(
            ["generation_id"],
            ["generations.id"],
            name=op.f("fk_changed_documents_generation_id_generations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_changed_documents")),
        sa.UniqueConstraint(
            "generation_id", "doc_id", name=op.f("uq_changed_documents_generation_id_doc_id")
        ),
    )
    op.create_index(
        op.f("ix_changed_documents_doc_id"), "changed_documents", ["doc_id"], unique=False
    )


def _create_evaluations() -> None:
    op.create_table(
        "evaluations",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("subject_key", sa.Text(), nullable=False),
        sa.Column("checkpoint_id", BIG_ID, nullable=True),
        sa.Column("corpus_version_id", BIG_ID, nullable=True),
        sa.Column("generation_id", BIG_ID, nullable=True),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("task_version", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("stderr", sa.Float(), nullable=True),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("unscored", sa.BigInteger(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("recipe_id", sa.Text(), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.CheckConstraint(
            "(CASE WHEN checkpoint_id IS NULL THEN 0 ELSE 1 END)"
            " + (CASE WHEN corpus_version_id IS NULL THEN 0 ELSE 1 END)"
            " + (CASE WHEN generation_id IS NULL THEN 0 ELSE 1 END) = 1",
            name=op.f("ck_evaluations_one_subject"),
        ),
        sa.CheckConstraint(
            "n >= 0 AND unscored >= 0 AND stderr >= 0",
            name=op.f("ck_evaluations_counts_not_negative"),
        ),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"],
            ["checkpoints.id"],
            name=op.f("fk_evaluations_checkpoint_id_checkpoints"),
        ),
        sa.ForeignKeyConstraint(
            ["corpus_version_id"],
            ["corpus_versions.id"],
            name=op.f("fk_evaluations_corpus_version_id_corpus_versions"),
        ),
        sa.ForeignKeyConstraint(
            ["generation_id"],
            ["generations.id"],
            name=op.f("fk_evaluations_generation_id_generations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluations")),
        sa.UniqueConstraint(
            "subject_key",
            "variant",
            "task",
            "task_version",
            "metric",
            "seed",
            "recipe_id",
            name=op.f("uq_evaluations_identity"),
        ),
    )
    op.create_index(
        op.f("ix_evaluations_checkpoint_id"), "evaluations", ["checkpoint_id"], unique=False
    )
    op.create_index(
        op.f("ix_evaluations_corpus_version_id"), "evaluations", ["corpus_version_id"], unique=False
    )
    op.create_index(
        op.f("ix_evaluations_generation_id"), "evaluations", ["generation_id"], unique=False
    )


def _create_gate_decisions() -> None:
    op.create_table(
        "gate_decisions",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("generation_id", BIG_ID, nullable=False),
        sa.Column("gate", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("lower", sa.Float(), nullable=True),
        sa.Column("upper", sa.Float(), nullable=True),
        sa.Column("bound", sa.Float(), nullable=True),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("interval_over", sa.Text(), nullable=True),
        sa.Column("n", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("decided_at", UTC_TIME, nullable=False),
        sa.CheckConstraint(
            "interval_over IN ('items', 'seeds')", name=op.f("ck_gate_decisions_interval_over")
        ),
        sa.CheckConstraint(
            "mode IN ('enforce', 'record_only')", name=op.f("ck_gate_decisions_mode")
        ),
        sa.CheckConstraint(
            "outcome IN ('pass', 'fail', 'inconclusive')", name=op.f("ck_gate_decisions_outcome")
        ),
        sa.CheckConstraint("n >= 0", name=op.f("ck_gate_decisions_n")),
        sa.ForeignKeyConstraint(
            ["generation_id"],
            ["generations.id"],
            name=op.f("fk_gate_decisions_generation_id_generations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gate_decisions")),
        sa.UniqueConstraint(
            "generation_id", "gate", name=op.f("uq_gate_decisions_generation_id_gate")
        ),
    )


def _create_stage_uses() -> None:
    op.create_table(
        "stage_uses",
        sa.Column("generation_id", BIG_ID, nullable=False),
        sa.Column("stage_id", BIG_ID, nullable=False),
        sa.Column("reused", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["generation_id"],
            ["generations.id"],
            name=op.f("fk_stage_uses_generation_id_generations"),
        ),
        sa.ForeignKeyConstraint(
            ["stage_id"], ["stages.id"], name=op.f("fk_stage_uses_stage_id_stages")
        ),
        sa.PrimaryKeyConstraint("generation_id", "stage_id", name=op.f("pk_stage_uses")),
    )
    op.create_index(op.f("ix_stage_uses_stage_id"), "stage_uses", ["stage_id"], unique=False)
