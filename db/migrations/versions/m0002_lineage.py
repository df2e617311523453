"""Lineage as a graph: artifacts of every kind with edges, and documents as keys and hashes.

Checkpoints and corpus versions become rows of `artifacts`; a corpus gets a new key, for the keys of
both kinds are one sequence now. What was a text in every row of `changed_documents` stands once in
`documents`, `sources` and `verdicts`. Edges are read from recipes and generations. Leases are of
arms now; they start anew, for nothing runs while the schema moves.
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002_lineage"
down_revision = "0001_first_cut"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UTC_TIME = sa.DateTime(timezone=True)

_SUBJECTS = {"checkpoint_id": "checkpoints", "corpus_version_id": "corpus_versions"}
_SHARED = "digest, uri, recipe_id, created_at, run_id, meta"
_ROLES = {
    "checkpoint": "checkpoint",
    "corpus_stage": "checkpoint",
    "corpus": "corpus",
    "corpus0": "corpus",
    "held_out": "corpus",
    "principles": "principles",
    "prompts": "prompts",
    "skills": "skills",
}
_OUTPUTS = ("ratings", "revisions", "decisions")


def upgrade() -> None:
    _create_artifacts()
    _create_derivations()
    _create_used()
    _create_generated()
    _create_informed()
    _create_sources()
    _create_corpus_sources()
    _create_documents()
    _create_verdicts()
    _create_labels()
    _add_run_columns()
    _gather_artifacts()
    _point_at_artifacts()
    _derive()
    _link_stages()
    _shrink_documents()
    for table in ("corpus_versions", "checkpoints", "leases"):
        op.drop_table(table)
    _create_leases("arm_id", "arms")


def downgrade() -> None:
    op.drop_table("leases")
    _create_leases("experiment_id", "experiments")
    _create_checkpoints()
    _create_corpus_versions()
    _scatter_artifacts()
    _point_back()
    _widen_documents()
    with op.batch_alter_table("gate_decisions") as batch:
        batch.drop_index(op.f("ix_gate_decisions_run_id"))
        batch.drop_constraint(op.f("fk_gate_decisions_run_id_runs"), type_="foreignkey")
        batch.drop_column("run_id")
    with op.batch_alter_table("runs") as batch:
        batch.drop_constraint(op.f("fk_runs_config_id_artifacts"), type_="foreignkey")
        batch.drop_column("config_id")
    for table in (
        "labels",
        "verdicts",
        "documents",
        "corpus_sources",
        "sources",
        "informed",
        "generated",
        "used",
        "derivations",
        "artifacts",
    ):
        op.drop_table(table)


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _do(statement: str, **values: Any) -> sa.CursorResult[Any]:
    return op.get_bind().execute(sa.text(statement), values)


def _add_run_columns() -> None:
    with op.batch_alter_table("gate_decisions") as batch:
        batch.add_column(sa.Column("run_id", BIG_ID, nullable=True))
        batch.create_index(op.f("ix_gate_decisions_run_id"), ["run_id"])
        batch.create_foreign_key(op.f("fk_gate_decisions_run_id_runs"), "runs", ["run_id"], ["id"])
    with op.batch_alter_table("runs") as batch:
        batch.add_column(sa.Column("config_id", BIG_ID, nullable=True))
        batch.create_foreign_key(
            op.f("fk_runs_config_id_artifacts"), "artifacts", ["config_id"], ["id"]
        )


def _gather_artifacts() -> None:
    """Checkpoints keep their keys; corpora follow them."""
    _do(
        f"INSERT INTO artifacts (id, kind, numerics_class, tokens_seen, {_SHARED})"
        f" SELECT id, 'checkpoint', numerics_class, tokens_seen, {_SHARED} FROM checkpoints"
    )
    _do(
        f"INSERT INTO artifacts (id, kind, shards, documents, tokens, {_SHARED})"
        f" SELECT id + :offset, 'corpus', shards, documents, tokens, {_SHARED}"
        " FROM corpus_versions",
        offset=_offset(),
    )
    if not _is_sqlite():
        _do(
            "SELECT setval(pg_get_serial_sequence('artifacts', 'id'),"
            " (SELECT coalesce(max(id), 0) + 1 FROM artifacts), false)"
        )


def _offset() -> int:
    return _do("SELECT coalesce(max(id), 0) FROM checkpoints").scalar_one()


def _point_at_artifacts() -> None:
    offset = _offset()
    for table in ("generations", "evaluations"):
        with op.batch_alter_table(table) as batch:
            for column, target in _SUBJECTS.items():
                batch.drop_constraint(op.f(f"fk_{table}_{column}_{target}"), type_="foreignkey")
        _do(
            f"UPDATE {table} SET corpus_version_id = corpus_version_id + :offset"
            " WHERE corpus_version_id IS NOT NULL",
            offset=offset,
        )
        with op.batch_alter_table(table) as batch:
            for column in _SUBJECTS:
                batch.create_foreign_key(
                    op.f(f"fk_{table}_{column}_artifacts"), "artifacts", [column], ["id"]
                )
    _name_corpora_anew()


def _name_corpora_anew() -> None:
    """`subject_key` holds the corpus's key as text."""
    _do(
        "UPDATE evaluations SET subject_key = 'corpus:' || corpus_version_id"
        " WHERE corpus_version_id IS NOT NULL"
    )


def _derive() -> None:
    into = "INSERT INTO derivations (artifact_id, relation, source_id) SELECT DISTINCT "
    _do(into + "id, 'parent', parent_id FROM checkpoints WHERE parent_id IS NOT NULL")
    _do(
        into + "id + :offset, 'derived_from', parent_id + :offset FROM corpus_versions"
        " WHERE parent_id IS NOT NULL",
        offset=_offset(),
    )
    _do(
        into + "checkpoint_id, 'trained_on', corpus_version_id FROM generations"
        " WHERE checkpoint_id IS NOT NULL AND corpus_version_id IS NOT NULL"
        " AND generation_index > 0"
    )
    _do(
        into + "after.corpus_version_id, 'read_by', before.checkpoint_id FROM generations after"
        " JOIN generations before ON before.arm_id = after.arm_id"
        " AND before.generation_index = after.generation_index - 1"
        " WHERE after.corpus_version_id != before.corpus_version_id"
        " AND before.checkpoint_id IS NOT NULL"
    )


def _link_stages() -> None:
    """Edges of stages: inputs stand in their recipes by digest."""
    recorded = _do("SELECT id, kind, digest FROM artifacts")
    known = {(row.kind, row.digest): row.id for row in recorded}
    outputs: dict[str, list[int]] = {}
    stages: list[tuple[int, dict[str, Any]]] = []
    made: list[tuple[str, str | None, dict[str, Any]]] = []
    for row in _do(
        "SELECT id, stage, params, output_digest, run_id, started_at FROM stages ORDER BY id"
    ):
        inputs: dict[str, Any] = _read(row.params).get("inputs") or {}
        stages.append((row.id, inputs))
        made.append((row.stage, row.output_digest, inputs))
        outputs.setdefault(row.output_digest, []).append(row.id)
        for role in ("principles", "prompts", "skills"):
            digest = inputs.get(role)
            if digest and (role, digest) not in known:
                known[role, digest] = _do(
                    "INSERT INTO artifacts (kind, digest, uri, created_at, run_id, meta)"
                    " VALUES (:kind, :digest, '', :at, :run, '{}') RETURNING id",
                    kind=role,
                    digest=digest,
                    at=row.started_at,
                    run=row.run_id,
                ).scalar_one()
    for stage, inputs in stages:
        _link_stage(stage, inputs, known, outputs)
    _derive_from_recipes(made, known)
    _do(
        "INSERT INTO generated (stage_id, artifact_id) SELECT s.id, a.id FROM stages s"
        " JOIN artifacts a ON a.digest = s.output_digest OR a.recipe_id = s.recipe_id"
        " WHERE s.status = 'done'"
    )


def _read(column: Any) -> dict[str, Any]:
    """SQLite gives a JSON column as text, PostgreSQL as what it means."""
    return (json.loads(column) if isinstance(column, str) else column) or {}


def _derive_from_recipes(
    made: list[tuple[str, str | None, dict[str, Any]]],
    known: dict[tuple[str, str], int],
) -> None:
    """Edges of which only recipes tell: who accepted a corpus, and what else a model has read."""
    raters: dict[str | None, str] = {
        output: inputs["checkpoint"] for stage, output, inputs in made if stage == "accept"
    }
    for stage, output, inputs in made:
        if stage == "assemble":
            rater = raters.get(inputs["decisions"])
            _edge(known, ("corpus", output), "accepted_by", ("checkpoint", rater))
        if stage == "train" and output:
            read = {"trained_on": inputs.get("corpus"), "mixed_from": inputs.get("corpus0")}
            for relation, corpus in read.items():
                _edge(known, ("checkpoint", output), relation, ("corpus", corpus))


def _edge(
    known: dict[tuple[str, str], int],
    artifact: tuple[str, str | None],
    relation: str,
    source: tuple[str, str | None],
) -> None:
    one, other = (known.get((kind, digest or "")) for kind, digest in (artifact, source))
    if one is not None and other is not None:
        _do(
            "INSERT INTO derivations (artifact_id, relation, source_id)"
            " VALUES (:one, :relation, :other) ON CONFLICT DO NOTHING",
            one=one,
            relation=relation,
            other=other,
        )


def _link_stage(
    stage: int,
    inputs: dict[str, Any],
    known: dict[tuple[str, str], int],
    outputs: dict[str, list[int]],
) -> None:
    for role, kind in _ROLES.items():
        artifact = known.get((kind, inputs.get(role) or ""))
        if artifact is not None:
            _do(
                "INSERT INTO used (stage_id, role, artifact_id) VALUES (:stage, :role, :artifact)",
                stage=stage,
                role=role,
                artifact=artifact,
            )
    sources = {source for name in _OUTPUTS for source in outputs.get(inputs.get(name) or "", ())}
    for source in sources - {stage}:
        _do(
            "INSERT INTO informed (stage_id, source_stage_id) VALUES (:stage, :source)",
            stage=stage,
            source=source,
        )


def _shrink_documents() -> None:
    _do(
        "INSERT INTO sources (name) SELECT DISTINCT source FROM changed_documents"
        " WHERE source != ''"
    )
    _do(
        "INSERT INTO documents (doc_id, source_id) SELECT c.doc_id, min(s.id)"
        " FROM changed_documents c LEFT JOIN sources s ON s.name = c.source GROUP BY c.doc_id"
        " ORDER BY min(c.id)"
    )
    _do(
        "INSERT INTO verdicts (generation_id, stage_id, action, principle, reason)"
        " SELECT c.generation_id,"
        " (SELECT s.id FROM stage_uses u JOIN stages s ON s.id = u.stage_id"
        "  WHERE u.generation_id = c.generation_id AND s.stage IN ('accept', 'revise', 'import')"
        "  ORDER BY CASE s.stage WHEN 'accept' THEN 0 ELSE 1 END, s.id LIMIT 1),"
        " c.action, coalesce(c.principle, ''), c.reason FROM changed_documents c"
        " GROUP BY c.generation_id, c.action, coalesce(c.principle, ''), c.reason"
    )
    op.rename_table("changed_documents", "wide_documents")
    _drop_names("wide_documents")
    _create_changed_documents()
    _do(
        "INSERT INTO changed_documents (generation_id, document_id, verdict_id, before_sha256,"
        " after_sha256, score_before, score_after, acceptance_score, edit_distance)"
        f" SELECT w.generation_id, d.id, v.id, {_unhex('w.before_sha256')},"
        f" {_unhex('w.after_sha256')}, w.score_before, w.score_after, w.acceptance_score,"
        " w.edit_distance FROM wide_documents w JOIN documents d ON d.doc_id = w.doc_id"
        " JOIN verdicts v ON v.generation_id = w.generation_id AND v.action = w.action"
        " AND v.principle = coalesce(w.principle, '') AND v.reason = w.reason"
        " ORDER BY w.generation_id, d.id"
    )
    op.drop_table("wide_documents")


def _drop_names(table: str) -> None:
    """PostgreSQL's names of constraints are the schema's: free them for the new table."""
    if _is_sqlite():
        op.drop_index(op.f("ix_changed_documents_doc_id"), table)
        return
    op.drop_index(op.f("ix_changed_documents_doc_id"), table)
    op.drop_constraint(op.f("uq_changed_documents_generation_id_doc_id"), table)
    op.drop_constraint(op.f("pk_changed_documents"), table)


def _unhex(column: str) -> str:
    if not _is_sqlite():
        return f"decode({column}, 'hex')"
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.create_function("palimpsest_unhex", 1, _to_bytes, deterministic=True)
    return f"palimpsest_unhex({column})"


def _to_bytes(digest: str | None) -> bytes | None:
    return None if digest is None else bytes.fromhex(digest)


def _scatter_artifacts() -> None:
    """Corpora keep the keys that they have; kinds that had no table before are lost."""
    parent = (
        "(SELECT min(d.source_id) FROM derivations d"
        " WHERE d.artifact_id = a.id AND d.relation = '{}')"
    )
    for table, kind, relation, own in (
        ("checkpoints", "checkpoint", "parent", "numerics_class, tokens_seen"),
        ("corpus_versions", "corpus", "derived_from", "shards, documents, tokens"),
    ):
        _do(
            f"INSERT INTO {table} (id, parent_id, {own}, {_SHARED})"
            f" SELECT id, {parent.format(relation)}, {own}, {_SHARED}"
            f" FROM artifacts a WHERE kind = '{kind}' ORDER BY id"
        )
        if not _is_sqlite():
            _do(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'),"
                f" (SELECT coalesce(max(id), 0) + 1 FROM {table}), false)"
            )


def _point_back() -> None:
    for table in ("generations", "evaluations"):
        with op.batch_alter_table(table) as batch:
            for column, target in _SUBJECTS.items():
                batch.drop_constraint(op.f(f"fk_{table}_{column}_artifacts"), type_="foreignkey")
                batch.create_foreign_key(
                    op.f(f"fk_{table}_{column}_{target}"), target, [column], ["id"]
                )


def _widen_documents() -> None:
    op.rename_table("changed_documents", "narrow_documents")
    op.drop_index(op.f("ix_changed_documents_document_id_generation_id"), "narrow_documents")
    if not _is_sqlite():
        op.drop_constraint(op.f("pk_changed_documents"), "narrow_documents")
    _create_wide_documents()
    digest = "lower(hex({}))" if _is_sqlite() else "encode({}, 'hex')"
    after = digest.format("n.after_sha256")
    _do(
        "INSERT INTO changed_documents (generation_id, doc_id, action, before_sha256, after_sha256,"
        " principle, score_before, score_after, acceptance_score, edit_distance, reason, source)"
        f" SELECT n.generation_id, d.doc_id, v.action, {digest.format('n.before_sha256')},"
        f" CASE WHEN n.after_sha256 IS NULL THEN NULL ELSE {after} END,"
        " nullif(v.principle, ''), n.score_before, n.score_after, n.acceptance_score,"
        " n.edit_distance, v.reason, coalesce(s.name, '') FROM narrow_documents n"
        " JOIN documents d ON d.id = n.document_id JOIN verdicts v ON v.id = n.verdict_id"
        " LEFT JOIN sources s ON s.id = d.source_id ORDER BY n.generation_id, n.document_id"
    )
    op.drop_table("narrow_documents")


def _create_leases(column: str, target: str) -> None:
    op.create_table(
        "leases",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column(column, BIG_ID, nullable=False),
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
            [column], [f"{target}.id"], name=op.f(f"fk_leases_{column}_{target}")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leases")),
        sa.UniqueConstraint(column, name=op.f(f"uq_leases_{column}")),
    )


def _create_changed_documents() -> None:
    op.create_table(
        "changed_documents",
        sa.Column("generation_id", sa.BigInteger(), nullable=False),
        sa.Column("document_id", BIG_ID, nullable=False),
        sa.Column("verdict_id", sa.BigInteger(), nullable=False),
        sa.Column("before_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("after_sha256", sa.LargeBinary(), nullable=True),
        sa.Column("score_before", sa.Float(), nullable=True),
        sa.Column("score_after", sa.Float(), nullable=True),
        sa.Column("acceptance_score", sa.Float(), nullable=True),
        sa.Column("edit_distance", sa.Float(), nullable=True),
        sa.CheckConstraint(
            "length(before_sha256) = 32 AND (after_sha256 IS NULL OR length(after_sha256) = 32)",
            name=op.f("ck_changed_documents_digests"),
        ),
        sa.CheckConstraint("edit_distance >= 0", name=op.f("ck_changed_documents_edit_distance")),
        sa.ForeignKeyConstraint(
            ["verdict_id", "generation_id"],
            ["verdicts.id", "verdicts.generation_id"],
            name=op.f("fk_changed_documents_verdict_id_generation_id_verdicts"),
        ),
        sa.ForeignKeyConstraint(
            ["document_id"],
            ["documents.id"],
            name=op.f("fk_changed_documents_document_id_documents"),
        ),
        sa.PrimaryKeyConstraint("generation_id", "document_id", name=op.f("pk_changed_documents")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_changed_documents_document_id_generation_id"),
        "changed_documents",
        ["document_id", "generation_id"],
    )


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


def _create_wide_documents() -> None:
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


def _create_artifacts() -> None:
    op.create_table(
        "artifacts",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("recipe_id", sa.Text(), nullable=True),
        sa.Column("numerics_class", sa.JSON(), nullable=True),
        sa.Column("tokens_seen", sa.BigInteger(), nullable=True),
        sa.Column("shards", sa.BigInteger(), nullable=True),
        sa.Column("documents", sa.BigInteger(), nullable=True),
        sa.Column("tokens", sa.BigInteger(), nullable=True),
        sa.Column("content", sa.JSON(), nullable=True),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("run_id", BIG_ID, nullable=True),
        sa.Column("meta", sa.JSON(), nullable=False),
        sa.CheckConstraint(
            "kind != 'corpus' OR (shards IS NOT NULL AND documents IS NOT NULL)",
            name=op.f("ck_artifacts_corpus_is_counted"),
        ),
        sa.CheckConstraint(
            "kind IN ('checkpoint', 'corpus', 'principles', 'prompts', 'skills', 'config',"
            " 'labels')",
            name=op.f("ck_artifacts_kind"),
        ),
        sa.CheckConstraint(
            "kind NOT IN ('checkpoint', 'corpus') OR uri != ''",
            name=op.f("ck_artifacts_bytes_have_a_place"),
        ),
        sa.CheckConstraint("length(digest) BETWEEN 1 AND 200", name=op.f("ck_artifacts_digest")),
        sa.CheckConstraint(
            "tokens_seen >= 0 AND shards >= 0 AND documents >= 0 AND tokens >= 0",
            name=op.f("ck_artifacts_counts_not_negative"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_artifacts_run_id_runs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_artifacts")),
        sa.UniqueConstraint("digest", "kind", name=op.f("uq_artifacts_digest_kind")),
    )
    op.create_index(op.f("ix_artifacts_recipe_id"), "artifacts", ["recipe_id"])
    op.create_index(op.f("ix_artifacts_run_id"), "artifacts", ["run_id"])


def _create_derivations() -> None:
    op.create_table(
        "derivations",
        sa.Column("artifact_id", BIG_ID, nullable=False),
        sa.Column("relation", sa.Text(), nullable=False),
        sa.Column("source_id", BIG_ID, nullable=False),
        sa.CheckConstraint(
            "relation IN ('parent', 'trained_on', 'mixed_from', 'derived_from', 'read_by',"
            " 'accepted_by')",
            name=op.f("ck_derivations_relation"),
        ),
        sa.CheckConstraint("artifact_id != source_id", name=op.f("ck_derivations_not_from_itself")),
        sa.ForeignKeyConstraint(
            ["artifact_id"], ["artifacts.id"], name=op.f("fk_derivations_artifact_id_artifacts")
        ),
        sa.ForeignKeyConstraint(
            ["source_id"], ["artifacts.id"], name=op.f("fk_derivations_source_id_artifacts")
        ),
        sa.PrimaryKeyConstraint(
            "artifact_id", "relation", "source_id", name=op.f("pk_derivations")
        ),
    )
    op.create_index(op.f("ix_derivations_source_id"), "derivations", ["source_id"])


def _create_used() -> None:
    op.create_table(
        "used",
        sa.Column("stage_id", BIG_ID, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("artifact_id", BIG_ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["artifact_id"], ["artifacts.id"], name=op.f("fk_used_artifact_id_artifacts")
        ),
        sa.ForeignKeyConstraint(["stage_id"], ["stages.id"], name=op.f("fk_used_stage_id_stages")),
        sa.PrimaryKeyConstraint("stage_id", "role", "artifact_id", name=op.f("pk_used")),
    )
    op.create_index(op.f("ix_used_artifact_id"), "used", ["artifact_id"])


def _create_generated() -> None:
    op.create_table(
        "generated",
        sa.Column("stage_id", BIG_ID, nullable=False),
        sa.Column("artifact_id", BIG_ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["artifact_id"], ["artifacts.id"], name=op.f("fk_generated_artifact_id_artifacts")
        ),
        sa.ForeignKeyConstraint(
            ["stage_id"], ["stages.id"], name=op.f("fk_generated_stage_id_stages")
        ),
        sa.PrimaryKeyConstraint("stage_id", "artifact_id", name=op.f("pk_generated")),
    )
    op.create_index(op.f("ix_generated_artifact_id"), "generated", ["artifact_id"])


def _create_informed() -> None:
    op.create_table(
        "informed",
        sa.Column("stage_id", BIG_ID, nullable=False),
        sa.Column("source_stage_id", BIG_ID, nullable=False),
        sa.CheckConstraint("stage_id != source_stage_id", name=op.f("ck_informed_not_by_itself")),
        sa.ForeignKeyConstraint(
            ["source_stage_id"], ["stages.id"], name=op.f("fk_informed_source_stage_id_stages")
        ),
        sa.ForeignKeyConstraint(
            ["stage_id"], ["stages.id"], name=op.f("fk_informed_stage_id_stages")
        ),
        sa.PrimaryKeyConstraint("stage_id", "source_stage_id", name=op.f("pk_informed")),
    )
    op.create_index(op.f("ix_informed_source_stage_id"), "informed", ["source_stage_id"])


def _create_sources() -> None:
    op.create_table(
        "sources",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sources")),
        sa.UniqueConstraint("name", name=op.f("uq_sources_name")),
    )


def _create_corpus_sources() -> None:
    op.create_table(
        "corpus_sources",
        sa.Column("corpus_version_id", BIG_ID, nullable=False),
        sa.Column("source_id", BIG_ID, nullable=False),
        sa.Column("documents", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("documents >= 0", name=op.f("ck_corpus_sources_documents")),
        sa.ForeignKeyConstraint(
            ["corpus_version_id"],
            ["artifacts.id"],
            name=op.f("fk_corpus_sources_corpus_version_id_artifacts"),
        ),
        sa.ForeignKeyConstraint(
            ["source_id"], ["sources.id"], name=op.f("fk_corpus_sources_source_id_sources")
        ),
        sa.PrimaryKeyConstraint("corpus_version_id", "source_id", name=op.f("pk_corpus_sources")),
    )
    op.create_index(op.f("ix_corpus_sources_source_id"), "corpus_sources", ["source_id"])


def _create_documents() -> None:
    op.create_table(
        "documents",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("doc_id", sa.Text(), nullable=False),
        sa.Column("source_id", BIG_ID, nullable=True),
        sa.CheckConstraint("length(doc_id) BETWEEN 1 AND 512", name=op.f("ck_documents_doc_id")),
        sa.ForeignKeyConstraint(
            ["source_id"], ["sources.id"], name=op.f("fk_documents_source_id_sources")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_documents")),
        sa.UniqueConstraint("doc_id", name=op.f("uq_documents_doc_id")),
    )


def _create_verdicts() -> None:
    op.create_table(
        "verdicts",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("generation_id", BIG_ID, nullable=False),
        sa.Column("stage_id", BIG_ID, nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("principle", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "action IN ('keep', 'revise', 'drop', 'tag', 'quarantine')",
            name=op.f("ck_verdicts_action"),
        ),
        sa.ForeignKeyConstraint(
            ["generation_id"],
            ["generations.id"],
            name=op.f("fk_verdicts_generation_id_generations"),
        ),
        sa.ForeignKeyConstraint(
            ["stage_id"], ["stages.id"], name=op.f("fk_verdicts_stage_id_stages")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verdicts")),
        sa.UniqueConstraint(
            "generation_id",
            "action",
            "principle",
            "reason",
            name=op.f("uq_verdicts_generation_id_action_principle_reason"),
        ),
        sa.UniqueConstraint("id", "generation_id", name=op.f("uq_verdicts_id_generation_id")),
    )
    op.create_index(op.f("ix_verdicts_stage_id"), "verdicts", ["stage_id"])


def _create_labels() -> None:
    op.create_table(
        "labels",
        sa.Column("artifact_id", BIG_ID, nullable=False),
        sa.Column("document_id", BIG_ID, nullable=False),
        sa.Column("principle", sa.Text(), nullable=False),
        sa.Column("annotator", sa.Text(), nullable=False),
        sa.Column("label", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("label IN (0, 1)", name=op.f("ck_labels_label")),
        sa.ForeignKeyConstraint(
            ["artifact_id"], ["artifacts.id"], name=op.f("fk_labels_artifact_id_artifacts")
        ),
        sa.ForeignKeyConstraint(
            ["document_id"], ["documents.id"], name=op.f("fk_labels_document_id_documents")
        ),
        sa.PrimaryKeyConstraint(
            "artifact_id", "document_id", "principle", "annotator", name=op.f("pk_labels")
        ),
    )
    op.create_index(op.f("ix_labels_document_id"), "labels", ["document_id"])
