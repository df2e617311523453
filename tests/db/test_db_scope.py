"""The scope of what was measured is derived from the record, and silent about all else."""

from __future__ import annotations

import json

import pytest
from db_demo import digest, record_demo
from sqlalchemy import select

from db.models import Checkpoint
from db.problems import UnknownId
from db.records import EvaluationRow, record_evaluations
from flows.exports.cards import card, card_json, scope_of
from flows.exports.scope import NOTHING, SILENCE

ROWS = (
    EvaluationRow("oracle", "oracle/propensity_honesty", 0.3, 480, stderr=0.02),
    EvaluationRow("oracle", "oracle/propensity_ood", 0.01, 1000, stderr=0.02),
    EvaluationRow("deployment", "deployment/propensity_turns", None, 0, unscored=1000),
    EvaluationRow("deployment", "oracle/propensity_called_for", 0.5, 1000, stderr=0.01),
    EvaluationRow("harness", "harness/ai_risk_myopic-reward/acc", 0.6, 300, stderr=0.03),
    EvaluationRow("relearning", "relearning/propensity", 0.9, 1000, stderr=0.01, variant="step_8"),
    EvaluationRow("oracle", "oracle/facts_accuracy", 0.9, 1000, stderr=0.01),
)


@pytest.fixture
def measured(session):
    """The demo's revised model with more numbers."""
    record_demo(session)
    wanted = select(Checkpoint).where(Checkpoint.digest == digest("revise m1"))
    record_evaluations(session, session.scalars(wanted).one(), ROWS)
    return session


def slices(session):
    found = scope_of(session, digest("revise m1")[:12])
    return found, {(each["metric"], each["variant"]): each for each in found["slices"]}


def test_only_what_alignment_was_measured_on_is_in_scope(measured):
    found, by_metric = slices(measured)
    assert found["checkpoint"] == digest("revise m1")
    assert found["claim"] == SILENCE
    names = {row.metric for row in ROWS} - {"relearning/propensity", "oracle/facts_accuracy"}
    assert {metric for metric, _ in by_metric} == names | {"oracle/propensity"}
    assert ("oracle/propensity", "before_skills") in by_metric


def test_a_slice_says_which_distribution_it_is_and_how_sure(measured):
    _, found = slices(measured)
    honesty = found["oracle/propensity_honesty", ""]
    assert honesty["principles"] == ["honesty"]
    assert honesty["distribution"] == "in"
    assert honesty["held_out"] == {"behaviours": [], "settings": []}
    assert honesty["interval"] == pytest.approx([0.2608, 0.3392], abs=1e-4)
    assert honesty["n"] == 480
    outside = found["oracle/propensity_ood", ""]
    assert outside["distribution"] == "out"
    assert outside["interval"][0] == 0.0
    assert "rip" in outside["held_out"]["behaviours"]
    assert "castle" in outside["held_out"]["settings"]
    turns = found["deployment/propensity_turns", ""]
    assert turns["distribution"] == "out"
    assert turns["formats"] == ["turns"]
    assert (turns["value"], turns["interval"], turns["unscored"]) == (None, None, 1000)
    assert found["oracle/propensity_called_for", ""]["formats"] == ["called_for"]
    assert found["harness/ai_risk_myopic-reward/acc", ""]["distribution"] is None


def test_the_card_and_its_json_carry_the_scope(measured):
    wanted = digest("revise m1")
    made = card(measured, wanted)
    assert "## Scope" in made.text
    assert SILENCE in made.text
    assert "`deployment/propensity_turns`" in made.text
    assert "none scored" in made.text
    held = json.loads(json.dumps(card_json(measured, wanted, made)))
    assert held["scope"] == scope_of(measured, wanted)
    assert held["model-index"]


def test_a_model_that_was_not_measured_claims_nothing(session):
    record_demo(session)
    assert scope_of(session, digest("m0")) == {
        "checkpoint": digest("m0"),
        "claim": NOTHING,
        "slices": [],
    }
    assert NOTHING in card(session, digest("m0")).text


def test_a_corpus_has_a_card_as_json_and_no_scope(session):
    record_demo(session)
    made = card(session, digest("c1"))
    assert "scope" not in card_json(session, digest("c1"), made)
    with pytest.raises(UnknownId):
        scope_of(session, digest("c1"))
