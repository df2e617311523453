"""Where the numbers of an experiment come from, by its record."""

from __future__ import annotations

from db_demo import new_experiment, new_run, record_demo
from sqlalchemy.orm import Session

from flows.report.scope import provenance


def test_a_run_that_found_everything_on_record_is_not_where_numbers_come_from(
    session: Session,
) -> None:
    experiment = record_demo(session)
    again = new_run(session, experiment)
    again.commit = "another"
    session.flush()
    found = provenance(session, experiment)
    assert (found["commit"], found["runs"]) == ("abc123", 2)


def test_of_runs_that_did_nothing_yet_the_last_one_is_told(session: Session) -> None:
    experiment = new_experiment(session)
    new_run(session, experiment)
    new_run(session, experiment).commit = "newest"
    session.flush()
    assert provenance(session, experiment)["commit"] == "newest"
