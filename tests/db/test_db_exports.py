"""Cards, OpenLineage events and PROV-JSON of a record, each read back by its own library."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from db_demo import digest, new_run, record_demo
from huggingface_hub import DatasetCard, ModelCard
from huggingface_hub.repocard import metadata_load
from hypothesis import given
from hypothesis import strategies as st
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, RunEvent, RunState
from openlineage.client.event_v2 import Run as LineageRun
from openlineage.client.serde import Serde
from prov.model import ProvActivity, ProvAgent, ProvDocument, ProvElement, ProvEntity, ProvRelation
from sqlalchemy.orm import Session

from db.models import PrinciplesFile
from db.problems import UnknownId
from db.records import (
    add_artifact,
    ensure_arm,
    ensure_generation,
    fail_stage,
    finish_run,
    record_gate,
    register_experiment,
    set_generation,
    start_run,
    start_stage,
)
from flows.exports.cards import card
from flows.exports.markdown import block, code, plain, table
from flows.exports.openlineage import lines
from flows.exports.prov_json import OURS, document, prov_json
from flows.exports.prov_json import _name as prov_name
from flows.exports.reading import read_experiment
from workers.problems import InputProblem

NASTY = "a b.\"'#;:/\\|`{{ 7 * 7 }}\n---\n試験 %41 <i>$x$"

HOSTILE = st.text(alphabet="ab.:/|\\`*_<>~$[](){}#&%'\"\n 試\x1b", max_size=20)


def record_nasty(session: Session) -> None:
    """An experiment with a name that no format likes, and with a stage and a run that failed."""
    experiment = register_experiment(session, NASTY, {"seeds": [1]}, {})
    run = start_run(
        session,
        command="palimpsest run 'a`b.yaml' ```\n---",
        commit=None,
        dirty=None,
        versions={},
        host_kind={},
        experiment=experiment,
        run_id="no uuid",
    )
    corpus = record_demo(session).arms[0].generations[0].corpus_version
    assert corpus is not None
    row = ensure_generation(session, ensure_arm(session, experiment, "control", 1), 0)
    set_generation(session, row, corpus_version_id=corpus.id)
    record_gate(session, row, "rater", "fail", value=0.5, reason=NASTY)
    stage = start_stage(
        session,
        "rate-nasty",
        stage="rate",
        algorithm_version="1",
        params={"inputs": {"corpus": corpus.digest}},
        run=run,
    )
    fail_stage(session, stage, f"WorkProblem: {NASTY}")
    finish_run(session, run, "interrupted")
    session.flush()


def events(session: Session, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(read_experiment(session, name))]


def rebuilt(event: dict[str, Any]) -> RunEvent:
    """The event made anew by the library's classes, whose validators look at every field."""
    return RunEvent(
        eventType=RunState(event["eventType"]),
        eventTime=event["eventTime"],
        run=LineageRun(**event["run"]),
        job=Job(**event["job"]),
        inputs=[InputDataset(**each) for each in event["inputs"]],
        outputs=[OutputDataset(**each) for each in event["outputs"]],
        producer=event["producer"],
    )


def facets(value: Any) -> list[dict[str, Any]]:
    """Every facet within an event."""
    if isinstance(value, list):
        return [facet for each in value for facet in facets(each)]
    if not isinstance(value, dict):
        return []
    own = [value] if "_schemaURL" in value else []
    return own + [facet for each in value.values() for facet in facets(each)]


def test_a_model_card_is_read_back_by_its_library(session, tmp_path):
    record_demo(session)
    made = card(session, digest("revise m1")[:12])
    made.save(tmp_path / "README.md")
    loaded = ModelCard.load(tmp_path / "README.md")
    assert loaded.data.to_dict() == made.data.to_dict()
    assert loaded.data.base_model == digest("m0")
    assert loaded.data.datasets == [digest("c1")]
    assert loaded.data.palimpsest["commit"] == "abc123"
    assert metadata_load(tmp_path / "README.md")["library_name"] == "transformers"
    plain_one, variant = sorted(loaded.data.eval_results, key=lambda each: each.metric_value)
    assert (plain_one.metric_type, plain_one.metric_value) == ("oracle/propensity", 0.2)
    assert plain_one.metric_args == {"stderr": 0.01, "n": 1000, "unscored": 0, "seed": 0}
    assert (variant.dataset_config, variant.metric_value) == ("before_skills", 0.4)


def test_a_model_card_says_what_made_it_and_how_well_it_does(session):
    record_demo(session)
    text = card(session, digest("revise m1")).text
    for said in (
        "| `oracle/propensity` |  | 0.2000 ± 0.0100 | 1,000 | 0 |",
        "0.4000 (census)",
        f"| parent | checkpoint | `{digest('m0')}` |",
        f"| trained_on | corpus | `{digest('c1')}` |",
        "git checkout abc123\npalimpsest run configs/microworld.yaml",
        "| vllm | 0.32.0 |",
        "It is the checkpoint of: revise 1. Promoted: revise 1.",
        '"lr": 0.003',
    ):
        assert said in text


def test_a_card_may_name_parent_and_data_as_the_hub_does(session):
    record_demo(session)
    made = card(session, digest("revise m1"), base_model="org/base", datasets=["org/corpus"])
    assert made.data.base_model == "org/base"
    assert made.data.datasets == ["org/corpus"]
    assert made.data.palimpsest["from"][0]["id"] == digest("m0")
    with pytest.raises(InputProblem, match="--base-model"):
        card(session, digest("c1"), base_model="org/base")


def test_a_dataset_card_counts_what_became_of_the_documents(session, tmp_path):
    record_demo(session)
    made = card(session, digest("c1"))
    made.save(tmp_path / "README.md")
    loaded = DatasetCard.load(tmp_path / "README.md")
    assert loaded.data.to_dict() == made.data.to_dict()
    assert loaded.data.size_categories == "n<1K"
    assert loaded.data.language_creators == ["machine-generated"]
    assert "| microworld:revise:1:1 | 10 | 6 | 2 | 0 | 1 | 1 |" in loaded.text
    assert "| revise | honesty | 2 |" in loaded.text
    assert f"| read_by | checkpoint | `{digest('m0')}` |" in loaded.text
    assert "0.1000 (census) | 9 | 0 |" in loaded.text


def test_an_imported_corpus_is_not_said_to_be_written_by_a_machine(session):
    record_demo(session)
    made = card(session, digest("c0"))
    assert made.data.language_creators is None
    assert "made from nothing that is on record" in made.text


def test_a_card_holds_any_name_and_command(session, tmp_path):
    record_nasty(session)
    made = card(session, digest("c0"))
    made.save(tmp_path / "README.md")
    assert DatasetCard.load(tmp_path / "README.md").data.to_dict() == made.data.to_dict()
    headings = [line for line in made.text.splitlines() if line.startswith("#")]
    assert [line.split()[0] for line in headings] == ["#", *["##"] * 5]


def test_only_checkpoints_and_corpora_have_cards(session):
    add_artifact(session, PrinciplesFile, digest("p"), content={})
    with pytest.raises(InputProblem, match="has no card"):
        card(session, digest("p"))
    with pytest.raises(UnknownId):
        card(session, "f" * 12)


@given(HOSTILE, HOSTILE)
def test_a_table_keeps_its_shape_whatever_its_cells_hold(one, other):
    rows = table(("a", "b"), [(plain(one), code(other or "x"))]).split("\n")
    assert len(rows) == 3
    bars = rows[2].replace("\\\\", "").replace("\\|", "").count("|")
    assert bars == 3


@given(st.text(alphabet="`~a\n", max_size=40))
def test_a_block_of_code_ends_where_it_should(text):
    fence, *inside, end = block(text).split("\n")
    assert fence == end and set(fence) == {"`"}
    assert not any(line.startswith(fence) for line in inside)


def test_every_stage_starts_and_ends_once(session):
    record_demo(session)
    found = events(session, "microworld")
    ends = Counter((each["job"]["name"], each["eventType"]) for each in found)
    assert ends == {
        ("microworld", "START"): 1,
        ("microworld", "COMPLETE"): 1,
        ("microworld.train", "START"): 2,
        ("microworld.train", "COMPLETE"): 2,
        ("microworld.gate.capability", "START"): 2,
        ("microworld.gate.capability", "COMPLETE"): 2,
    }
    begun: set[str] = set()
    for each in found:
        begun.add(each["run"]["runId"])
        assert each["eventType"] == "START" or each["run"]["runId"] in begun
    assert [each["eventTime"] for each in found] == sorted(each["eventTime"] for each in found)
    assert found == events(session, "microworld")


@pytest.mark.parametrize("name", ["microworld", NASTY])
def test_events_pass_the_validators_of_their_library(session, name):
    record_nasty(session)
    found = events(session, name)
    assert found
    for each in found:
        assert Serde.to_dict(rebuilt(each)) == each
        assert {facet["_producer"] for facet in facets(each)} == {each["producer"]}
        assert each["producer"].startswith("urn:palimpsest:")


def test_events_say_what_a_stage_read_and_made(session):
    record_demo(session)
    done = [each for each in events(session, "microworld") if each["outputs"]]
    by_output = {each["outputs"][0]["name"]: each for each in done}
    event = by_output[f"checkpoint/{digest('revise m1')}"]
    read = {each["name"]: each for each in event["inputs"]}
    assert set(read) == {f"corpus/{digest('c1')}"}
    statistics = read[f"corpus/{digest('c1')}"]["inputFacets"]["inputStatistics"]
    assert (statistics["rowCount"], statistics["fileCount"]) == (9, 2)
    run = event["run"]["facets"]
    assert (run["palimpsest_cost"]["documents"], run["palimpsest_cost"]["seconds"]) == (10, 1.5)
    assert run["palimpsest_recipe"]["recipeId"] == "train-revise"
    assert run["tags"]["tags"] == [{"key": "generation", "value": "microworld:revise:1:1"}]
    parents = [each for each in events(session, "microworld") if "." not in each["job"]["name"]]
    assert run["parent"]["run"]["runId"] == parents[0]["run"]["runId"]


def test_a_failure_is_a_fail_event_with_its_message(session):
    record_nasty(session)
    found = {(each["job"]["name"], each["eventType"]): each for each in events(session, NASTY)}
    failed = found[f"{NASTY}.rate", "FAIL"]
    message = failed["run"]["facets"]["errorMessage"]
    assert message["message"] == f"WorkProblem: {NASTY}"
    assert failed["outputs"] == [] and failed["inputs"][0]["name"] == f"corpus/{digest('c0')}"
    assert found[NASTY, "ABORT"]["run"]["facets"]["errorMessage"]["message"]
    assert (f"{NASTY}.rate", "COMPLETE") not in found


def test_a_stage_that_still_runs_has_only_begun(session):
    experiment = record_demo(session)
    start_stage(
        session,
        "rate-open",
        stage="rate",
        algorithm_version="1",
        params={},
        run=new_run(session, experiment),
    )
    found = events(session, "microworld")
    mine = [each["eventType"] for each in found if each["job"]["name"] == "microworld.rate"]
    assert mine == ["START"]


def test_a_gate_is_an_assertion_about_the_checkpoint(session):
    record_demo(session)
    gates = [each for each in events(session, "microworld") if ".gate." in each["job"]["name"]]
    judged = {
        each["inputs"][0]["name"]: each["inputs"][0]["inputFacets"]["dataQualityAssertions"]
        for each in gates
    }
    assert set(judged) == {f"checkpoint/{digest(f'{arm} m1')}" for arm in ("control", "revise")}
    for facet in judged.values():
        assert [(each["assertion"], each["success"]) for each in facet["assertions"]] == [
            ("capability", True)
        ]


@pytest.mark.parametrize("name", ["microworld", NASTY])
def test_prov_is_read_back_equal_by_its_library(session, name):
    record_nasty(session)
    record = read_experiment(session, name)
    text = prov_json(record)
    back = ProvDocument.deserialize(content=text, format="json")
    assert back == document(record)
    assert back.get_provn().startswith("document")
    declared = {each.identifier for each in back.get_records(ProvElement)}
    for relation in back.get_records(ProvRelation):
        ends = {end for _, end in relation.formal_attributes if hasattr(end, "localpart")}
        assert ends <= declared


def test_prov_joins_stages_artifacts_and_runs(session):
    record_demo(session)
    back = document(read_experiment(session, "microworld"))
    said = Counter(each.get_type().localpart for each in back.get_records(ProvRelation))
    assert said["Derivation"] == 6  # m1 of two arms from m0 and a corpus each, c1 from c0 and m0
    assert said["Generation"] == 2 and said["Association"] == 2
    assert {str(each.label) for each in back.get_records(ProvActivity)} == {
        "train",
        "gate capability",
    }
    assert len(list(back.get_records(ProvAgent))) == 1
    kinds = Counter(
        str(each.identifier.localpart).split("/")[0] for each in back.get_records(ProvEntity)
    )
    assert kinds == {"checkpoint": 3, "corpus": 2, "generation": 4, "recipe": 2}


@given(st.lists(HOSTILE, min_size=1, max_size=3), HOSTILE)
def test_prov_names_are_valid_and_apart(parts, other):
    name = prov_name("entity", *parts)
    assert str(name.localpart).isascii() and not str(name.localpart).endswith(".")
    assert (prov_name("entity", *parts, other) == name) is False
    made = ProvDocument()
    made.add_namespace(OURS)
    made.entity(name)
    text = made.serialize(format="json")
    assert text is not None
    assert ProvDocument.deserialize(content=text, format="json") == made


def test_an_unknown_experiment_is_refused_with_the_nearest(session, tmp_path: Path):
    record_demo(session)
    with pytest.raises(UnknownId, match="microworld"):
        read_experiment(session, "microwrld")
