"""The study's record as files: what the write-up reads, one JSON file an experiment.

A file is `palimpsest report NAME --json` less what the write-up does not tell, so that a study
whose parts ran on several machines is written up as one, and a reader can compute with what the
figures show.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select

from benchmarks.study_parts import CORE, PARTS, Part
from db.models import Experiment
from db.sessions import open_database
from flows.report.findings import findings

Found = Mapping[str, Any]
OF_THE_CORE = ("experiment", "status", "created_at", "seeds", "seeds_share_generation_0", "levels",
               "differences", "collapse", "usefulness", "actions", "glossary", "gates",
               "predictions", "costs", "provenance", "config")  # fmt: skip
OF_A_PART = ("experiment", "status", "created_at", "seeds", "seeds_share_generation_0", "levels",
             "differences", "actions", "predictions", "costs", "provenance")  # fmt: skip


def collect(home: Path, folder: Path) -> list[str]:
    """Write the files of the study's finished experiments in a home, and return their names.

    Args:
        home: folder of the record; one without any leaves the files as they are.
        folder: where the files are; those of other experiments stay.
    """
    file = home.resolve() / "palimpsest.db"
    if not file.is_file():
        return []
    folder.mkdir(parents=True, exist_ok=True)
    written: list[str] = []
    database = open_database(f"sqlite:///{file}")
    try:
        with database.readers() as session:
            for name in session.scalars(select(Experiment.name).order_by(Experiment.id)):
                part = next((part for part in PARTS if part.holds(name)), None)
                if name != CORE and part is None:
                    continue
                found = findings(session, name)
                if found["status"] != "finished":
                    continue
                (folder / f"{name}.json").write_text(_text(_kept(found, part)), encoding="utf-8")
                written.append(name)
    finally:
        database.dispose()
    return written


def _arms(found: Found) -> list[dict[str, Any]]:
    """Which models were measured in what; the values stand among the levels."""
    return [
        {
            "arm": arm["arm"],
            "seed": arm["seed"],
            "generations": [
                {
                    "generation": row["generation"],
                    "checkpoint": row["checkpoint"],
                    "metrics": sorted(row["metrics"]),
                }
                for row in arm["generations"]
            ],
        }
        for arm in found["arms"]
    ]


def _text(kept: Found) -> str:
    """JSON with a line for each row, so that two records can be compared line by line."""
    fields = [f"{json.dumps(key)}: {_rows(kept[key])}" for key in sorted(kept)]
    return "{" + ",\n".join(fields) + "}\n"


def _rows(value: Any) -> str:
    if not isinstance(value, list):
        return json.dumps(value, sort_keys=True)
    return "[\n" + ",\n".join(json.dumps(row, sort_keys=True) for row in value) + "\n]"


def held(folder: Path) -> dict[str, Found]:
    """Every experiment's file, by the experiment's name."""
    files = sorted(folder.glob("*.json"))
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


def _kept(found: Found, part: Part | None) -> dict[str, Any]:
    if part is None:
        return {key: found[key] for key in OF_THE_CORE} | {"arms": _arms(found)}
    told = {*part.against, *part.as_it_is}
    kept = {key: found[key] for key in OF_A_PART}
    for key in ("levels", "differences"):
        kept[key] = [row for row in found[key] if row["metric"] in told]
    return kept
