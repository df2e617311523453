"""OpenLineage: an event for each start and end of a run, a stage and a gate, by their own client.

Everything is derived from the record, run ids included, so a second export says the same again and
a catalogue that takes both in holds each run once. A dataset is one artifact: its name ends in the
digest. What a stage put out that is no artifact, such as ratings, is a dataset under the stage's
name. Stages are batch jobs named EXPERIMENT.STAGE; their parent is the `palimpsest` process.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import version
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from openlineage.client.event_v2 import (
    InputDataset,
    Job,
    OutputDataset,
    RunEvent,
    RunState,
    set_producer,
)
from openlineage.client.event_v2 import Run as LineageRun
from openlineage.client.facet_v2 import (
    data_quality_assertions_dataset,
    dataset_type_dataset,
    dataset_version_dataset,
    datasource_dataset,
    error_message_run,
    input_statistics_input_dataset,
    job_type_job,
    output_statistics_output_dataset,
    parent_run,
    processing_engine_run,
    tags_run,
)
from openlineage.client.serde import Serde

from db.models import Artifact, GateDecision, Run, Stage
from flows.exports.labels import as_uri, generation_name
from flows.exports.openlineage_facets import ProvenanceRunFacet, RecipeRunFacet, cost_facet
from flows.exports.reading import ExperimentRecord

NAMESPACE = "palimpsest"
PRODUCER = f"urn:palimpsest:{version('palimpsest')}"
_TYPES = {"checkpoint": "MODEL", "corpus": "FILE"}
_ENDS = {
    "finished": RunState.COMPLETE,
    "failed": RunState.FAIL,
    "stopped": RunState.FAIL,
    "refused": RunState.FAIL,
    "interrupted": RunState.ABORT,
}


def lines(record: ExperimentRecord) -> Iterator[str]:
    """Yield the events of an experiment as JSON, one a line, in the order of their times."""
    for event in sorted(events(record), key=lambda event: event.eventTime):
        yield Serde.to_json(event)


def events(record: ExperimentRecord) -> Iterator[RunEvent]:
    """Yield the events of an experiment: of its runs, then of its stages, then of its gates."""
    # Events and facets are stamped with it as they are made.
    set_producer(PRODUCER)
    for run in record.runs.values():
        yield from _run_events(record, run)
    for stage in record.stages:
        yield from _stage_events(record, stage)
    for gate in record.gates:
        yield from _gate_events(record, gate)


def _run_events(record: ExperimentRecord, run: Run) -> Iterator[RunEvent]:
    facets: dict[str, Any] = {
        "palimpsest_provenance": ProvenanceRunFacet(
            command=run.command, versions=run.versions, commit=run.commit, dirty=run.dirty
        )
    }
    job = _job(record.experiment.name, "COMMAND")
    yield _event(RunState.START, run.started_at, LineageRun(_run_id(run), facets), job)
    if run.outcome and run.finished_at:
        state = _ENDS[run.outcome]
        if state is not RunState.COMPLETE:
            facets = facets | _error(f"the run ended as {run.outcome}")
        yield _event(state, run.finished_at, LineageRun(_run_id(run), facets), job)


def _stage_events(record: ExperimentRecord, stage: Stage) -> Iterator[RunEvent]:
    """The start of a stage, and its end if it had one."""
    name = f"{record.experiment.name}.{stage.stage}"
    run_id = _uuid("stage", stage.recipe_id, str(stage.attempts))
    facets = _stage_facets(record, stage)
    job, inputs = _job(name, "STAGE"), _inputs(record, stage)
    yield _event(RunState.START, stage.started_at, LineageRun(run_id, facets), job, inputs)
    if stage.finished_at is None:
        return
    facets = {**facets, "palimpsest_cost": cost_facet(stage)}
    if stage.status == "failed":
        facets |= _error(stage.failure or "the stage failed without a word")
        yield _event(RunState.FAIL, stage.finished_at, LineageRun(run_id, facets), job, inputs)
    elif stage.status == "done":
        done = LineageRun(run_id, facets)
        outputs = _outputs(record, stage)
        yield _event(RunState.COMPLETE, stage.finished_at, done, job, inputs, outputs)


def _stage_facets(record: ExperimentRecord, stage: Stage) -> dict[str, Any]:
    facets: dict[str, Any] = {
        "palimpsest_recipe": RecipeRunFacet(
            recipeId=stage.recipe_id, algorithmVersion=stage.algorithm_version, recipe=stage.params
        ),
        **_parent(record, stage.run_id),
    }
    users = [record.generations[key] for key in record.uses[stage.id]]
    if users:
        tags = [
            tags_run.TagsRunFacetFields(key="generation", value=generation_name(each))
            for each in users
        ]
        facets["tags"] = tags_run.TagsRunFacet(tags=tags)
    if stage.engine:
        facets["processing_engine"] = processing_engine_run.ProcessingEngineRunFacet(
            version=stage.engine_version or "unknown", name=stage.engine
        )
    return facets


def _gate_events(record: ExperimentRecord, gate: GateDecision) -> Iterator[RunEvent]:
    """A gate decides at one moment; what it decided is an assertion about the checkpoint."""
    generation = record.generations[gate.generation_id]
    run_id = _uuid("gate", generation_name(generation), gate.gate)
    job = _job(f"{record.experiment.name}.gate.{gate.gate}", "GATE")
    run = LineageRun(run_id, _parent(record, gate.run_id))
    inputs = [_judged(generation.checkpoint, gate)] if generation.checkpoint else []
    for state in (RunState.START, RunState.COMPLETE):
        yield _event(state, gate.decided_at, run, job, inputs)


def _judged(checkpoint: Artifact, gate: GateDecision) -> InputDataset:
    """A checkpoint as the input of a gate, with what the gate says of it."""
    assertion = data_quality_assertions_dataset.Assertion(
        assertion=gate.gate,
        success=gate.outcome == "pass",
        severity="error" if gate.mode == "enforce" else "warn",
        description=gate.reason,
        expected=None if gate.bound is None else str(gate.bound),
        actual=None if gate.value is None else str(gate.value),
        params={"outcome": gate.outcome, "lower": gate.lower, "upper": gate.upper},
    )
    facet = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet([assertion])
    return InputDataset(
        NAMESPACE,
        _name(checkpoint),
        inputFacets={"dataQualityAssertions": facet},
        facets=_about(checkpoint),
    )


def _parent(record: ExperimentRecord, run: int | None) -> dict[str, Any]:
    """The facet that names the process; none where the record does not say which it was."""
    if run is None or run not in record.runs:
        return {}
    return {
        "parent": parent_run.ParentRunFacet(
            run=parent_run.Run(runId=_run_id(record.runs[run])),
            job=parent_run.Job(namespace=NAMESPACE, name=record.experiment.name),
        )
    }


def _error(message: str) -> dict[str, Any]:
    facet = error_message_run.ErrorMessageRunFacet(message=message, programmingLanguage="PYTHON")
    return {"errorMessage": facet}


def _inputs(record: ExperimentRecord, stage: Stage) -> list[InputDataset]:
    """The artifacts that a stage read, and what other stages put out for it."""
    read = dict.fromkeys(artifact for _, artifact in record.used[stage.id])
    found = [_input(record.artifacts[key]) for key in read]
    by_key = {each.id: each for each in record.stages}
    sources = [by_key[key] for key in record.informed[stage.id] if key in by_key]
    return found + [InputDataset(NAMESPACE, _output_name(source)) for source in sources]


def _input(artifact: Artifact) -> InputDataset:
    statistics = {}
    if artifact.documents is not None:
        statistics["inputStatistics"] = (
            input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
                rowCount=artifact.documents, fileCount=artifact.shards
            )
        )
    return InputDataset(NAMESPACE, _name(artifact), inputFacets=statistics, facets=_about(artifact))


def _outputs(record: ExperimentRecord, stage: Stage) -> list[OutputDataset]:
    """The artifacts that a stage made, or what it put out where that is no artifact."""
    made = [record.artifacts[key] for key in record.generated[stage.id]]
    found = [_output(artifact) for artifact in made]
    if stage.output_digest and stage.output_digest not in {each.digest for each in made}:
        found.append(OutputDataset(NAMESPACE, _output_name(stage), facets=_output_facets(stage)))
    return found


def _output(artifact: Artifact) -> OutputDataset:
    statistics = {}
    if artifact.documents is not None:
        statistics["outputStatistics"] = (
            output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                rowCount=artifact.documents, fileCount=artifact.shards
            )
        )
    return OutputDataset(
        NAMESPACE, _name(artifact), outputFacets=statistics, facets=_about(artifact)
    )


def _about(artifact: Artifact) -> dict[str, Any]:
    facets: dict[str, Any] = {
        "version": dataset_version_dataset.DatasetVersionDatasetFacet(
            datasetVersion=artifact.digest
        ),
        "datasetType": dataset_type_dataset.DatasetTypeDatasetFacet(
            datasetType=_TYPES.get(artifact.kind, "FILE"), subType=artifact.kind
        ),
    }
    if artifact.uri:
        facets["dataSource"] = datasource_dataset.DatasourceDatasetFacet(
            name=artifact.kind, uri=as_uri(artifact.uri)
        )
    return facets


def _output_facets(stage: Stage) -> dict[str, Any]:
    return {
        "datasetType": dataset_type_dataset.DatasetTypeDatasetFacet(
            datasetType="JOB_OUTPUT", subType=stage.stage
        )
    }


def _name(artifact: Artifact) -> str:
    return f"{artifact.kind}/{artifact.digest}"


def _output_name(stage: Stage) -> str:
    return f"{stage.stage}/{stage.output_digest}"


def _job(name: str, kind: str) -> Job:
    facet = job_type_job.JobTypeJobFacet(
        processingType="BATCH", integration="PALIMPSEST", jobType=kind
    )
    return Job(NAMESPACE, name, {"jobType": facet})


def _event(
    state: RunState,
    when: datetime,
    run: LineageRun,
    job: Job,
    inputs: list[InputDataset] | None = None,
    outputs: list[OutputDataset] | None = None,
) -> RunEvent:
    return RunEvent(
        eventType=state,
        # A width that is always the same, so that the texts sort as the times do.
        eventTime=when.isoformat(timespec="microseconds"),
        run=run,
        job=job,
        inputs=inputs or [],
        outputs=outputs or [],
    )


def _run_id(run: Run) -> str:
    """The run's own id where it is a UUID, as those of `palimpsest run` are."""
    try:
        return str(UUID(run.run_id))
    except ValueError:
        return _uuid("run", run.run_id)


def _uuid(*names: str) -> str:
    return str(uuid5(NAMESPACE_URL, ":".join(("urn:palimpsest", *names))))
