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
    "label": (
        *_ASKING,
        "rating.threshold",
        "revising.max_tokens",
        "acceptance",
        "training.window",
    ),
    "assemble": ("intake.shard_documents",),
    "train": ("training", "mix", "model.max_length"),
    "evaluate": ("evaluation", "model.dtype", "model.max_length", "rating", "revising"),
    "relearn": (
        "evaluation.relearning",
        "evaluation.items",
        "model.dtype",
        "training.dtype",
        "training.weight_decay",
        "training.max_grad_norm",
    ),
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
    # A fine-tune is the corpus stage of a training of its own; a frame enters by its text, and what
    # persistence makes by its digest.
    "training.fine_tune",
    "training.framing",
    "evaluation.persistence",
    # Who reads enters as a checkpoint, and what a cascade lets pass by its classifier.
    "revising.reviser",
    "rating.cascade",
    "evaluation.batch",
    "evaluation.harness.batch",
    # What their files hold is in the recipe by content.
    "evaluation.harness.data",
    "evaluation.harness.task_files",
    # It decides on documents of a mix, and enters a training by their ids.
    "evaluation.decontaminate",
    "corpus.path",
)
# Evaluations that are stages of their own, with settings of their own.
APART = ("relearning", "instrumental")
# What may change between runs of one experiment without forking it. Contents behind a path are
# compared by digest.
EXTENDABLE = (
    "generations",
    "seeds",
    "arms",
    "evaluation",
    # Those on record stay with their time; one that is added later is known as late.
    "predictions",
    "budget",
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
    "engine.draft_tokens",
    "engine.answers_gb",
    "training.num_gpus",
    "training.at_once",
)
# What inside those decides what models are trained on, and so forks all the same.
FORKING = ("evaluation.decontaminate",)


# Fields that a record of an earlier version lacks, with what they meant before they were there:
# such a value is in no recipe, so that what was made before is found again.
_SINCE: dict[str, Any] = {
    "training.workers": 1,
    "training.generation_0": "given",
    "training.at_once": 1,
    "training.entry": "throughout",
    "training.order": "mixed",
    "training.fine_tune.tokens": 15_000,
    "training.fine_tune.learning_rate": 0.0002,
    "training.fine_tune.batch_tokens": 2048,
    "training.fine_tune.warmup_steps": 2,
    "training.fine_tune.loss": "tokens",
    "training.replay": 0.0,
    "source": "last",
    "predictions": [],
    "gate.expected_seed_sd": 0.004,
    "gate.expected_item_sd": 0.018,
    "gate.anchor_min_gain": 0.0,
    "gate.goodhart_min_gain": 0.01,
    "gate.anchor_room": 0.05,
    "skills.tasks": ["rate", "revise"],
    "revising.candidates": 1,
    "revising.quantile": 1,
    "revising.reviser": "self",
    "evaluation.decontaminate": False,
}


def stage_settings(experiment: Experiment, stage: str) -> dict[str, Any]:
    """The settings on which a stage's result depends, by field name."""
    settings = {field: plain(_get(experiment, field)) for field in STAGE_FIELDS[stage]}
    for field in PLACEMENT:
        _drop(settings, field.split("."))
    for field, before in _SINCE.items():
        # What evaluation asks a reviser for is one answer, the likeliest.
        unasked = stage == "evaluate" and field in ("revising.candidates", "revising.quantile")
        if unasked or plain(_get(experiment, field)) == before:
            _drop(settings, field.split("."))
    for task in ("harness", "samples"):
        if task not in experiment.evaluation.tasks:
            _drop(settings, ["evaluation", task])
    if "evaluation" in settings:
        # These are stages of their own, so that asking for them repeats no other evaluation.
        for task in APART:
            _drop(settings, ["evaluation", task])
        tasks = settings["evaluation"]["tasks"]
        settings["evaluation"]["tasks"] = [task for task in tasks if task not in APART]
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
    if name in FORKING:
        return False
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
