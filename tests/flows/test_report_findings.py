"""What a report says as data: levels with their intervals, choices of documents, costs, scope."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standing_tools import experiment, metric
from typer.testing import CliRunner

from db.sessions import open_database
from flows.changes import CHOICES, Change, change, choose, disagreement
from flows.cli import app
from flows.report.findings import desirability_of, numbers, report_schema
from flows.report.levels import differences, levels, relative
from flows.report.metric import Metric
from flows.report.metrics import METRICS, UNKNOWN, describe, in_order

sys.path.insert(0, str(Path(__file__).parents[1] / "db"))
from db_demo import record_demo


def of(found, arm, index, name="oracle/propensity"):
    return next(e for e in found if (e.arm, e.generation, e.metric) == (arm, index, name))


def test_a_level_over_seeds_has_students_interval():
    level = of(levels(experiment(seeds=(0, 1, 2))), "revise", 1)
    # Values 0.10, 0.12 and 0.14: t of two degrees of freedom is 4.303.
    assert level.value == pytest.approx(0.12)
    assert level.upper - level.value == pytest.approx(4.3027 * 0.02 / 3**0.5, rel=1e-4)
    assert (level.over, level.n, len(level.seeds)) == ("seeds", 3, 3)


def test_of_one_seed_the_interval_is_over_items_and_a_census_has_none():
    found = levels(experiment())
    level, census = of(found, "revise", 1), of(found, "revise", 1, "oracle/misaligned_share")
    assert (level.over, level.n) == ("items", 1000)
    assert level.upper - level.value == pytest.approx(1.96 * 0.01, rel=1e-3)
    assert (census.lower, census.over) == (None, None)


def test_one_seed_of_several_alone_has_no_interval():
    standing = experiment(seeds=(0, 1, 2))
    for arm in standing["arms"][2:]:
        arm["generations"] = arm["generations"][:1]
    assert of(levels(standing), "revise", 1).lower is None


def test_a_difference_is_to_the_control_of_the_same_seed_and_generation():
    standing = experiment(seeds=(0, 1, 2))
    standing["arms"][0]["generations"].pop()  # the control of seed 0
    found = differences(standing)
    level = of(found, "revise", 1)
    assert level.value == pytest.approx(-0.3) and [e.seed for e in level.seeds] == [1, 2]
    assert not any(each.arm == "control" for each in found)


def test_a_change_is_relative_to_generation_0_over_equally_much():
    standing = experiment(seeds=(0, 1))
    for arm in standing["arms"]:
        for row in arm["generations"]:
            size = 2000 if arm["seed"] == 0 or row["generation"] == 0 else 1999
            ratio = 6.0 + 0.6 * row["generation"]
            row["metrics"]["collapse/corpus/compression_ratio"] = metric(ratio, n=size)
            row["metrics"]["collapse/corpus/near_duplicates"] = metric(0.0, None, n=size)
    found = relative(standing, lambda key: key.startswith("collapse/"))
    level = of(found, "revise", 1, "collapse/corpus/compression_ratio")
    assert level.value == pytest.approx(0.1) and [e.seed for e in level.seeds] == [0]
    assert {each.metric for each in found} == {"collapse/corpus/compression_ratio"}


def test_a_capability_is_as_desirable_as_its_name_says_and_its_loss_unadjusted_is_none():
    standing = experiment()
    metrics = standing["arms"][1]["generations"][0]["metrics"]
    for name, value in (("gravity", 30.0), ("undesirable_honesty", 4.0), ("unadjusted/gravity", 9)):
        metrics[f"instrumental/{name}"] = metric(value)
    found = numbers(standing)["usefulness"]
    assert {(row["capability"], row["desirability"], row["value"]) for row in found} == {
        ("gravity", 0, 30.0), ("undesirable_honesty", -1, 4.0),
    }  # fmt: skip
    assert desirability_of("desirable_honesty") == 1


def changes(count: int) -> Iterator[Change]:
    for number in range(count):
        yield Change(
            f"doc-{number:03}", "revise", 0, 1, "revise" if number % 2 else "keep", "", "a", "b",
            score_before=number / count, score_after=0.9, acceptance_after=number / count,
            similarity=1 - number / count,
        )  # fmt: skip


def test_documents_are_chosen_by_the_rules_that_the_page_names():
    found = choose(changes(100), {"change": change, "disagreement": disagreement}, 2)
    assert [(each.chosen_for, each.doc_id) for each in found] == [
        ("change", "doc-099"),
        ("change", "doc-097"),
        ("disagreement", "doc-000"),
        ("disagreement", "doc-001"),
    ]
    assert {each.chosen_for for each in found} <= set(CHOICES)


@given(st.lists(st.integers(0, 100), min_size=1, max_size=40), st.integers(1, 5))
def test_choosing_is_sorting_and_cutting(hundredths, each):
    rows = [
        Change(f"{i}", "revise", 0, 1, "revise", "", "a", "b", similarity=value / 100)
        for i, value in enumerate(hundredths)
    ]
    chosen = choose(iter(rows), {"change": change}, each)
    assert [round(100 * row.similarity) for row in chosen] == sorted(hundredths)[:each]


@pytest.mark.parametrize("known", METRICS, ids=lambda known: known.key)
def test_every_metric_has_words_and_stands_in_its_place(known: Metric):
    key = known.key.replace("*", "some_thing")
    found = describe(key)
    assert found.name and found.explanation and "{" not in found.name and found.on
    assert found.group == known.group
    assert in_order([key, f"{key}@persistence", "zzz"])[0] == key


def test_a_number_that_rounds_to_nothing_has_no_minus():
    assert describe("oracle/propensity").number(-0.0001, "+") == "+0.0"


def test_a_variant_is_said_and_an_unknown_metric_keeps_its_name():
    assert describe("oracle/propensity@persistence").name.endswith("training of every arm")
    assert describe("relearning/propensity@step_16").name.endswith("after 16 steps")
    assert (describe("new/thing").name, describe("new/thing").explanation) == ("new/thing", UNKNOWN)


def test_the_command_prints_everything_as_its_schema_says_and_writes_the_page(tmp_path, migrated):
    shutil.copy(migrated, tmp_path / "palimpsest.db")
    database = open_database(f"sqlite:///{tmp_path / 'palimpsest.db'}")
    with database.sessions.begin() as session:
        record_demo(session)
    database.dispose()
    run = CliRunner().invoke
    printed = run(app, ["report", "microworld", "--json", "--home", str(tmp_path)])
    assert printed.exit_code == 0, printed.output
    found = json.loads(printed.stdout)
    jsonschema.validate(found, report_schema())
    (gate,) = (row for row in found["gates"] if row["arm"] == "revise")
    assert (gate["gate"], gate["seeds"], gate["value"]) == ("capability", [1], 0.1)
    assert [row["seconds"] for row in found["costs"]] == [1.5, 1.5]
    (scope,) = (row for row in found["scope"] if row["metric"] == "oracle/propensity")
    assert (scope["subject"], scope["subjects"], scope["n"]) == ("model", 2, [1000, 1000])
    assert not (tmp_path / "reports").exists()
    written = run(app, ["report", "microworld", "--home", str(tmp_path)])
    assert written.exit_code == 0, written.output
    text = Path(written.stdout.strip()).read_text(encoding="utf-8")
    assert "20.0 [18.0, 22.0]" in text and "capability" in text
