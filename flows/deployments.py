"""What runs unattended: the entry points of the deployments in `prefect.yaml`.

Each is a flow whose parameters Prefect shows as a form; docstrings are the fields' help.
"""

from __future__ import annotations

import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from prefect import State, flow
from prefect.client.schemas.objects import FlowRun
from prefect.events import emit_event
from prefect.exceptions import TerminationSignal
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed
from pydantic import Field

from configs.experiment import Experiment
from configs.loading import experiment_file, load
from db.problems import LeaseHeld
from flows.bootstrap import advance
from flows.lease import TTL_S
from flows.nightly import as_planned, last_generation, next_turns
from flows.upkeep import collect_home, verify_home
from workers.interrupting import heard
from workers.problems import WorkProblem

ENDED = "palimpsest.run-ended"
MOST_STARTS = 5
"""A run whose process is lost is started again, but not for ever."""

MISSED_AFTER = timedelta(hours=20)
"""A scheduled run that could not start for so long is left out: the next night's is near."""

Hours = Annotated[float, Field(gt=0, le=168)]


def tell_end(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:
    """Tell Prefect that a run is over, for the automation that looks for lost runs.

    Of a run that an automation has started again, Prefect 3.7 holds the events of its later states
    back, for minutes; this one comes after no other.
    """
    emit_event(
        ENDED,
        resource={"prefect.resource.id": f"prefect.flow-run.{flow_run.id}"},
        related=[
            {"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"}
            for tag in flow_run.tags
        ],
    )


UNATTENDED: dict[str, Any] = {
    "persist_result": False,
    "on_completion": [tell_end],
    "on_failure": [tell_end],
    "on_crashed": [tell_end],
    "on_cancellation": [tell_end],
}


@flow(name="bootstrap-experiment", flow_run_name="{config}", **UNATTENDED)
def bootstrap_experiment(
    config: str = "microworld.yaml", overrides: list[str] | None = None, hours: Hours = 24.0
) -> State[Any]:
    """Run a whole experiment, or go on with one; what the record has is not done again.

    Args:
        config: an experiment's YAML file as the Prefect worker sees it, such as
            /configs/mine.yaml, or the name of a shipped one, such as microworld.yaml.
        overrides: settings on top of the file, each `field.subfield=value`.
        hours: stop after so many hours; what was finished is kept, and the next run goes on.
    """
    _refuse_endless_starts()
    experiment = as_planned(load(experiment_file(config), overrides or []))
    return _unattended(experiment, experiment.generations, hours)


@flow(name="nightly-generation", **UNATTENDED)
def nightly_generation(
    experiments: list[str] | None = None, beyond: bool = False, hours: Hours = 10.0
) -> State[Any]:
    """Advance every active arm by one generation, and resume what was cut off.

    An arm that a gate has stopped stays as it is. One experiment that fails does not keep the
    others from their turn; the run fails at its end then, and says which. A night that was missed
    is not made up for: the next one goes on from there.

    Args:
        experiments: names of experiments on record, or YAML files to begin with; empty for every
            experiment on record that has a generation left to make.
        beyond: go on past the number of generations that an experiment's config asks for, one
            more each night.
        hours: stop each experiment after so many hours; the next night goes on from there.
    """
    _refuse_endless_starts()
    due = flow_run.scheduled_start_time
    if due < datetime.now(UTC) - MISSED_AFTER:
        return Completed(name="Missed", message=f"due at {due:%Y-%m-%d %H:%M} UTC; left out")
    night = next_turns(experiments or [], beyond=beyond, since=due)
    for name, why in night.idle.items():
        get_run_logger().info("%s: nothing to do: %s", name, why)
    done: list[str] = []
    failed = list(night.unusable)
    for turn in night.turns:
        state = _unattended(turn.experiment, turn.until, hours)
        said = f"{turn.experiment.name}: {state.message}"
        (done if state.is_completed() or state.is_cancelled() else failed).append(said)
    if failed:
        return Failed(message="; ".join([*failed, *done]))
    return Completed(message="; ".join(done) or "nothing to do: every arm is finished or stopped")


@flow(name="evaluate-again", flow_run_name="{config}", **UNATTENDED)
def evaluate_again(
    config: str = "microworld.yaml", overrides: list[str] | None = None, hours: Hours = 24.0
) -> State[Any]:
    """Evaluate every generation of an experiment again, with evaluations changed or added.

    Nothing is revised or trained: the generations on record are taken as they are.

    Args:
        config: the experiment's YAML file as the Prefect worker sees it, or a shipped one's name.
        overrides: the evaluations to have, such as evaluation.items=5000 or
            evaluation.tasks=[bits_per_byte,rater].
        hours: stop after so many hours.
    """
    _refuse_endless_starts()
    experiment = as_planned(load(experiment_file(config), overrides or []))
    return _unattended(experiment, last_generation(experiment), hours)


@flow(name="lineage-verify", **UNATTENDED)
def verify_lineage(home: Path | None = None) -> State[Any]:
    """Hash every recorded file again, and fail where one is missing or altered.

    Args:
        home: folder of corpora, checkpoints and stages; the cluster's own when left empty.
    """
    _refuse_endless_starts()
    return Completed(message=verify_home(home))


@flow(name="gc", **UNATTENDED)
def collect_garbage(
    home: Path | None = None, dry_run: bool = True, all_failed: bool = False
) -> State[Any]:
    """Remove what no generation needs.

    Args:
        home: folder of corpora, checkpoints and stages; the cluster's own when left empty.
        dry_run: only say what would go.
        all_failed: also the finished shards of failed stages that a run could still go on with.
    """
    _refuse_endless_starts()
    return Completed(message=collect_home(home, dry_run=dry_run, all_failed=all_failed))


def _refuse_endless_starts() -> None:
    if (flow_run.run_count or 1) > MOST_STARTS:
        raise WorkProblem(
            f"this run was started {flow_run.run_count} times, and its process was lost each time. "
            "What was finished is kept. Look at the memory limits and the log of the Prefect "
            "worker, then run the deployment again."
        )


def _unattended(experiment: Experiment, until: int, hours: float) -> State[Any]:
    """Advance an experiment as a flow of its own; it has a time limit, a state and artifacts.

    A lease's holder on another machine cannot be asked whether it lives, so its lease is given the
    time to run out: a run whose process was killed is not kept out by its own earlier self.
    """
    held: list[LeaseHeld] = []

    @flow(
        name="experiment",
        flow_run_name=f"{experiment.name}-to-generation-{until}",
        persist_result=False,
    )
    def turn() -> None:
        # Prefect would raise where its signal or its time limit falls.
        try:
            with heard((signal.SIGTERM, signal.SIGINT), hours * 3600):
                advance(experiment, until)
        except LeaseHeld as error:
            held.append(error)
            raise
        except KeyboardInterrupt:
            raise TerminationSignal(signal.SIGTERM) from None

    state: State[Any] = turn(return_state=True)
    if held:
        held.clear()
        time.sleep(TTL_S * 1.1)
        state = turn(return_state=True)
    if held:
        why = f"{held[0]}. This run changed nothing: let the other one end, or cancel it."
        return Cancelled(name="Overlapping", message=why)
    if state.is_completed():
        return Completed(message=f"{experiment.name} is at generation {until}")
    # A state of its own: of another flow's, Prefect would only say that it failed.
    return State(type=state.type, name=state.name, message=state.message)
