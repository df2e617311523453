"""The table shows the numbers of the record, and a comparison their differences."""

import jsonschema
import pytest
from standing_tools import experiment

from flows.comparing import compare_generations
from flows.summary import cells, markdown_table, plain_rows, status_schema


def test_the_example_is_what_the_schema_promises():
    jsonschema.validate([experiment()], status_schema())


def test_one_row_for_each_arm_and_generation_with_an_interval():
    heads, body = cells(experiment())
    assert [row[:2] for row in body] == [
        ["control", "0"], ["control", "1"], ["revise", "0"], ["revise", "1"],
    ]  # fmt: skip
    row = dict(zip(heads, body[3], strict=True))
    assert row["propensity"] == "10.0 ±2.0"
    assert row["misaligned\nin corpus"] == "5.0"
    assert "drop" not in heads


def test_several_seeds_show_mean_and_deviation_and_say_what_they_share():
    found = experiment(seeds=(0, 1, 2))
    rows = plain_rows(found)
    assert len(rows) == 4
    assert rows[3]["propensity"] == "12.0 ±2.0"
    assert "not independent replicates" in markdown_table(found)


def test_a_comparison_has_differences_and_their_error():
    found = experiment()
    left, right = (arm["generations"][1] for arm in found["arms"])
    compared = compare_generations(left, right)["metrics"]["oracle/propensity"]
    assert compared["difference"] == pytest.approx(-0.3)
    assert compared["stderr"] == pytest.approx(0.01 * 2**0.5)


def test_one_seed_of_several_alone_has_no_deviation():
    found = experiment(seeds=(0, 1, 2))
    for arm in found["arms"][2:]:
        arm["generations"] = arm["generations"][:1]
    rows = plain_rows(found)
    assert rows[3]["propensity"] == "10.0"
    assert "stopped early" in markdown_table(found)
