"""What the deployments `lineage-verify` and `gc` do, with their findings as artifacts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from prefect.artifacts import create_table_artifact

from configs.experiment import Experiment
from db.sessions import Database
from flows.housekeeping import collect, removable
from flows.opening import home_of, open_record, record_exists
from flows.rehashing import Tally
from flows.verifying import verify
from workers.problems import InputProblem, WorkProblem

SHOWN = 200


def verify_home(home: Path | None) -> str:
    """Hash every recorded file again, and say how many there were.

    What no row names is listed and is no failure: a run may be going on.

    Raises:
        WorkProblem: a file is missing or altered, or the record disagrees with itself.
    """
    tally = Tally()
    with _record(home) as (database, folder):
        findings = list(verify(database, folder, (), tally))
    rows = [asdict(finding) for finding in findings[:SHOWN]]
    create_table_artifact(table=rows, key="lineage-verify", description=f"{len(findings)} findings")
    kinds = Counter(finding.kind for finding in findings)
    said = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "all as recorded"
    if set(kinds) - {"orphaned"}:
        raise WorkProblem(
            f"{said}. The artifact lineage-verify lists them; `palimpsest lineage verify` says "
            "what mends each kind."
        )
    return (
        f"{tally.corpora} corpora, {tally.checkpoints} checkpoints, {tally.shards} shards: {said}"
    )


def collect_home(home: Path | None, *, dry_run: bool, all_failed: bool) -> str:
    """Remove what no generation needs, or say what it is.

    Raises:
        LeaseHeld: a run goes on.
        InputProblem: there is no record, or it is not that of this home.
    """
    with _record(home) as (database, folder):
        found = (removable if dry_run else collect)(database, folder, all_failed=all_failed)
    rows = [{"path": str(e.path), "why": e.why, "bytes": e.bytes} for e in found[:SHOWN]]
    create_table_artifact(table=rows, key="gc", description=f"{len(found)} leftovers")
    size = sum(each.bytes for each in found) / 2**20
    return f"{len(found)} leftovers, {size:,.1f} MiB, {'not ' if dry_run else ''}removed"


@contextmanager
def _record(home: Path | None) -> Iterator[tuple[Database, Path]]:
    folder = home.resolve() if home else home_of(Experiment(name="any"))
    if not record_exists(None, folder):
        raise InputProblem(f"{folder}: no record here; run the bootstrap deployment first")
    database = open_record(None, folder)
    try:
        yield database, folder
    finally:
        database.dispose()
