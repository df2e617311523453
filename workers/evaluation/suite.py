"""Runs the evaluations that an experiment names, on one checkpoint or one corpus version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.experiment import Experiment
from configs.principles import Principles
from configs.prompts import PromptFile
from workers.checkpoints import CheckpointRef, load_tokenizer
from workers.corpora.store import CorpusRef
from workers.evaluation import text_tasks
from workers.evaluation.items import ITEMS_FILE, write_items
from workers.evaluation.measures import Measure
from workers.evaluation.sample_files import evaluation_files
from workers.evaluation.samples import samples
from workers.evaluation.subject import CORPUS_STAGE, PERSISTENCE, Subject, asked_engine
from workers.prompts import Prompts
from workers.records import MetricRow
from workers.sharing import MOUNTED, SharedStore


def _oracle(subject: Subject) -> list[Measure]:
    """The truth of a generated world: propensity, facts, and skill as rater and reviser."""
    # Imported when asked for, so that everything else runs with the oracle deleted.
    from workers.evaluation.oracle_tasks import model_measures

    return model_measures(subject)


def _deployment(subject: Subject) -> list[Measure]:
    """Propensity in formats that no training shows, and in contexts that call for misbehaviour."""
    from workers.evaluation.oracle_tasks import deployment

    return deployment(subject)


def _harness(subject: Subject) -> list[Measure]:
    """Tasks of lm-eval by log-likelihood: its own, shipped ones and those of `task_files`."""
    # Imported when asked for, because it takes seconds.
    from workers.evaluation.harness import measures

    return measures(subject)


TASKS: dict[str, Callable[[Subject], list[Measure]]] = {
    "bits_per_byte": text_tasks.bits_per_byte,
    "rater": text_tasks.rater,
    "pairs": text_tasks.pairs,
    "oracle": _oracle,
    "deployment": _deployment,
    "harness": _harness,
    "samples": samples,
}


# Before post-training a model is asked only what a model without the skills can answer.
CORPUS_STAGE_TASKS = ("bits_per_byte", "pairs", "oracle", "deployment", "harness")


@dataclass(frozen=True)
class EvaluateSpec:
    """A checkpoint to evaluate, and its state before post-training where there is one."""

    experiment: Experiment
    checkpoint: CheckpointRef
    corpus_stage: CheckpointRef | None
    held_out: CorpusRef | None
    prompt_file: PromptFile
    principles: Principles
    out: str
    """Folder for the items of every metric."""
    store: SharedStore = MOUNTED
    """What is read is fetched from it, and the items are published there."""
    persisted: CheckpointRef | None = None
    """The checkpoint after a training on unrelated texts, where there is one."""


def evaluate(
    spec: EvaluateSpec, progress: Callable[[str, int, int, dict[str, Any]], None]
) -> list[MetricRow]:
    """Run every evaluation on the checkpoint, its corpus stage, and what persisted of it.

    Items go to `items.parquet` in the spec's folder, for paired comparisons; what the model wrote
    to `samples.parquet` beside it.
    """
    subjects = [(spec.checkpoint, "")]
    if spec.corpus_stage is not None:
        subjects.append((spec.corpus_stage, CORPUS_STAGE))
    if spec.persisted is not None:
        subjects.append((spec.persisted, PERSISTENCE))
    # What is measured on corpora alone is none of a model's tasks.
    names = {"": tuple(name for name in spec.experiment.evaluation.tasks if name in TASKS)}
    # There is one file of samples, the finished model's.
    names[PERSISTENCE] = tuple(name for name in names[""] if name != "samples")
    names[CORPUS_STAGE] = tuple(name for name in names[""] if name in CORPUS_STAGE_TASKS)
    total, done = sum(len(names[variant]) for _, variant in subjects), 0
    measures: list[Measure] = []
    if spec.held_out is not None:
        spec.store.fetch_folder(spec.held_out.uri)
    for checkpoint, variant in subjects:
        subject = load_subject(spec, checkpoint, variant)
        for name in names[variant]:
            progress("evaluation tasks", done, total, {})
            measures += TASKS[name](subject)
            done += 1
        subject.engine.close()
    progress("evaluation tasks", done, total, {})
    write_items(Path(spec.out) / ITEMS_FILE, measures)
    for file in evaluation_files(names[""]):
        spec.store.publish_file(Path(spec.out) / file)
    return [measure.row for measure in measures]


def load_subject(spec: EvaluateSpec, checkpoint: CheckpointRef, variant: str = "") -> Subject:
    """Load a checkpoint, to be asked under the spec's settings."""
    settings = spec.experiment
    spec.store.fetch_folder(checkpoint.uri)
    engine = asked_engine(settings, checkpoint)
    prompts = Prompts(spec.prompt_file, spec.principles, load_tokenizer(checkpoint))
    return Subject(engine, prompts, settings, spec.held_out, variant, Path(spec.out))
