"""What the record may not hold after a fight for leases, asked by SQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.lineage.consistency import inconsistencies

Wrote = tuple[int, int, int, str]
"""Arm, token, generation and step of one write."""

_NEVER = {
    "a step was done twice": """
        SELECT arm_id, generation_index, step FROM stress_journal
        GROUP BY arm_id, generation_index, step HAVING count(*) > 1""",
    "an old holder wrote after a new one": """
        SELECT arm_id, token, before FROM (
            SELECT arm_id, token, lag(token) OVER (PARTITION BY arm_id ORDER BY id) AS before
            FROM stress_journal) AS written
        WHERE token < before""",
    "a token is newer than its lease": """
        SELECT leases.arm_id, leases.token FROM leases JOIN stress_journal
        ON stress_journal.arm_id = leases.arm_id WHERE stress_journal.token > leases.token""",
    "a finished generation has not its rows": """
        SELECT generations.id, count(changed_documents.document_id) FROM generations
        LEFT JOIN changed_documents ON changed_documents.generation_id = generations.id
        WHERE generations.status = 'finished' GROUP BY generations.id
        HAVING count(changed_documents.document_id)
            <> CASE WHEN generations.generation_index = 0 THEN 0 ELSE :changed END""",
    "an unfinished generation has rows already": """
        SELECT generations.id FROM generations
        JOIN changed_documents ON changed_documents.generation_id = generations.id
        WHERE generations.status <> 'finished'""",
    "rows of a generation are not of the one who finished it": """
        SELECT verdicts.generation_id, verdicts.reason, stress_journal.token FROM verdicts
        JOIN generations ON generations.id = verdicts.generation_id
        JOIN stress_journal ON stress_journal.arm_id = generations.arm_id
            AND stress_journal.generation_index = generations.generation_index
            AND stress_journal.step = 'end'
        WHERE verdicts.reason <> 'token ' || stress_journal.token""",
    "a generation's rows have two reasons": """
        SELECT generation_id FROM verdicts GROUP BY generation_id HAVING count(*) > 1""",
    "a finished stage has not its shards": """
        SELECT stages.recipe_id, count(shard_ledger.id) FROM stages
        LEFT JOIN shard_ledger ON shard_ledger.stage_id = stages.id
        WHERE stages.status = 'done' GROUP BY stages.recipe_id
        HAVING count(shard_ledger.id) <> :shards""",
    "a write of the journal is not in the record": """
        SELECT stress_journal.arm_id, stress_journal.generation_index FROM stress_journal
        LEFT JOIN generations ON generations.arm_id = stress_journal.arm_id
            AND generations.generation_index = stress_journal.generation_index
        WHERE generations.id IS NULL
            OR (stress_journal.step = 'end') AND generations.status <> 'finished'""",
    "generations of an arm are missing, or more than one is unfinished": """
        SELECT arm_id, count(*) FROM generations GROUP BY arm_id
        HAVING count(*) <> max(generation_index) + 1
            OR sum(CASE WHEN status = 'finished' THEN 0 ELSE 1 END) > 1""",
}


def violations(session: Session, wrote: Sequence[Wrote], *, shards: int, changed: int) -> list[str]:
    """Everything that is wrong.

    Args:
        session: a reader's.
        wrote: the writes that were acknowledged to their writers.
        shards: shards of each finished stage.
        changed: rows of each finished generation after the first.
    """
    found: list[str] = []
    sizes = {"changed": changed, "shards": shards}
    for what, never in _NEVER.items():
        given = {name: size for name, size in sizes.items() if f":{name}" in never}
        found += [f"{what}: {tuple(row)}" for row in session.execute(text(never), given)]
    found += _lost(session, wrote)
    if session.get_bind().dialect.name == "sqlite":
        # PostgreSQL has checked its own by now.
        for row in session.execute(text("PRAGMA foreign_key_check")):
            found.append(f"a foreign key leads nowhere: {tuple(row)}")
        found += _unsound(session.scalars(text("PRAGMA quick_check")))
    # What `palimpsest lineage verify` asks of the record, beside the files that are not here.
    found += [f"{each.what}: {each.problem}" for each in inconsistencies(session)]
    return found


def _lost(session: Session, wrote: Sequence[Wrote]) -> list[str]:
    rows = session.execute(text("SELECT arm_id, token, generation_index, step FROM stress_journal"))
    held = Counter(tuple(row) for row in rows)
    return [f"an acknowledged write is lost: {each}" for each in wrote if not held[each]]


def _unsound(said: Iterable[str]) -> list[str]:
    ok: Callable[[str], bool] = "ok".__eq__
    return [f"the file is damaged: {line}" for line in said if not ok(line)]
