"""The tables. Import this package, not its modules: it makes every table known to the metadata."""

from db.models.artifacts import Checkpoint, CorpusVersion
from db.models.base import Base, JsonObject, storable, utc_now
from db.models.experiments import (
    COUNTED_ACTIONS,
    RUN_OUTCOMES,
    STATUSES,
    Arm,
    Experiment,
    Generation,
    Lease,
    Run,
)
from db.models.measures import (
    DOC_ID_LIMIT,
    DOCUMENT_ACTIONS,
    GATE_MODES,
    GATE_OUTCOMES,
    INTERVALS_OVER,
    ChangedDocument,
    Evaluation,
    GateDecision,
)
from db.models.stages import SHARD_STATUSES, STAGE_NAMES, STAGE_STATUSES, Shard, Stage, StageUse

__all__ = [
    "COUNTED_ACTIONS",
    "DOCUMENT_ACTIONS",
    "DOC_ID_LIMIT",
    "GATE_MODES",
    "GATE_OUTCOMES",
    "INTERVALS_OVER",
    "RUN_OUTCOMES",
    "SHARD_STATUSES",
    "STAGE_NAMES",
    "STAGE_STATUSES",
    "STATUSES",
    "Arm",
    "Base",
    "ChangedDocument",
    "Checkpoint",
    "CorpusVersion",
    "Evaluation",
    "Experiment",
    "GateDecision",
    "Generation",
    "JsonObject",
    "Lease",
    "Run",
    "Shard",
    "Stage",
    "StageUse",
    "storable",
    "utc_now",
]
