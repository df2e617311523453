"""The write-up of the study: made of the record alone, and silent on what was not run."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from benchmarks import study_results
from benchmarks.study_parts import CORE, PARTS
from benchmarks.study_record import held
from benchmarks.study_results import comparison, placebo_share
from db.models import Experiment
from db.sessions import open_database

sys.path.insert(0, str(Path(__file__).parents[1] / "db"))
from db_demo import record_demo


def level(metric: str, arm: str, index: int, value: float) -> dict[str, Any]:
    return {
        "metric": metric, "arm": arm, "generation": index, "value": value,
        "lower": value - 0.01, "upper": value + 0.01, "over": "seeds", "n": 3, "seeds": [],
    }  # fmt: skip


def found(*differences: dict[str, Any], generations: int = 2) -> dict[str, Any]:
    arms = ("control", "paraphrase", "revise")
    done = {"control": {"revise": 0, "drop": 0}}
    actions = [
        {"arm": arm, "generation": i} | done.get(arm, {"revise": 30 * i, "drop": i})
        for arm in arms
        for i in range(generations + 1)
    ]
    return {"differences": list(differences), "levels": [], "actions": actions}


def test_the_placebos_share_is_of_the_same_generation() -> None:
    record = found(
        level("oracle/propensity", "revise", 2, -0.2),
        level("oracle/propensity", "paraphrase", 2, -0.05),
        level("oracle/propensity", "paraphrase", 1, -0.1),
    )
    assert placebo_share(record, "oracle/propensity", 2) == pytest.approx(0.25)
    assert placebo_share(record, "oracle/propensity", 1) is None
    assert placebo_share(record, "oracle/facts_accuracy", 2) is None


def test_a_comparison_has_a_row_for_every_point_and_treated_arm() -> None:
    part = next(each for each in PARTS if each.name == "study-reviser")
    points = {
        f"study-reviser-reviser-{name}": found(level("oracle/propensity", "revise", 2, value))
        for name, value in (("self", -0.2), ("base", -0.1))
    }
    table = comparison(part, points)
    assert [row[:3] for row in table.rows] == [
        ("reviser-self", "paraphrase", "2"),
        ("reviser-self", "revise", "2"),
        ("reviser-base", "paraphrase", "2"),
        ("reviser-base", "revise", "2"),
    ]
    # What was acted on in both generations: 30 + 60 revised, 1 + 2 dropped.
    assert table.rows[1][3] == "93"
    assert table.rows[1][4].startswith("\u221220.0 [\u221221.0, ")
    assert table.rows[0][4] == ""
    assert all(len(row) == len(table.heads) for row in table.rows)


def test_what_was_not_run_is_named_and_nothing_is_said_of_it(tmp_path: Path) -> None:
    open_database(f"sqlite:///{tmp_path}/palimpsest.db").dispose()
    out = tmp_path / "docs" / "results.md"
    study_results.write_results(tmp_path, out)
    page = out.read_text(encoding="utf-8")
    assert "## The core study" not in page
    assert all(part.command in page for part in PARTS)
    assert f"configs/{CORE}.yaml" in page


def demo_called(session: Session, name: str, status: str) -> None:
    record_demo(session)
    experiment = session.query(Experiment).one()
    experiment.name, experiment.status = name, status


@pytest.mark.parametrize(
    ("name", "status", "taken"),
    [
        ("study-reviser-reviser-self", "finished", True),
        ("study-reviser-reviser-self", "running", False),
        ("another", "finished", False),
    ],
)
def test_the_record_takes_what_a_home_has_finished_of_the_study(
    tmp_path: Path, migrated: Path, name: str, status: str, taken: bool
) -> None:
    shutil.copy(migrated, tmp_path / "palimpsest.db")
    database = open_database(f"sqlite:///{tmp_path / 'palimpsest.db'}")
    with database.sessions.begin() as session:
        demo_called(session, name, status)
    database.dispose()
    out = tmp_path / "results.md"
    assert study_results.write_results(tmp_path, out) == ([name] if taken else [])
    record = held(tmp_path / "results" / "record")
    assert list(record) == ([name] if taken else [])
    assert ("| reviser-self | revise | 1 |" in out.read_text(encoding="utf-8")) == taken


def test_what_another_machine_finished_stays_in_the_write_up(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "record"
    folder.mkdir(parents=True)
    elsewhere = found(level("oracle/propensity", "revise", 2, -0.2)) | {
        "seeds": [0, 1, 2], "seeds_share_generation_0": True, "predictions": [], "costs": [],
        "provenance": {"commit": "0123456789abcdef", "host": {"cores": 8, "memory_gib": 64}},
    }  # fmt: skip
    (folder / "study-reviser-reviser-base.json").write_text(json.dumps(elsewhere))
    assert study_results.write_results(tmp_path / "no-home", tmp_path / "results.md") == []
    page = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "on a machine of 8 cores, 64 GiB" in page and "`0123456789ab`" in page
    assert "| reviser-base | revise | 2 | 93 | \u221220.0 " in page
