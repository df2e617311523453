"""Which experiments a night advances, by a record that was made by hand."""

from __future__ import annotations

import pytest

from configs.loading import experiment_file, load
from db.models import utc_now
from db.records import (
    ensure_arm,
    ensure_generation,
    find_experiment,
    set_arm_status,
    set_generation,
)
from db.sessions import open_database
from flows.nightly import as_planned, last_generation, next_turns
from flows.opening import database_url, resolved_config
from flows.opening import register as register_experiment
from workers.problems import InputProblem

TINY = "microworld-tiny.yaml"


@pytest.fixture
def record(tmp_path, monkeypatch):
    monkeypatch.setenv("PALIMPSEST_HOME", str(tmp_path))
    database = open_database(f"sqlite:///{tmp_path}/palimpsest.db")
    yield database
    database.dispose()


def remember(database, *, reached: int, stopped: tuple[str, ...] = (), **more: str):
    """Put an experiment on record whose arms have finished generations up to `reached`."""
    overrides = [f"{field}={value}" for field, value in more.items()]
    experiment = load(experiment_file(TINY), overrides)
    with database.sessions.begin() as session:
        row = register_experiment(session, experiment, resolved_config(experiment))
        for name in experiment.arms:
            arm = ensure_arm(session, row, name.value, 0)
            for index in range(reached + 1):
                set_generation(session, ensure_generation(session, arm, index), status="finished")
            if name.value in stopped:
                set_arm_status(session, arm, "stopped")
    return experiment


def test_a_file_that_is_not_on_record_begins_with_generation_1(record):
    night = next_turns([TINY], beyond=False)
    [turn] = night.turns
    assert (turn.experiment.name, turn.until, night.idle) == ("microworld-tiny", 1, {})


def test_every_active_experiment_goes_one_further(record):
    remember(record, reached=0, name="early")
    remember(record, reached=1, name="later")
    night = next_turns([], beyond=False)
    turns, idle = night.turns, night.idle
    assert {turn.experiment.name: turn.until for turn in turns} == {"early": 1, "later": 2}
    assert not idle


def test_a_generation_that_was_cut_off_is_the_one_to_make(record):
    experiment = remember(record, reached=0)
    with record.sessions.begin() as session:
        row = find_experiment(session, experiment.name)
        arm = ensure_arm(session, row, "control", 0)
        set_generation(session, ensure_generation(session, arm, 1), status="finished")
    [turn] = next_turns([], beyond=False).turns
    assert turn.until == 1


def test_a_finished_experiment_goes_on_only_when_asked_to(record):
    experiment = remember(record, reached=2)
    night = next_turns([], beyond=False)
    turns, idle = night.turns, night.idle
    assert not turns and "its 2 generations are made" in idle[experiment.name]
    [turn] = next_turns([], beyond=True).turns
    assert (turn.until, turn.experiment.generations) == (3, 3)


def test_what_the_gate_stopped_stays_stopped(record):
    experiment = remember(record, reached=1, stopped=("revise",))
    night = next_turns([], beyond=True)
    turns, idle = night.turns, night.idle
    assert not turns and "gate" in idle[experiment.name]


def test_a_night_that_is_started_again_advances_nothing_twice(record):
    due = utc_now()
    experiment = remember(record, reached=1)
    assert (
        "before it was started again"
        in next_turns([], beyond=False, since=due).idle[experiment.name]
    )
    assert next_turns([], beyond=False, since=utc_now()).turns


def test_one_experiment_that_cannot_be_read_leaves_the_others_their_turn(record):
    remember(record, reached=0, name="good")
    remember(record, reached=0, name="bad")
    with record.sessions.begin() as session:
        row = find_experiment(session, "bad")
        row.config = {**row.config, "no_such_field": 1}
    night = next_turns([], beyond=False)
    assert [turn.experiment.name for turn in night.turns] == ["good"]
    assert "no_such_field" in night.unusable[0]


def test_what_went_beyond_its_file_keeps_its_generations(record):
    remember(record, reached=3, generations="5")
    assert as_planned(load(experiment_file(TINY))).generations == 5


def test_an_unknown_name_is_refused_with_the_remedy(record):
    remember(record, reached=0)
    with pytest.raises(InputProblem, match="no-such: not on record"):
        next_turns(["no-such"], beyond=False)


def test_evaluating_again_needs_a_generation(record):
    experiment = remember(record, reached=-1)
    with pytest.raises(InputProblem, match="no generation is on record"):
        last_generation(experiment)


def test_without_a_record_there_is_nothing_to_advance(tmp_path, monkeypatch):
    monkeypatch.setenv("PALIMPSEST_HOME", str(tmp_path / "none"))
    with pytest.raises(InputProblem, match="no record here"):
        next_turns([], beyond=False)


def test_a_password_comes_from_its_file(tmp_path, monkeypatch):
    file = tmp_path / "password"
    file.write_text("p@ss/word\n")
    monkeypatch.setenv("PALIMPSEST_DATABASE", "postgresql://palimpsest@database/palimpsest")
    monkeypatch.setenv("PALIMPSEST_DATABASE_PASSWORD_FILE", str(file))
    assert database_url(None, tmp_path).split("://")[1].startswith("palimpsest:p%40ss%2Fword@")
    file.unlink()
    with pytest.raises(InputProblem, match="PALIMPSEST_DATABASE_PASSWORD_FILE"):
        database_url(None, tmp_path)
