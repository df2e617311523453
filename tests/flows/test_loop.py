"""The whole loop, every part real: vLLM on Ray, training, Prefect and SQL."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from importlib import resources
from pathlib import Path

import jsonschema
import psutil
import pytest
from loop_tools import ROOT, TINY, digests, kill_tree, run, start, status

ACTIONS = ("keep", "revise", "drop", "tag", "quarantine")
PROMISED = (
    "oracle/misaligned_share",
    "oracle/training_misaligned_share",
    "oracle/propensity",
    "oracle/propensity_ood",
    "oracle/facts_accuracy",
    "oracle/rater_auc",
    "oracle/reviser_success",
    "bits_per_byte",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder in which the tiny experiment has run to its end, once for all tests here."""
    folder = tmp_path_factory.mktemp("finished")
    code, out, err = run(folder, "run", str(TINY))
    assert code == 0, err
    assert "Report:" in out
    return folder


def rows_of(folder: Path, query: str) -> list[tuple]:
    with sqlite3.connect(f"file:{folder}/.palimpsest/palimpsest.db?mode=ro", uri=True) as database:
        return database.execute(query).fetchall()


def test_status_has_what_its_schema_promises(finished):
    code, out, err = run(finished, "status", "--json")
    assert code == 0, err
    found = json.loads(out)
    schema = resources.files("flows") / "schemas" / "status.schema.json"
    jsonschema.validate(found, json.loads(schema.read_text()))
    for arm in found[0]["arms"]:
        for row in arm["generations"]:
            wanted = set(PROMISED)
            if row["generation"] == 0:
                wanted.discard("oracle/training_misaligned_share")
            assert wanted <= set(row["metrics"])
            for name in wanted:
                assert set(row["metrics"][name]) == {"value", "stderr", "n"}
            assert row["metrics"]["oracle/misaligned_share"]["stderr"] is None


def test_every_document_has_exactly_one_action(finished):
    for arm in status(finished)["arms"]:
        documents = [row["documents"] for row in arm["generations"]]
        for row in arm["generations"]:
            assert sum(row[action] for action in ACTIONS) == row["documents_in"]
        for before, row in zip(documents, arm["generations"][1:], strict=False):
            assert row["documents_in"] == before
            assert row["documents"] == before - row["drop"] - row["quarantine"]


def test_arms_see_the_same_number_of_tokens_and_the_control_is_one_model(finished):
    arms = {arm["arm"]: arm["generations"] for arm in status(finished)["arms"]}
    tokens = {row["training_tokens"] for rows in arms.values() for row in rows[1:]}
    assert len(tokens) == 1
    assert len({row["checkpoint"] for row in arms["control"][1:]}) == 1
    assert len({row["corpus"] for row in arms["control"]}) == 1


def test_revising_changes_the_corpus_and_the_model(finished):
    arms = {arm["arm"]: arm["generations"] for arm in status(finished)["arms"]}
    first = arms["revise"][1]
    assert first["revise"] > 0
    share = [row["metrics"]["oracle/misaligned_share"]["value"] for row in arms["revise"]]
    assert share[1] < share[0]
    assert first["checkpoint"] != arms["control"][1]["checkpoint"]


def test_the_record_names_the_engine_of_every_rating_and_revision(finished):
    found = rows_of(
        finished,
        "SELECT stage, engine, engine_version, model_calls, prompt_tokens, engine_start_s "
        "FROM stages WHERE stage IN ('rate', 'revise', 'accept')",
    )
    assert {row[0] for row in found} == {"rate", "revise", "accept"}
    assert {row[1] for row in found} == {"vllm"}
    assert all(row[2] and row[3] > 0 and row[4] > 0 for row in found if row[0] == "rate")


def test_running_again_calls_no_model_and_says_so(finished):
    before = digests(status(finished))
    began = time.monotonic()
    code, out, err = run(finished, "run", str(TINY))
    assert code == 0, err
    assert "no model was called" in out
    assert time.monotonic() - began < 120
    assert digests(status(finished)) == before


def test_a_dry_run_says_what_is_on_record_and_does_nothing(finished):
    code, out, err = run(finished, "run", str(TINY), "--dry-run", "--json")
    assert code == 0, err
    assert all(row["to_do"] == 0 for row in json.loads(out))
    code, out, _ = run(finished, "run", str(TINY), "--dry-run", "--json", "--set", "generations=3")
    todo = [row for row in json.loads(out) if row["to_do"]]
    assert {row["generation"] for row in todo} == {3}


def test_a_changed_config_is_refused_with_the_differing_field(finished):
    code, _, err = run(finished, "run", str(TINY), "--set", "rating.threshold=0.7")
    assert code == 2
    assert "rating.threshold" in err and "fork" in err
    assert status(finished)["status"] == "finished"


def test_a_fork_is_another_experiment_that_knows_its_parent(finished):
    code, out, err = run(
        finished, "fork", "microworld-tiny", "forked", "--set", "rating.threshold=0.7"
    )
    assert code == 0, err
    assert (finished / "forked.yaml").exists()
    code, out, err = run(finished, "lineage", "show", "forked", "--json")
    assert json.loads(out)["forked_from"] == "microworld-tiny"


def test_lineage_leads_from_a_checkpoint_to_its_data(finished):
    rows = status(finished)["arms"][1]["generations"]
    code, out, err = run(finished, "lineage", "why", rows[2]["checkpoint"][:12], "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["data"][0]["id"] == rows[2]["corpus"]
    assert found["parent"] == rows[0]["checkpoint"]


def test_exports_stand_on_their_own(finished):
    row = status(finished)["arms"][1]["generations"][1]
    code, _, err = run(finished, "export", "corpus", row["corpus"][:12], "out-corpus")
    assert code == 0, err
    code, _, err = run(finished, "export", "checkpoint", row["checkpoint"][:12], "out-model")
    assert code == 0, err
    assert list((finished / "out-corpus").glob("*.parquet"))
    assert (finished / "out-model" / "model.safetensors").exists()
    code, _, err = run(finished, "export", "checkpoint", row["checkpoint"][:12], "out-model")
    assert code == 2 and "exists already" in err


def test_promotion_by_hand_and_back(finished):
    code, _, err = run(finished, "promote", "microworld-tiny", "1")
    assert code == 0, err
    assert status(finished)["arms"][1]["promoted_generation"] == 1
    code, _, err = run(finished, "rollback", "microworld-tiny")
    assert code == 0, err
    assert status(finished)["arms"][1]["promoted_generation"] == 0


def kill_an_actor(process: subprocess.Popen[bytes]) -> bool:
    """Kill the first engine actor that is seen at work on a shard; whether one was seen."""
    while process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if "EngineActor.work" in " ".join(child.cmdline()):
                    child.kill()
                    return True
        time.sleep(0.01)
    return False


def test_two_actors_a_dead_one_and_no_oracle_give_the_same_bytes(finished, tmp_path):
    """Run a copy of the program in which the oracle's module is deleted, and kill an actor."""
    copy = tmp_path / "program"
    for name in ("configs", "workers", "db", "flows"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "workers" / "microworld" / "oracle.py").unlink()
    (copy / "workers" / "evaluation" / "oracle_tasks.py").unlink()
    words = ["--set", "evaluation.tasks=[bits_per_byte, rater]", "--set", "engine.actors=2"]
    folder = tmp_path / "run"
    process = start(folder, "run", str(TINY), *words, PYTHONPATH=str(copy))
    try:
        killed = kill_an_actor(process)
        assert process.wait(400) == 0, (folder / "err.log").read_text()
    finally:
        kill_tree(process)
    assert killed
    # Its first loss is not held against a shard, but it is told.
    assert "try 1 failed" in (folder / "err.log").read_text()
    assert digests(status(folder)) == digests(status(finished))


def test_a_run_that_was_killed_ends_in_the_same_bytes(finished, tmp_path):
    # Thirty other moments are in test_resume, which takes its time.
    process = start(tmp_path, "run", str(TINY))
    time.sleep(35.0)
    kill_tree(process)
    code, out, err = run(tmp_path, "run", str(TINY))
    assert code == 0, err
    assert "reused" in out
    assert digests(status(tmp_path)) == digests(status(finished))


def test_a_second_run_is_told_who_holds_the_experiment(tmp_path):
    first = start(tmp_path, "run", str(TINY))
    deadline = time.monotonic() + 90
    while not (tmp_path / ".palimpsest" / "corpora").exists() and time.monotonic() < deadline:
        time.sleep(0.5)
    try:
        code, _, err = run(tmp_path, "run", str(TINY))
        assert code == 1
        assert f"pid {first.pid}" in err
        assert "is being run by" in err
    finally:
        kill_tree(first)


@pytest.mark.parametrize("times", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_ctrl_c_stops_with_a_word_and_leaves_nothing_running(tmp_path, times):
    process = start(tmp_path, "run", str(TINY))
    deadline = time.monotonic() + 90
    while not (tmp_path / ".palimpsest" / "corpora").exists() and time.monotonic() < deadline:
        time.sleep(0.5)
    family = psutil.Process(process.pid).children(recursive=True)
    for _ in range(times):
        os.kill(process.pid, signal.SIGINT)
        time.sleep(1.0)
    assert process.wait(60) == 130
    assert "the same command goes on" in (tmp_path / "err.log").read_text()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive
