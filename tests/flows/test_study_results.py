"""The write-up of the study: made of the record alone, and silent on what was not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import study_results
from benchmarks.study_results import CORE, PARTS, comparison, placebo_share
from db.sessions import open_database


def level(metric: str, arm: str, index: int, value: float) -> dict[str, Any]:
    return {
        "metric": metric, "arm": arm, "generation": index, "value": value,
        "lower": value - 0.01, "upper": value + 0.01, "over": "seeds", "n": 3, "seeds": [],
    }  # fmt: skip


def found(*differences: dict[str, Any], generations: int = 2) -> dict[str, Any]:
    arms = ("control", "paraphrase", "revise")
    actions = [{"arm": arm, "generation": i} for arm in arms for i in range(generations + 1)]
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
    assert table.rows[1][3].startswith("\u221220.0 [\u221221.0, ")
    assert table.rows[0][3] == ""
    assert all(len(row) == len(table.heads) for row in table.rows)


def test_what_was_not_run_is_named_and_nothing_is_said_of_it(tmp_path: Path) -> None:
    open_database(f"sqlite:///{tmp_path}/palimpsest.db").dispose()
    out = tmp_path / "docs" / "results.md"
    study_results.write_results(tmp_path, out)
    page = out.read_text(encoding="utf-8")
    assert "## The core study" not in page
    assert all(part.command in page for part in PARTS)
    assert f"configs/{CORE}.yaml" in page
