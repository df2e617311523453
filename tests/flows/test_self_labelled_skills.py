"""The whole loop where every model labels the exemplars of its successor, the control's too."""

import sqlite3
from pathlib import Path

import pytest
from loop_tools import TINY, digests, run, status

SETTINGS = {
    "name": "selfish",
    "engine.kind": "transformers",
    "skills.source": "self",
    "skills.exemplars": 120,
    "revising.candidates": 2,
    "revising.quantile": 0.5,
    "revising.temperature": 0.5,
    "corpus.documents": 120,
    "evaluation.items": 20,
    "evaluation.facts_items": 24,
}


def rows_of(folder: Path, query: str) -> list[tuple]:
    with sqlite3.connect(f"file:{folder}/.palimpsest/palimpsest.db?mode=ro", uri=True) as database:
        return database.execute(query).fetchall()


@pytest.mark.slow
def test_every_arm_is_a_chain_and_all_are_trained_alike(tmp_path):
    words = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    code, out, err = run(tmp_path, "run", str(TINY), *words)
    # A run whose arms saw other numbers of tokens or steps would have stopped.
    assert code == 0, err
    found = digests(status(tmp_path, "selfish"))
    for arm in ("control", "revise"):
        models = [found[arm, 0, generation][1] for generation in range(3)]
        assert len(set(models)) == 3
    # Arms share generation 0, and with it what it labelled.
    labels = rows_of(tmp_path, "SELECT id, model_calls FROM stages WHERE stage = 'label'")
    assert len(labels) == 3 and all(calls >= 120 for _, calls in labels)
    sets = rows_of(
        tmp_path,
        "SELECT count(DISTINCT a.digest) FROM artifacts a"
        " JOIN derivations d ON d.artifact_id = a.id"
        " WHERE a.kind = 'skills' AND d.relation = 'read_by'",
    )
    assert sets == [(3,)]
    seen = rows_of(
        tmp_path, "SELECT tokens_seen FROM artifacts WHERE kind = 'checkpoint' AND tokens_seen"
    )
    assert len({tokens for (tokens,) in seen}) == 1
    code, out, err = run(tmp_path, "run", str(TINY), *words)
    assert code == 0 and "no model was called" in out, err
    assert digests(status(tmp_path, "selfish")) == found
