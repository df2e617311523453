"""The page holds the findings, escaped and whole, and needs nothing beside it."""

import re
from dataclasses import asdict
from pathlib import Path

import pytest
from standing_tools import experiment, generation, metric

from flows.changes import Change
from flows.report.findings import numbers
from flows.report.headline import verdict
from flows.report.page import write_report
from flows.report.sections import sections

CHANGE = Change(
    "doc<1>", "revise", 0, 1, "revise", "accepted", "he <script>alert(1)</script> hid it",
    "he <script>alert(1)</script> told it", ("honesty",), 0.1, 0.9, 0.2, 0.8, 0.8, "change",
)  # fmt: skip


def gate(index: int, **more: object) -> dict:
    return {
        "arm": "revise", "generation": index, "seeds": [0, 1], "gate": "capability",
        "outcome": "pass", "mode": "enforce", "value": 0.004, "lower": -0.002, "upper": 0.01,
        "bound": 0.02, "interval_over": "seeds", "n": 2, "reason": "loss under the margin", **more,
    }  # fmt: skip


def found(standing: dict, changes: tuple[Change, ...] = (CHANGE,), **more: object) -> dict:
    return {
        **numbers(standing),
        "gates": [],
        "predictions": [],
        "documents": [asdict(change) for change in changes],
        "costs": [],
        "scope": [],
        "provenance": {"runs": 1, "engines": []},
        "config": {"name": "demo"},
        **more,
    }


def page(tmp_path: Path, findings: dict) -> str:
    out = tmp_path / "report.html"
    write_report(findings, out)
    return out.read_text(encoding="utf-8")


def test_it_holds_the_numbers_and_loads_nothing(tmp_path):
    text = page(tmp_path, found(experiment()))
    assert "10.0 [8.0, 12.0]" in text
    assert "<script>" not in text and "&lt;script&gt;" in text
    assert "<del>hid</del>" in text and "<ins>told</ins>" in text
    loads = re.findall(r'(?:src|href)="(?!#)[^"]*"|url\((?!#)|@import', text)
    assert loads == []


@pytest.mark.parametrize("cut", ["no arms", "generation 0 only", "no metrics", "one arm"])
def test_a_run_that_stopped_early_still_has_a_page(tmp_path, cut):
    standing = experiment()
    if cut == "no arms":
        standing["arms"] = []
    if cut == "one arm":
        standing["arms"] = standing["arms"][:1]
    for arm in standing["arms"]:
        if cut == "generation 0 only":
            arm["generations"] = arm["generations"][:1]
        for row in arm["generations"]:
            if cut == "no metrics":
                row["metrics"] = {}
    assert "No treated generation" in page(tmp_path, found(standing, ()))


def test_the_verdict_is_about_one_generation_and_the_seeds_of_both_arms():
    standing = experiment(seeds=(0, 1, 2))
    first = verdict(found(standing))[0]
    assert "is 12.0% and the control's 42.0%: a difference of −30.0 points" in first
    assert "over 3 seeds" in first
    alone = generation(2, 0.9)
    standing["arms"][0]["generations"].append(alone)  # of the control, and of one seed
    assert verdict(found(standing))[0] == first


def test_one_seed_is_said_to_be_one():
    assert "One seed only" in " ".join(verdict(found(experiment())))
    assert "not independent" in " ".join(verdict(found(experiment(seeds=(0, 1)))))


def test_the_placebo_stands_beside_the_treatment():
    standing = experiment(seeds=(0, 1))
    placebo = [{**arm, "arm": "paraphrase"} for arm in standing["arms"] if arm["arm"] == "revise"]
    standing["arms"] += placebo
    said = " ".join(verdict(found(standing)))
    assert "The placebo, documents rewritten without the principles" in said


def test_every_figure_is_named_has_its_table_and_shares_no_id_with_another(tmp_path):
    text = page(tmp_path, found(experiment(seeds=(0, 1)), gates=[gate(1)]))
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids)) > 0
    figures = re.findall(r"<figure>.*?</figure>", text, re.DOTALL)
    assert figures and all(
        'role="img" aria-label="' in each and "<table>" in each for each in figures
    )
    wanted = re.findall(r'(?:href="#|url\(#)([^")]+)', text)
    assert set(wanted) <= set(ids)


def test_the_gap_to_the_control_has_its_margin():
    (section,) = (
        each for each in sections(found(experiment(), gates=[gate(1)])) if each.key == "capability"
    )
    gap = section.figures[0]
    assert gap.title == "Capability gap to the control"
    assert "margin 0.020" in gap.svg and "loss, bits per byte" in gap.svg
    assert gap.table.rows == (("revise", "1", "+0.004", "[−0.002, +0.010]", "2 seeds"),)
    assert section.finding.startswith("Loss of capability against the control within the margin")


def test_usefulness_and_anchors_have_figures_where_they_were_measured():
    standing = experiment(seeds=(0, 1))
    assert {each.key for each in sections(found(standing))}.isdisjoint({"usefulness", "anchors"})
    for arm in standing["arms"]:
        for row in arm["generations"]:
            row["metrics"] |= {
                "instrumental/gravity": metric(30.0 + arm["seed"]),
                "instrumental/undesirable_honesty": metric(5.0 - row["generation"]),
                "rater/self_score": metric(0.6 + 0.1 * row["generation"]),
                "anchor/corpus_score": metric(0.6),
            }
    made = {each.key: each for each in sections(found(standing))}
    assert [figure.title for figure in made["usefulness"].figures] == ["control", "revise"]
    assert made["usefulness"].finding == (
        "revise, in bits per 1,000 tokens: undesirable honesty from 5.0 to 4.0."
    )
    assert made["anchors"].finding == (
        "revise, change of the corpus' mean score: self-rater +0.100, gate anchor +0.000."
    )


def test_a_metric_without_words_is_shown_by_its_name(tmp_path):
    standing = experiment()
    standing["arms"][0]["generations"][0]["metrics"]["new/thing"] = metric(3.5)
    text = page(tmp_path, found(standing))
    assert "Everything else that was measured" in text and "new/thing" in text


def test_persistence_is_drawn_beside_what_was_before():
    standing = experiment()
    for arm in standing["arms"]:
        arm["generations"][1]["metrics"]["oracle/propensity@persistence"] = metric(0.3)
    (section,) = (each for each in sections(found(standing)) if each.key == "persistence")
    assert [row[0] for row in section.figures[0].table.rows] == [
        "control", "control", "revise", "revise", "control, after", "revise, after",
    ]  # fmt: skip


def test_a_long_document_is_shown_in_part_and_soon(tmp_path):
    long = Change("doc-1", "revise", 0, 1, "revise", "accepted", "a " * 100_000, "b " * 100_000,
                  chosen_for="change")  # fmt: skip
    text = page(tmp_path, found(experiment(), (long,)))
    assert "Only the first" in text
    assert len(text) < 400_000


def test_the_same_findings_give_the_same_page(tmp_path):
    assert page(tmp_path, found(experiment())) == page(tmp_path, found(experiment()))
