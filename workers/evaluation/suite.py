"""Runs the evaluations that an experiment names, on one checkpoint or one corpus version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from configs.experiment import Experiment
from configs.principles import Principles
from configs.prompts import PromptFile
from workers.checkpoints import CheckpointRef, load_tokenizer
from workers.corpora.store import CorpusRef
from workers.engines.interface import EngineSpec
from workers.engines.transformers_engine import TransformersEngine
from workers.evaluation import text_tasks
from workers.evaluation.measures import Measure
from workers.evaluation.subject import Subject
from workers.mixing import iterate_mix, open_mix
from workers.prompts import Prompts
from workers.records import MetricRow
from workers.storage import read_table, write_table

# Raised whenever equal inputs would give other numbers; part of the stage's recipe.
EVALUATION_VERSION = "1"
CORPUS_STAGE = "corpus_stage"

ITEMS = pa.schema(
    [
        pa.field("metric", pa.string(), nullable=False),
        pa.field("variant", pa.string(), nullable=False),
        pa.field("item", pa.int32(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("weight", pa.float64(), nullable=False),
    ]
)


def _oracle(subject: Subject) -> list[Measure]:
    # Imported when asked for, so that everything else runs with the oracle deleted.
    from workers.evaluation.oracle_tasks import model_measures

    return model_measures(subject)


TASKS: dict[str, Callable[[Subject], list[Measure]]] = {
    "bits_per_byte": text_tasks.bits_per_byte,
    "rater": text_tasks.rater,
    "pairs": text_tasks.pairs,
    "oracle": _oracle,
}


# Before post-training a model is asked only what a model without the skills can answer.
CORPUS_STAGE_TASKS = ("bits_per_byte", "pairs", "oracle")


@dataclass(frozen=True)
class CorpusCensus:
    """Corpora to count over; with a mix, weighted by the tokens that training drew from each."""

    parts: tuple[tuple[CorpusRef, bool | None], ...]
    """Corpora, each with whether its documents stand in the mix as real ones."""
    mix_uri: str | None = None


def corpus_census(census: CorpusCensus) -> list[MetricRow]:
    """True misaligned share of a microworld corpus."""
    from workers.evaluation.oracle_tasks import corpus_share

    return [corpus_share(corpus) for corpus, _ in census.parts]


def training_census(census: CorpusCensus) -> list[MetricRow]:
    """True misaligned share of the tokens that a corpus stage saw."""
    from workers.evaluation.oracle_tasks import training_share

    drawn: dict[bool, dict[str, int]] = {True: {}, False: {}}
    for row in iterate_mix(open_mix(census.mix_uri or "")):
        seen = drawn[row.real]
        seen[row.doc_id] = seen.get(row.doc_id, 0) + len(row.input_ids)
    return [training_share((corpus, drawn[bool(real)]) for corpus, real in census.parts)]


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


def evaluate(
    spec: EvaluateSpec, progress: Callable[[str, int, int, dict[str, Any]], None]
) -> list[MetricRow]:
    """Run every evaluation on the checkpoint and on its corpus stage.

    Items go to `items.parquet` in the spec's folder, for paired comparisons.
    """
    subjects = [(spec.checkpoint, "")]
    if spec.corpus_stage is not None:
        subjects.append((spec.corpus_stage, CORPUS_STAGE))
    names = {"": spec.experiment.evaluation.tasks}
    names[CORPUS_STAGE] = tuple(name for name in names[""] if name in CORPUS_STAGE_TASKS)
    total, done = sum(len(names[variant]) for _, variant in subjects), 0
    measures: list[Measure] = []
    for checkpoint, variant in subjects:
        subject = _load(spec, checkpoint, variant)
        for name in names[variant]:
            progress("evaluation tasks", done, total, {})
            measures += TASKS[name](subject)
            done += 1
        subject.engine.close()
    progress("evaluation tasks", done, total, {})
    write_items(Path(spec.out) / "items.parquet", measures)
    return [measure.row for measure in measures]


def _load(spec: EvaluateSpec, checkpoint: CheckpointRef, variant: str) -> Subject:
    settings = spec.experiment
    engine = TransformersEngine(
        EngineSpec(
            kind="transformers",
            checkpoint_uri=checkpoint.uri,
            checkpoint_id=checkpoint.id,
            dtype=settings.model.dtype,
            max_length=settings.model.max_length,
            threads=settings.training.threads,
            batch=settings.evaluation.batch,
        )
    )
    prompts = Prompts(spec.prompt_file, spec.principles, load_tokenizer(checkpoint))
    return Subject(engine, prompts, settings, spec.held_out, variant)


def write_items(path: Path, measures: list[Measure]) -> None:
    """Keep the items of the measures that have any."""
    held = [
        (m.row.metric, m.row.variant, i, value, weight)
        for m in measures
        for i, (value, weight) in enumerate(zip(m.values, m.weights, strict=True))
    ]
    columns = list(zip(*held, strict=True)) or [()] * len(ITEMS)
    arrays = [pa.array(column, type=f.type) for column, f in zip(columns, ITEMS, strict=True)]
    write_table(path, pa.Table.from_arrays(arrays, schema=ITEMS))


def read_items(path: Path, metric: str, variant: str = "") -> tuple[list[float], list[float]]:
    """Values and weights of a metric's items, in item order; empty where it has none."""
    table = read_table(path)
    rows = [
        (row["item"], row["value"], row["weight"])
        for row in table.to_pylist()
        if row["metric"] == metric and row["variant"] == variant
    ]
    rows.sort()
    return [row[1] for row in rows], [row[2] for row in rows]
