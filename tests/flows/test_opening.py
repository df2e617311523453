"""What a run does to the record and the home as it begins and as it ends."""

import os
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from configs.loading import ConfigProblem, load
from db.models import Experiment, Lease, Run
from db.problems import LeaseHeld, LeaseLost
from db.records import acquire_leases, ensure_arm, register_experiment
from db.sessions import open_database
from flows.opening import open_run, refuse_changes, resolved_config
from workers.problems import WorkProblem

TINY = Path(__file__).parents[2] / "configs" / "microworld-tiny.yaml"


def run(home: Path, work) -> None:
    experiment = load(TINY, [f"placement.home={home}"])
    with open_run(experiment, experiment.generations) as context:
        work(context)


def standing(home: Path) -> tuple[str, str | None]:
    """Status of the experiment, and outcome of its newest run."""
    database = open_database(f"sqlite:///{home}/palimpsest.db")
    with database.readers() as session:
        status = session.scalars(select(Experiment.status).order_by(Experiment.id)).first()
        outcome = session.scalars(select(Run.outcome).order_by(Run.id.desc())).first()
    database.dispose()
    return status, outcome


def raising(error: BaseException):
    def work(context) -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("work", "ended"),
    [
        (raising(KeyboardInterrupt()), ("stopped", "interrupted")),
        (raising(WorkProblem("a shard was lost")), ("stopped", "stopped")),
        (raising(ValueError("a defect")), ("failed", "failed")),
    ],
)
def test_a_run_that_ends_early_says_how(tmp_path, work, ended):
    with pytest.raises((KeyboardInterrupt, WorkProblem, ValueError)):
        run(tmp_path, work)
    assert standing(tmp_path) == ended
    run(tmp_path, lambda context: None)
    assert standing(tmp_path) == ("finished", "finished")


def test_a_run_whose_arms_were_taken_over_says_nothing_of_the_experiment(tmp_path):
    def work(context) -> None:
        with context.database.sessions.begin() as session:
            arms = [lease.arm for lease in session.scalars(select(Lease))]
            acquire_leases(
                session, arms, holder="another", host="h", pid=1, ttl_s=60, steal=lambda lease: True
            )
        with context.write():
            pytest.fail("the lease is not ours")

    with pytest.raises(LeaseLost, match="another"):
        run(tmp_path, work)
    # The other goes on with it.
    assert standing(tmp_path) == ("running", "failed")


def take(database, arms, holder: str = "another") -> None:
    """Hold arms as a living process on another machine does."""
    with database.sessions.begin() as session:
        acquire_leases(session, arms(session), holder=holder, host="h", pid=1, ttl_s=60)


def test_who_is_refused_the_leases_extends_nothing(tmp_path):
    run(tmp_path, lambda context: None)
    database = open_database(f"sqlite:///{tmp_path}/palimpsest.db")
    take(database, lambda session: [lease.arm for lease in session.scalars(select(Lease))])
    longer = load(TINY, [f"placement.home={tmp_path}", "generations=9"])
    with pytest.raises(LeaseHeld, match="another"), open_run(longer, 9):
        pytest.fail("the arms are held")
    with database.readers() as session:
        config = session.scalars(select(Experiment.config)).one()
    assert config["generations"] == load(TINY, []).generations
    database.dispose()


def test_what_a_run_beside_it_is_writing_is_left_alone(tmp_path):
    run(tmp_path, lambda context: None)
    database = open_database(f"sqlite:///{tmp_path}/palimpsest.db")
    left = tmp_path / "corpora" / ".unfinished-of-a-dead-run"
    written = tmp_path / "corpora" / ".unfinished-of-a-living-run"
    for folder in (left, written):
        folder.mkdir(parents=True)
    os.utime(left, (time.time() - 60, time.time() - 60))
    take(
        database,
        lambda session: [
            ensure_arm(session, register_experiment(session, "b", {}, {}), "revise", 0)
        ],
    )
    os.utime(written, (time.time() + 1, time.time() + 1))
    run(tmp_path, lambda context: None)
    assert not left.exists()
    assert written.exists()
    database.dispose()


@pytest.mark.parametrize(
    ("settings", "shared"),
    [
        ([], True),
        (["skills.post_train_base=true"], False),
        (["training.generation_0=trained", "training.init=scratch"], False),
    ],
)
def test_seeds_share_a_generation_0_that_nothing_is_done_to(settings, shared):
    config = resolved_config(load(TINY, settings))
    assert config["seeds_share_generation_0"] is shared


def test_what_only_follows_from_a_config_is_no_change_of_it():
    config = resolved_config(load(TINY, []))
    refuse_changes("tiny", config | {"seeds_share_generation_0": False}, config)
    with pytest.raises(ConfigProblem, match=r"rating\.threshold"):
        refuse_changes("tiny", config, resolved_config(load(TINY, ["rating.threshold=0.7"])))
