"""SQL views under the names of the questions, for people and tools that ask in SQL.

A view has no parameters: ask with `WHERE`. They are code and hold no data, so they are dropped
before a migration and made anew after it; a migration never names one. The SQL is what SQLite,
PostgreSQL and DuckDB (reading the SQLite file) have in common; only hexadecimal digests are spelt
differently.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

_GENERATION = (
    "e.name AS experiment, a.name AS arm, a.seed AS seed, g.generation_index AS generation"
)
_OF_GENERATION = "JOIN arms a ON a.id = g.arm_id JOIN experiments e ON e.id = a.experiment_id"

# What each artifact is, what made it, and at what cost. Two stages may have made the same bytes: as
# in `show` it is the one of the artifact's recipe, else the first, so that a sum counts it once.
_SHOW = """
WITH makers AS (
    SELECT x.id AS artifact_id,
           coalesce(min(CASE WHEN s.recipe_id = x.recipe_id THEN s.id END), min(s.id)) AS stage_id
    FROM generated m
    JOIN artifacts x ON x.id = m.artifact_id
    JOIN stages s ON s.id = m.stage_id
    GROUP BY x.id
)
SELECT x.kind AS kind, x.digest AS id, x.uri AS uri, x.created_at AS created_at,
       x.documents AS documents, x.tokens_seen AS tokens_seen,
       s.stage AS made_by, s.recipe_id AS recipe_id, s.engine AS engine,
       s.engine_version AS engine_version, s.started_at AS started_at,
       s.finished_at AS finished_at, s.seconds AS seconds, s.model_calls AS model_calls,
       s.prompt_tokens AS prompt_tokens, s.output_tokens AS output_tokens,
       r.command AS command, r."commit" AS code_commit
FROM artifacts x
LEFT JOIN makers m ON m.artifact_id = x.id
LEFT JOIN stages s ON s.id = m.stage_id
LEFT JOIN runs r ON r.id = x.run_id
"""

# Every artifact beside every other that it came from, however far back. Where a later generation
# made equal bytes the way leads back to the artifact itself, which is no ancestor of its own.
_ANCESTORS = """
WITH RECURSIVE reached(artifact_id, source_id) AS (
    SELECT artifact_id, source_id FROM derivations
    UNION
    SELECT b.artifact_id, d.source_id
    FROM reached b JOIN derivations d ON d.artifact_id = b.source_id
)
SELECT x.kind AS kind, x.digest AS id, y.kind AS ancestor_kind, y.digest AS ancestor
FROM reached b
JOIN artifacts x ON x.id = b.artifact_id
JOIN artifacts y ON y.id = b.source_id
WHERE b.artifact_id != b.source_id
"""
_DESCENDANTS = """
SELECT ancestor_kind AS kind, ancestor AS id, kind AS descendant_kind, id AS descendant
FROM lineage_ancestors
"""

# Every row of every document that a generation did something to.
_DOCUMENT = f"""
SELECT d.doc_id AS doc_id, {_GENERATION}, v.action AS action, v.principle AS principle,
       v.reason AS reason, c.score_before AS score_before, c.score_after AS score_after,
       c.acceptance_score AS acceptance_score, c.edit_distance AS edit_distance,
       {{before}} AS before_sha256, {{after}} AS after_sha256, o.name AS source,
       s.recipe_id AS decided_by
FROM changed_documents c
JOIN documents d ON d.id = c.document_id
JOIN verdicts v ON v.id = c.verdict_id
JOIN generations g ON g.id = c.generation_id
{_OF_GENERATION}
LEFT JOIN sources o ON o.id = d.source_id
LEFT JOIN stages s ON s.id = v.stage_id
"""

# Documents that a generation changed, and those that its rater judged otherwise than the last.
_FLIPS = f"""
SELECT d.doc_id AS doc_id, {_GENERATION},
       CASE WHEN c.score_before IS NULL THEN 'unrated' ELSE 'fail' END AS before_verdict,
       CASE v.action WHEN 'revise' THEN 'pass' WHEN 'tag' THEN 'tagged'
            WHEN 'drop' THEN 'dropped' ELSE 'quarantined' END AS after_verdict,
       v.action AS cause, v.principle AS principle, c.score_before AS score_before,
       c.score_after AS score_after, c.edit_distance AS edit_distance, v.reason AS reason
FROM changed_documents c
JOIN documents d ON d.id = c.document_id
JOIN verdicts v ON v.id = c.verdict_id
JOIN generations g ON g.id = c.generation_id
{_OF_GENERATION}
WHERE v.action != 'keep'
UNION ALL
SELECT d.doc_id, {_GENERATION}, 'pass', 'fail', 'rater', v.principle, p.score_after,
       c.score_before, NULL,
       CASE WHEN p.document_id IS NULL
            THEN 'rated below the threshold now; the generation before passed it as it was'
            ELSE 'rated below the threshold now; the generation before accepted it as a revision'
       END
FROM changed_documents c
JOIN documents d ON d.id = c.document_id
JOIN verdicts v ON v.id = c.verdict_id
JOIN generations g ON g.id = c.generation_id
{_OF_GENERATION}
JOIN generations b ON b.arm_id = g.arm_id AND b.generation_index = g.generation_index - 1
LEFT JOIN changed_documents p ON p.generation_id = b.id AND p.document_id = c.document_id
LEFT JOIN verdicts w ON w.id = p.verdict_id
WHERE b.generation_index > 0 AND c.score_before IS NOT NULL AND v.principle != ''
  AND (p.document_id IS NULL OR w.action = 'revise')
UNION ALL
SELECT d.doc_id, {_GENERATION}, 'fail', 'pass', 'rater', w.principle, p.score_before, NULL, NULL,
       'passed now; the generation before found it short and left it as it was' ||
       CASE WHEN w.reason = '' THEN '' ELSE ': ' || w.reason END
FROM changed_documents p
JOIN documents d ON d.id = p.document_id
JOIN verdicts w ON w.id = p.verdict_id
JOIN generations b ON b.id = p.generation_id
JOIN generations g ON g.arm_id = b.arm_id AND g.generation_index = b.generation_index + 1
{_OF_GENERATION}
LEFT JOIN changed_documents c ON c.generation_id = g.id AND c.document_id = p.document_id
WHERE b.generation_index > 0 AND g.corpus_version_id IS NOT NULL AND w.action = 'keep'
  AND w.principle != '' AND c.document_id IS NULL
"""

# Corpora and checkpoints of the arms that did something to a document, while it was held.
_TAINT = f"""
SELECT DISTINCT d.doc_id AS doc_id, {_GENERATION}, x.kind AS kind, x.digest AS id
FROM changed_documents c
JOIN documents d ON d.id = c.document_id
JOIN generations t ON t.id = c.generation_id
JOIN generations g ON g.arm_id = t.arm_id
{_OF_GENERATION}
JOIN artifacts x ON x.id = g.corpus_version_id
     OR (x.id = g.checkpoint_id AND g.generation_index > 0)
WHERE NOT EXISTS (
    SELECT 1 FROM changed_documents q
    JOIN verdicts w ON w.id = q.verdict_id
    JOIN generations h ON h.id = q.generation_id
    WHERE q.document_id = c.document_id AND h.arm_id = g.arm_id
      AND h.generation_index <= g.generation_index AND w.action IN ('drop', 'quarantine')
)
"""

# Every metric of two generations of one seed side by side; the error takes them as independent.
_COMPARE = """
WITH numbers AS (
    SELECT g.id AS generation_id, a.experiment_id AS experiment_id, e.name AS experiment,
           a.seed AS seed, a.name AS arm, g.generation_index AS generation, m.metric AS metric,
           m.variant AS variant, m.recipe_id AS recipe_id, m.value AS value, m.stderr AS stderr,
           m.n AS n
    FROM evaluations m
    JOIN generations g ON g.checkpoint_id = m.checkpoint_id
         OR g.corpus_version_id = m.corpus_version_id OR g.id = m.generation_id
    JOIN arms a ON a.id = g.arm_id
    JOIN experiments e ON e.id = a.experiment_id
    WHERE m.value IS NOT NULL AND (m.recipe_id = '' OR EXISTS (
        SELECT 1 FROM stage_uses u JOIN stages s ON s.id = u.stage_id
        WHERE u.generation_id = g.id AND s.recipe_id = m.recipe_id
    ))
)
SELECT l.experiment AS experiment, l.seed AS seed, l.metric AS metric, l.variant AS variant,
       l.arm AS left_arm, l.generation AS left_generation, r.arm AS right_arm,
       r.generation AS right_generation, l.value AS left_value, r.value AS right_value,
       r.value - l.value AS difference,
       sqrt(l.stderr * l.stderr + r.stderr * r.stderr) AS stderr, r.n AS n
FROM numbers l
JOIN numbers r ON r.experiment_id = l.experiment_id AND r.seed = l.seed AND r.metric = l.metric
     AND r.variant = l.variant AND r.generation_id != l.generation_id
"""

# Each checkpoint with its parent, its data, its recipe, and the command and commit that made it.
_WHY = """
SELECT x.digest AS checkpoint, p.digest AS parent, c.digest AS corpus, x.recipe_id AS recipe_id,
       s.params AS recipe, s.algorithm_version AS algorithm_version, x.tokens_seen AS tokens_seen,
       r.command AS command, r."commit" AS code_commit, r.dirty AS dirty, r.versions AS versions
FROM artifacts x
LEFT JOIN derivations dp ON dp.artifact_id = x.id AND dp.relation = 'parent'
LEFT JOIN artifacts p ON p.id = dp.source_id
LEFT JOIN derivations dc ON dc.artifact_id = x.id AND dc.relation = 'trained_on'
LEFT JOIN artifacts c ON c.id = dc.source_id
LEFT JOIN stages s ON s.recipe_id = x.recipe_id
LEFT JOIN runs r ON r.id = x.run_id
WHERE x.kind = 'checkpoint'
"""

# In the order in which they are made: a view may read one that stands before it.
VIEWS: dict[str, str] = {
    "lineage_show": _SHOW,
    "lineage_ancestors": _ANCESTORS,
    "lineage_descendants": _DESCENDANTS,
    "lineage_document": _DOCUMENT,
    "lineage_flips": _FLIPS,
    "lineage_taint": _TAINT,
    "lineage_compare": _COMPARE,
    "lineage_why": _WHY,
}
_HEX = {"sqlite": "lower(hex({}))", "postgresql": "encode({}, 'hex')"}


def create_views(connection: Connection) -> None:
    """Make every view, in the database's own spelling."""
    spell = _HEX[connection.dialect.name]
    digests = {name: spell.format(f"c.{name}_sha256") for name in ("before", "after")}
    # Where nothing was proposed, SQLite would say '' and PostgreSQL null.
    digests["after"] = f"CASE WHEN c.after_sha256 IS NULL THEN NULL ELSE {digests['after']} END"
    for name, query in VIEWS.items():
        connection.execute(text(f"CREATE VIEW {name} AS {query.format(**digests).strip()}"))


def drop_views(connection: Connection) -> None:
    """Drop the views that are there: a table cannot be rebuilt under one."""
    # The last made goes first: PostgreSQL drops none that another reads.
    for name in reversed(VIEWS):
        connection.execute(text(f"DROP VIEW IF EXISTS {name}"))
