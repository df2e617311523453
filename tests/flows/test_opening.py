"""What is on record of a run that has ended."""

from pathlib import Path

import pytest
from sqlalchemy import select

from configs.loading import load
from db.models import Experiment, Lease, Run
from db.problems import LeaseLost
from db.records import acquire_leases
from db.sessions import open_database
from flows.opening import open_run
from workers.problems import WorkProblem

TINY = Path(__file__).parents[2] / "configs" / "microworld-tiny.yaml"


def run(home: Path, work) -> None:
    with open_run(load(TINY, [f"placement.home={home}"])) as context:
        work(context)


def standing(home: Path) -> tuple[str, str | None]:
    """Status of the experiment, and outcome of its newest run."""
    database = open_database(f"sqlite:///{home}/palimpsest.db")
    with database.readers() as session:
        status = session.scalars(select(Experiment.status)).one()
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
