"""W3C PROV of an experiment, by the `prov` package, as PROV-JSON.

Entities are artifacts, activities are stages and gate decisions, and agents are the software of
each run. A generation is a collection whose members are its checkpoint and its corpus; a recipe is
the plan that a stage followed. Names are built from kinds and digests and escaped, so that they
are valid whatever an experiment or an arm is called.
"""

from __future__ import annotations

import json
from io import StringIO
from typing import Any
from urllib.parse import quote

from prov.constants import PROV
from prov.identifier import Namespace, QualifiedName
from prov.model import ProvDocument

from db.models import STAGE_COSTS, Artifact, GateDecision, Generation, Run, Stage
from flows.exports.labels import as_uri, short
from flows.exports.reading import ExperimentRecord

OURS = Namespace("palimpsest", "urn:palimpsest:")
_COUNTS = ("documents_in", "keep", "revise", "drop", "tag", "quarantine")


def prov_json(record: ExperimentRecord) -> str:
    """Return the experiment's provenance as PROV-JSON, indented."""
    text = StringIO()
    document(record).serialize(text, format="json", indent=1)
    return text.getvalue()


def document(record: ExperimentRecord) -> ProvDocument:
    """Build the document that `prov_json` writes."""
    made = ProvDocument()
    made.add_namespace(OURS)
    for artifact in record.artifacts.values():
        made.entity(_artifact_name(artifact), _about_artifact(artifact))
    for row in record.generations.values():
        _add_generation(made, row)
    for run in record.runs.values():
        made.agent(_run_name(run), _about_run(run))
    for stage in record.stages:
        _add_stage(made, record, stage)
    for gate in record.gates:
        _add_gate(made, record, gate)
    for artifact, relation, source in record.derivations:
        made.wasDerivedFrom(
            _artifact_name(record.artifacts[artifact]),
            _artifact_name(record.artifacts[source]),
            other_attributes={PROV["type"]: OURS[relation]},
        )
    return made


def _add_stage(made: ProvDocument, record: ExperimentRecord, stage: Stage) -> None:
    name = _stage_name(stage)
    made.activity(name, stage.started_at, stage.finished_at, _about_stage(stage))
    for role, artifact in record.used[stage.id]:
        made.used(
            name,
            _artifact_name(record.artifacts[artifact]),
            other_attributes={PROV["role"]: role},
        )
    for artifact in record.generated[stage.id]:
        made.wasGeneratedBy(_artifact_name(record.artifacts[artifact]), name, stage.finished_at)
    known = {each.id: each for each in record.stages}
    for source in record.informed[stage.id]:
        if source in known:
            made.wasInformedBy(name, _stage_name(known[source]))
    plan = _name("recipe", stage.recipe_id)
    made.entity(plan, {PROV["type"]: PROV["Plan"], OURS["recipe"]: _text(stage.params)})
    if stage.run_id in record.runs:
        made.wasAssociatedWith(name, _run_name(record.runs[stage.run_id]), plan)


def _add_gate(made: ProvDocument, record: ExperimentRecord, gate: GateDecision) -> None:
    """A gate used the checkpoint, and was informed by the evaluations that its generation used."""
    generation = record.generations[gate.generation_id]
    name = _name("gate", *_parts(generation), gate.gate)
    numbers = {key: getattr(gate, key) for key in ("value", "lower", "upper", "bound", "n")}
    about = {"outcome": gate.outcome, "mode": gate.mode, "reason": gate.reason, **numbers}
    attributes = {PROV["type"]: OURS["Gate"], PROV["label"]: f"gate {gate.gate}"}
    made.activity(name, gate.decided_at, gate.decided_at, attributes | _ours(about))
    if generation.checkpoint is not None:
        made.used(name, _artifact_name(generation.checkpoint))
    for stage in record.stages:
        if stage.stage == "evaluate" and generation.id in record.uses[stage.id]:
            made.wasInformedBy(name, _stage_name(stage))
    if gate.run_id in record.runs:
        made.wasAssociatedWith(name, _run_name(record.runs[gate.run_id]))


def _add_generation(made: ProvDocument, row: Generation) -> None:
    name = _name("generation", *_parts(row))
    about = {
        "experiment": row.arm.experiment.name,
        "arm": row.arm.name,
        "seed": row.arm.seed,
        "generation": row.generation_index,
        "status": row.status,
        "promoted": row.arm.promoted_generation_id == row.id,
        **{count: getattr(row, count) for count in _COUNTS},
    }
    label = f"{row.arm.name} {row.generation_index}, seed {row.arm.seed}"
    attributes = {PROV["label"]: label, PROV["type"]: PROV["Collection"]}
    made.entity(name, attributes | _ours(about))
    for member in (row.checkpoint, row.corpus_version):
        if member is not None:
            made.hadMember(name, _artifact_name(member))


def _about_artifact(row: Artifact) -> dict[QualifiedName, Any]:
    about = {
        "digest": row.digest,
        "created_at": row.created_at,
        "documents": row.documents,
        "tokens": row.tokens,
        "tokens_seen": row.tokens_seen,
        "numerics_class": row.numerics_class,
    }
    attributes = {PROV["type"]: OURS[row.kind], PROV["label"]: f"{row.kind} {short(row)}"}
    if row.uri:
        attributes[PROV["location"]] = as_uri(row.uri)
    return attributes | _ours(about)


def _about_stage(row: Stage) -> dict[QualifiedName, Any]:
    names = ("status", "algorithm_version", "engine", "engine_version", "output_digest", "failure")
    about = {name: getattr(row, name) for name in (*names, "numerics_class", *STAGE_COSTS)}
    attributes = {PROV["type"]: OURS[row.stage], PROV["label"]: row.stage}
    return attributes | _ours(about)


def _about_run(row: Run) -> dict[QualifiedName, Any]:
    about = {
        "run_id": row.run_id,
        "command": row.command,
        "commit": row.commit,
        "dirty": row.dirty,
        "outcome": row.outcome,
        "versions": row.versions,
        "host_kind": row.host_kind,
    }
    label = f"palimpsest {row.versions.get('palimpsest', '')}".strip()
    attributes = {PROV["type"]: PROV["SoftwareAgent"], PROV["label"]: label}
    return attributes | _ours(about)


def _ours(about: dict[str, Any]) -> dict[QualifiedName, Any]:
    """What is known, under our names; objects as JSON, for PROV has no nested values."""
    return {
        OURS[name]: _text(value) if isinstance(value, dict) else value
        for name, value in about.items()
        if value is not None
    }


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True)


def _parts(row: Generation) -> tuple[str, ...]:
    return row.arm.experiment.name, row.arm.name, str(row.arm.seed), str(row.generation_index)


def _artifact_name(row: Artifact) -> QualifiedName:
    return _name(row.kind, row.digest)


def _stage_name(row: Stage) -> QualifiedName:
    return _name(row.stage, row.recipe_id)


def _run_name(row: Run) -> QualifiedName:
    return _name("run", row.run_id)


def _name(*parts: str) -> QualifiedName:
    """A qualified name; each part is percent-encoded, and parts are joined by a slash."""
    # A dot may not end a local name, which quoting leaves as it is.
    return OURS["/".join(quote(part, safe="").replace(".", "%2E") for part in parts)]
