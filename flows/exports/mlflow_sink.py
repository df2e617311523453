"""MLflow as a sink: a run for each generation, with its settings, numbers and digests.

`mlflow-skinny` is optional and is imported only here. Runs are found again by a tag that names the
generation, so that a second export changes what is new and nothing else.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from configs.identity import EXTENDABLE
from db.lineage import status
from db.models import Experiment, Generation
from db.records import require_experiment
from flows.exports.labels import generation_name
from flows.exports.reading import generations_of
from workers.problems import InputProblem, WorkProblem

# It may not be installed, and so has no types here.
MlflowClient = Any
MlflowRun = Any

TAG = "palimpsest.generation"
_LONGEST_PARAMETER = 6_000
_AT_ONCE = 100
_COUNTS = ("documents_in", "keep", "revise", "drop", "tag", "quarantine")
_TRAINING = ("training_documents", "training_tokens", "unique_tokens", "epochs")
_STATUSES = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):([^/@\s]*)@")
# Letters, digits and these alone may stand in MLflow's names.
_UNNAMEABLE = re.compile(r"[^\w\-. /]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Sent:
    """How many runs were made, and how many were there already."""

    made: int
    found: int


def send(session: Session, experiment: str, tracking_uri: str) -> Sent:
    """Send every generation of an experiment to an MLflow server or database.

    Args:
        session: a reader's.
        experiment: its name, which is the MLflow experiment's too.
        tracking_uri: as MLflow takes it; it may hold a password and is never printed.

    Raises:
        UnknownId: there is no such experiment.
        InputProblem: `mlflow-skinny` is not installed.
        WorkProblem: the server refused or did not answer, or there is none of such a URI.
    """
    # Unless told otherwise it reports its use to its makers.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        from mlflow import MlflowClient as Client  # pyright: ignore[reportMissingImports]
        from mlflow.exceptions import MlflowException  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise InputProblem(
            "export mlflow needs the package mlflow-skinny, which is not installed; install it "
            "with `pip install mlflow-skinny`, then run the same command again"
        ) from error
    row = require_experiment(session, experiment)
    try:
        return _send(session, Client(tracking_uri=tracking_uri), row)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        # Its message may repeat the URI, and a URI may hold a password: no cause is chained.
        reason = _PASSWORD.sub(r"\1:***@", str(error).replace(tracking_uri, "the URI"))
        raise WorkProblem(
            f"MLflow did not take experiment {row.name!r}: {reason.strip().splitlines()[0]}. See "
            "that --tracking-uri names a server that runs, or a database such as "
            "sqlite:///mlflow.db; what was sent stays, and the same command goes on"
        ) from None


def _send(session: Session, client: MlflowClient, row: Experiment) -> Sent:
    standing = {
        (arm["arm"], arm["seed"], each["generation"]): each
        for arm in status(session, row.name)[0]["arms"]
        for each in arm["generations"]
    }
    there = client.get_experiment_by_name(row.name)
    home = there.experiment_id if there else client.create_experiment(row.name)
    known = dict(_known(client, home))
    made = 0
    for generation in generations_of(session, row):
        run = known.get(generation_name(generation))
        if run is None:
            run = _make(client, home, generation)
            made += 1
        key = (generation.arm.name, generation.arm.seed, generation.generation_index)
        _fill(client, run, generation, standing[key])
    return Sent(made, len(standing) - made)


def _known(client: MlflowClient, home: str) -> Iterator[tuple[str, MlflowRun]]:
    """The runs that an earlier export made, by the name of their generation."""
    token = None
    while True:
        page = client.search_runs([home], page_token=token)
        yield from ((run.data.tags[TAG], run) for run in page if TAG in run.data.tags)
        token = page.token
        if not token:
            return


def _make(client: MlflowClient, home: str, generation: Generation) -> MlflowRun:
    arm = generation.arm
    return client.create_run(
        home,
        start_time=_milliseconds(generation.started_at or arm.experiment.created_at),
        tags={TAG: generation_name(generation)},
        run_name=f"{arm.name} {generation.generation_index} seed {arm.seed}",
    )


def _fill(
    client: MlflowClient, run: MlflowRun, generation: Generation, standing: dict[str, Any]
) -> None:
    """Bring a run up to date: only what it does not hold yet is sent."""
    from mlflow.entities import Metric, Param, RunTag  # pyright: ignore[reportMissingImports]

    ended = generation.finished_at or generation.arm.experiment.created_at
    when, step = _milliseconds(ended), generation.generation_index
    metrics = [
        Metric(name, value, when, step)
        for name, value in _metrics(standing)
        if run.data.metrics.get(name) != value
    ]
    params = [
        Param(name, value) for name, value in _params(generation) if name not in run.data.params
    ]
    tags = [
        RunTag(name, value)
        for name, value in _tags(generation, standing)
        if run.data.tags.get(name) != value
    ]
    rows = {"metrics": metrics, "params": params, "tags": tags}
    for name, found in rows.items():
        for start in range(0, len(found), _AT_ONCE):
            client.log_batch(run.info.run_id, **{name: found[start : start + _AT_ONCE]})
    wanted = _STATUSES.get(generation.status, "RUNNING")
    if run.info.status != wanted and wanted != "RUNNING":
        client.set_terminated(run.info.run_id, wanted, when)


def _params(generation: Generation) -> Iterator[tuple[str, str]]:
    """The settings that cannot change any more, by dotted name, and what the generation is."""
    yield "arm", generation.arm.name
    yield "seed", str(generation.arm.seed)
    yield "generation", str(generation.generation_index)
    for name, value in _flat(generation.arm.experiment.config):
        if not any(name == field or name.startswith(f"{field}.") for field in EXTENDABLE):
            text = value if isinstance(value, str) else json.dumps(value)
            yield _nameable(f"config.{name}"), text[:_LONGEST_PARAMETER]


def _metrics(standing: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for name in (*_COUNTS, *_TRAINING):
        if standing[name] is not None:
            yield f"documents/{name}" if name in _COUNTS else name, float(standing[name])
    for name, entry in standing["metrics"].items():
        # An @ stands before a variant, and MLflow has none in its names.
        key = _nameable(name.replace("@", "/at_"))
        if entry["value"] is not None:
            yield key, entry["value"]
            yield f"{key}/n", float(entry["n"])
        if entry["stderr"] is not None:
            yield f"{key}/stderr", entry["stderr"]


def _tags(generation: Generation, standing: dict[str, Any]) -> Iterator[tuple[str, str]]:
    found = {
        "palimpsest.checkpoint": standing["checkpoint"],
        "palimpsest.corpus": standing["corpus"],
        "palimpsest.recipe": generation.checkpoint and generation.checkpoint.recipe_id,
        "palimpsest.gate": standing["gate"],
        "palimpsest.promoted": str(standing["promoted"]).lower(),
    }
    yield from ((name, value) for name, value in found.items() if value)


def _flat(config: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _nameable(name: str) -> str:
    return _UNNAMEABLE.sub("_", name)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000)
