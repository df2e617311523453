"""Identity: which settings of an experiment decide the result of which stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from configs.experiment import Experiment
from configs.fingerprint import digest_of, plain

# What each stage's result depends on, beside the digests of what it reads: corpora, checkpoints,
# principles, prompts and skills enter a recipe by content, never by name or path. Anything not
# named here is placement: it may change between runs without changing an identity.
_ASKING = ("model.dtype", "model.max_length", "engine.kind", "rating.min_answer_mass")
STAGE_FIELDS: dict[str, tuple[str, ...]] = {
    "import": ("corpus", "intake"),
    "rate": _ASKING,
    "revise": (*_ASKING, "rating.threshold", "revising", "acceptance"),
    "accept": (*_ASKING, "acceptance"),
    "assemble": ("intake.shard_documents",),
    "train": ("training", "mix", "model.max_length"),
    "evaluate": ("evaluation", "model.dtype", "model.max_length", "rating", "revising"),
    "gate": ("gate",),
}
# What one twin depends on; the capability that it lacks is in its recipe beside them.
TWIN_FIELDS = (
    "evaluation.instrumental.tokens",
    "evaluation.instrumental.learning_rate",
    "evaluation.instrumental.batch_tokens",
    "evaluation.instrumental.warmup_steps",
    "evaluation.instrumental.held_out_share",
    "evaluation.items",
    "training.window",
    "training.dtype",
    "training.weight_decay",
    "training.max_grad_norm",
    "model.dtype",
    "model.max_length",
)
# Fields inside those sections that do not change a result, or that stand for a content digest.
PLACEMENT = (
    "training.threads",
    "training.workers",
    "training.num_gpus",
    "training.at_once",
    # What it makes enters by what a generation 0 was trained on.
    "training.generation_0",
    "evaluation.batch",
    "evaluation.harness.batch",
    # What their files hold is in the recipe by content.
    "evaluation.harness.data",
    "evaluation.harness.task_files",
    "corpus.path",
)
# What may change between runs of one experiment without forking it. Contents behind a path are
# compared by digest.
EXTENDABLE = (
    "generations",
    "seeds",
    "arms",
    "evaluation",
    # Those on record stay with their time; one that is added later is known as late.
    "predictions",
    "placement",
    "corpus.path",
    "skills.path",
    "model.path",
    "model.prompts",
    "principles",
    "engine.actors",
    "engine.gpus_per_actor",
    "engine.memory_gb",
    "engine.gpu_memory_share",
    "engine.attempts",
    "engine.shard_timeout_s",
    "engine.wait_s",
    "engine.error_budget",
    "engine.batch",
    "training.num_gpus",
    "training.at_once",
)


# Fields that a record of an earlier version lacks, with what they meant before they were there.
_SINCE: dict[str, Any] = {
    "training.workers": 1,
    "training.generation_0": "given",
    "training.at_once": 1,
    "source": "last",
    "predictions": [],
    "gate.expected_seed_sd": 0.004,
    "gate.expected_item_sd": 0.018,
    "gate.anchor_min_gain": 0.0,
    "gate.goodhart_min_gain": 0.01,
    "gate.anchor_room": 0.05,
    "skills.tasks": ["rate", "revise"],
}


def stage_settings(experiment: Experiment, stage: str) -> dict[str, Any]:
    """The settings on which a stage's result depends, by field name."""
    settings = {field: plain(_get(experiment, field)) for field in STAGE_FIELDS[stage]}
    for field in PLACEMENT:
        _drop(settings, field.split("."))
    if "harness" not in experiment.evaluation.tasks:
        _drop(settings, ["evaluation", "harness"])
    if "evaluation" in settings:
        # It is measured on corpora by stages of its own, and says nothing of a model.
        _drop(settings, ["evaluation", "instrumental"])
        tasks = settings["evaluation"]["tasks"]
        settings["evaluation"]["tasks"] = [name for name in tasks if name != "instrumental"]
    return settings


def twin_settings(experiment: Experiment) -> dict[str, Any]:
    """The settings on which a twin of the evaluation `instrumental` depends, by field name."""
    return {field: plain(_get(experiment, field)) for field in TWIN_FIELDS}


def _drop(settings: dict[str, Any], path: Sequence[str]) -> None:
    """Take a field out, where it is there."""
    *sections, name = path
    here: Any = settings
    for section in sections:
        here = here.get(section, {}) if isinstance(here, dict) else {}
    if isinstance(here, dict):
        here.pop(name, None)


def stage_fingerprints(experiment: Experiment) -> dict[str, str]:
    """Fingerprint of every stage's settings."""
    return {stage: digest_of(stage_settings(experiment, stage)) for stage in STAGE_FIELDS}


def differing_fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Fields, by dotted name, in which two resolved configs differ, with both values."""
    flat_old, flat_new = _flatten(old), _flatten(new)
    return {
        name: (flat_old.get(name), flat_new.get(name))
        for name in sorted(flat_old.keys() | flat_new.keys())
        if flat_old.get(name) != flat_new.get(name)
    }


def forks(difference: Mapping[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
    """The part of a difference that cannot be an extension of the same experiment."""
    return {
        name: values
        for name, values in difference.items()
        if not _extends(name, *values) and values != (None, _SINCE.get(name))
    }


def _extends(name: str, old: Any, new: Any) -> bool:
    if name in ("seeds", "arms"):
        return set(old) <= set(new)
    if name == "generations":
        return new >= old
    return any(name == field or name.startswith(f"{field}.") for field in EXTENDABLE)


def _flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat |= _flatten(item, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = plain(item)
    return flat


def _get(experiment: Experiment, field: str) -> Any:
    value: Any = experiment
    for part in field.split("."):
        value = getattr(value, part)
    return value
