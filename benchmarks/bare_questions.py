"""`document_history`, `ancestors` and `taint` by hand-written SQL, answer for answer."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from benchmarks.bare import Bare

_HISTORY = """
SELECT e.name, a.name, a.seed, g.generation_index, d.doc_id, v.action, c.before_sha256,
    c.after_sha256, v.principle, c.score_before, c.score_after, c.acceptance_score, c.edit_distance,
    v.reason, s.name, t.recipe_id, r.digest
FROM documents d
JOIN changed_documents c ON c.document_id = d.id
JOIN verdicts v ON v.id = c.verdict_id
JOIN generations g ON g.id = c.generation_id
JOIN arms a ON a.id = g.arm_id
JOIN experiments e ON e.id = a.experiment_id
LEFT JOIN sources s ON s.id = d.source_id
LEFT JOIN stages t ON t.id = v.stage_id
LEFT JOIN generations b ON b.arm_id = g.arm_id AND b.generation_index = g.generation_index - 1
LEFT JOIN artifacts r ON r.id = b.checkpoint_id
WHERE d.doc_id = ? ORDER BY e.id, a.id, g.generation_index
"""
_HISTORY_NAMES = (
    "experiment",
    "arm",
    "seed",
    "generation",
    "doc_id",
    "action",
    "before_sha256",
    "after_sha256",
    "principle",
    "score_before",
    "score_after",
    "acceptance_score",
    "edit_distance",
    "reason",
    "source",
    "decided_by",
    "rater",
)


def document_history(bare: Bare, doc_id: str) -> list[dict[str, Any]]:
    """Every row of a document."""
    rows = [dict(zip(_HISTORY_NAMES, row, strict=True)) for row in bare.read(_HISTORY, doc_id)]
    for row in rows:
        row["before_sha256"] = row["before_sha256"].hex()
        row["after_sha256"] = row["after_sha256"].hex() if row["after_sha256"] else None
        row["principle"] = row["principle"] or None
        row["source"] = row["source"] or ""
    return rows


_ANCESTORS = """
WITH RECURSIVE reached (id) AS (
    SELECT id FROM artifacts WHERE digest = ?
    UNION
    SELECT d.source_id FROM derivations d JOIN reached ON d.artifact_id = reached.id
)
SELECT d.artifact_id, d.relation, d.source_id, own.digest, other.kind, other.digest
FROM reached
JOIN derivations d ON d.artifact_id = reached.id
JOIN artifacts own ON own.id = d.artifact_id
JOIN artifacts other ON other.id = d.source_id
ORDER BY d.artifact_id, d.relation, d.source_id
"""


def ancestors(bare: Bare, digest: str) -> list[dict[str, Any]]:
    """What an artifact was made from, nearest first."""
    [(start,)] = bare.read("SELECT id FROM artifacts WHERE digest = ?", digest)
    onward: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for edge in bare.read(_ANCESTORS, digest):
        onward[edge[0]].append(edge)
    found: list[dict[str, Any]] = []
    seen, layer, depth = {start}, [start], 0
    while layer:
        depth += 1
        reached: list[int] = []
        for here in layer:
            for _, relation, there, of, kind, name in onward[here]:
                if there not in seen:
                    seen.add(there)
                    reached.append(there)
                    found.append(
                        {"depth": depth, "kind": kind, "id": name, "relation": relation, "of": of}
                    )
        layer = reached
    return found


_ROWS = """
SELECT g.arm_id, g.corpus_version_id, v.action FROM documents d
JOIN changed_documents c ON c.document_id = d.id
JOIN generations g ON g.id = c.generation_id
JOIN verdicts v ON v.id = c.verdict_id
WHERE d.doc_id = ?
"""
# {roots} and {without} are lists of keys, which are numbers from the database itself.
_TOUCHED = """
WITH RECURSIVE holding (id) AS (
    SELECT id FROM artifacts WHERE id IN ({roots})
    UNION
    SELECT d.artifact_id FROM derivations d JOIN holding ON d.source_id = holding.id
    WHERE d.relation = 'derived_from' AND d.artifact_id NOT IN ({without})
),
trained (id) AS (
    SELECT d.artifact_id FROM derivations d JOIN holding ON d.source_id = holding.id
    WHERE d.relation IN ('trained_on', 'mixed_from')
),
descended (id) AS (
    SELECT id FROM trained
    UNION
    SELECT d.artifact_id FROM derivations d JOIN descended ON d.source_id = descended.id
)
SELECT a.id, a.kind, a.digest, a.uri, min(t.how) FROM (
    SELECT id, 0 AS how FROM holding
    UNION ALL SELECT id, 1 FROM trained
    UNION ALL SELECT id, 2 FROM descended
) t JOIN artifacts a ON a.id = t.id
GROUP BY a.id, a.kind, a.digest, a.uri ORDER BY a.id
"""
_OF_ARTIFACTS = """
SELECT e.name, a.name, a.seed, g.generation_index, g.corpus_version_id, g.checkpoint_id
FROM generations g JOIN arms a ON a.id = g.arm_id JOIN experiments e ON e.id = a.experiment_id
WHERE g.corpus_version_id IN ({keys}) OR g.checkpoint_id IN ({keys}) ORDER BY g.id
"""
_HOW = ("holds", "trained_on", "descended")


def taint(bare: Bare, doc_id: str) -> dict[str, Any]:
    """Every corpus and checkpoint that a document touched."""
    rows = bare.read(_ROWS, doc_id)
    without = {corpus for _, corpus, action in rows if action in ("drop", "quarantine")}
    without_keys = _listed(key for key in without if key is not None)
    first = (
        "SELECT corpus_version_id FROM generations WHERE generation_index = 0 AND arm_id IN"
        f" ({_listed({arm for arm, _, _ in rows})}) AND corpus_version_id NOT IN ({without_keys})"
    )
    roots = _listed(key for (key,) in bare.read(first))
    touched = bare.read(_TOUCHED.format(roots=roots, without=without_keys))
    names: dict[int, list[str]] = defaultdict(list)
    keys = _listed(row[0] for row in touched)
    for experiment, arm, seed, index, corpus, checkpoint in bare.read(
        _OF_ARTIFACTS.format(keys=keys)
    ):
        for key in (corpus, checkpoint):
            names[key].append(f"{experiment}:{arm}:{index}:{seed}")
    return {
        "kind": "document",
        "id": doc_id,
        "touched": [
            {"kind": kind, "id": name, "how": _HOW[how], "uri": uri, "generations": names[key]}
            for key, kind, name, uri, how in touched
        ],
    }


def _listed(keys: Any) -> str:
    return ", ".join(str(int(key)) for key in keys) or "-1"
