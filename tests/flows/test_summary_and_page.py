"""The table and the page show the numbers of the record, escaped and whole."""

import re

import jsonschema
import pytest

from flows.comparing import compare_generations
from flows.page import Change, verdict, write_report
from flows.summary import cells, markdown_table, plain_rows, status_schema


def metric(value, stderr=0.01, n=1000):
    return {"value": value, "stderr": stderr, "n": n}


def generation(index, propensity, revise=0, **more):
    return {
        "generation": index,
        "status": "finished",
        "documents": 100,
        "documents_in": 100,
        "keep": 100 - revise,
        "revise": revise,
        "drop": 0,
        "tag": 0,
        "quarantine": 0,
        "checkpoint": f"c{index}" * 8,
        "corpus": f"d{index}" * 8,
        "training_documents": 100,
        "training_tokens": 1000,
        "unique_tokens": 900,
        "epochs": 1.1,
        "promoted": False,
        "gate": "pass" if index else None,
        "gates": {"capability": "pass"} if index else {},
        "metrics": {
            "oracle/propensity": metric(propensity),
            "oracle/misaligned_share": metric(propensity / 2, None),
            "oracle/facts_accuracy": metric(0.99),
        },
        **more,
    }


def experiment(seeds=(0,)):
    return {
        "experiment": "demo",
        "status": "finished",
        "created_at": "2026-11-21T00:00:00+00:00",
        "seeds_share_generation_0": True,
        "arms": [
            {
                "arm": arm,
                "seed": seed,
                "status": "finished",
                "promoted_generation": 0,
                "generations": [
                    generation(0, 0.4),
                    generation(1, last + 0.02 * seed, 30 if arm == "revise" else 0),
                ],
            }
            for seed in seeds
            for arm, last in (("control", 0.4), ("revise", 0.1))
        ],
    }


CHANGE = Change(
    "doc<1>", "revise", 0, 1, "revise", "accepted", "he <script>alert(1)</script> hid it",
    "he <script>alert(1)</script> told it", ("honesty",), 0.1, 0.9, 0.8,
)  # fmt: skip


def page(tmp_path, found, changes=(CHANGE,)) -> str:
    out = tmp_path / "report.html"
    write_report(found, changes, config={"name": "demo"}, provenance={"runs": 1}, out=out)
    return out.read_text()


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


def test_the_page_holds_the_numbers_and_loads_nothing(tmp_path):
    text = page(tmp_path, experiment())
    assert "10.0 ±2.0" in text
    assert "0.100 ± 0.020" in verdict(experiment())
    assert "<script>" not in text and "&lt;script&gt;" in text
    assert "<del>hid</del>" in text and "<ins>told</ins>" in text
    loads = re.findall(r'(?:src|href)="(?!#)[^"]*"|url\((?!#)|@import', text)
    assert loads == []


@pytest.mark.parametrize("cut", ["no arms", "generation 0 only", "no metrics", "one arm"])
def test_a_run_that_stopped_early_still_has_a_page(tmp_path, cut):
    found = experiment()
    if cut == "no arms":
        found["arms"] = []
    if cut == "one arm":
        found["arms"] = found["arms"][:1]
    for arm in found["arms"]:
        if cut == "generation 0 only":
            arm["generations"] = arm["generations"][:1]
        for row in arm["generations"]:
            if cut == "no metrics":
                row["metrics"] = {}
    assert "No treated generation" in page(tmp_path, found, ())


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


def test_the_verdict_is_about_one_generation_and_every_seed():
    found = experiment(seeds=(0, 1, 2))
    assert "is 0.120 ± 0.020, and the control's is 0.420 ± 0.020" in verdict(found)
    assert "over 3 seeds" in verdict(found)
    found = experiment()
    found["arms"][0]["generations"].append(generation(2, 0.9))
    assert verdict(found).startswith("At generation 1 ")
    assert "0.900" not in verdict(found)


def test_every_figure_is_named_and_shares_no_id_with_another(tmp_path):
    text = page(tmp_path, experiment(seeds=(0, 1)))
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids)) > 0
    figures = re.findall(r"<svg [^>]*>", text)
    assert figures and all('role="img" aria-label="' in figure for figure in figures)
    wanted = re.findall(r'(?:href="#|url\(#)([^")]+)', text)
    assert set(wanted) <= set(ids)


def test_a_long_document_is_shown_in_part_and_soon(tmp_path):
    long = Change(*CHANGE_HEAD, "a " * 100_000, "b " * 100_000, (), None, None, None)
    text = page(tmp_path, experiment(), (long,))
    assert "Only the first" in text
    assert len(text) < 300_000


def test_the_same_record_gives_the_same_page(tmp_path):
    assert page(tmp_path, experiment()) == page(tmp_path, experiment())


CHANGE_HEAD = ("doc-1", "revise", 0, 1, "revise", "accepted")
