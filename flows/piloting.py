"""A pilot: what a document, a training token and an evaluation take on this machine, measured."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from configs.experiment import Experiment
from configs.principles import load_principles
from configs.prompts import load_prompts
from flows.trying import Asked, first_documents, try_documents
from workers.checkpoints import CheckpointRef, admit
from workers.corpora.intake import import_corpus
from workers.corpora.store import CorpusRef, iterate

STEPS = 12
"""Optimiser steps that are timed; the first two warm up."""
WARM = 2
Say = Callable[[str], None]


@dataclass(frozen=True)
class Pilot:
    """What was measured, on how many documents."""

    documents: int
    """Documents of corpus 0 that are rated and trained on."""
    sample: int
    """Documents that were rated and revised to measure it."""
    asked: dict[str, Asked]
    """What the sample took, by stage; the engine was started before."""
    failing: float
    """Share of documents that fell short."""
    accepted: float
    """Share of those whose revision was accepted."""
    start_s: float
    """Seconds in which an engine starts."""
    train_tokens_per_s: float
    evaluate_s: float
    """Seconds in which one model is evaluated."""


def pilot(experiment: Experiment, sample: int, documents: int | None, say: Say) -> Pilot:
    """Measure on the first documents of the corpus, in this process; nothing is recorded.

    Args:
        experiment: what is to be run.
        sample: documents to rate and revise.
        documents: size of the corpus, where it is not to be read whole for that.
        say: told what is measured now.

    Raises:
        InputProblem: corpus or model cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="palimpsest-pilot-") as folder:
        home = Path(folder)
        say("reading the corpus")
        held_out = None
        if documents is None:
            made = import_corpus(
                experiment.corpus, experiment.intake, experiment.seeds[0], home, lambda done: None
            )
            documents, held_out = made.corpus.documents, made.held_out
        corpus = first_documents(experiment, min(sample, documents), home)
        model = admit(experiment.model.path, experiment.model.revision, home)
        # Before the engine, which binds this process to its own cores.
        say(f"training for {STEPS} steps")
        speed = _train_speed(experiment, corpus, model)
        say("evaluating one model")
        seconds = _evaluate_seconds(experiment, model, held_out or corpus, home)
        say(f"rating and revising {corpus.documents} documents")
        trial = try_documents(experiment, corpus, home)
    tried = [row for _, row in trial.decided if row.principles]
    return Pilot(
        documents=documents,
        sample=len(trial.decided),
        asked=trial.asked,
        failing=len(tried) / len(trial.decided),
        accepted=sum(row.action == "revise" for row in tried) / max(1, len(tried)),
        start_s=trial.start_s,
        train_tokens_per_s=speed,
        evaluate_s=seconds,
    )


def _train_speed(experiment: Experiment, corpus: CorpusRef, checkpoint: CheckpointRef) -> float:
    """Tokens a second of training on the sample's documents, over and over."""
    from workers.checkpoints import load_model, load_tokenizer
    from workers.optimising import StagePlan, run_stage, settled
    from workers.packing import Row, whole_row
    from workers.prompts import Prompts

    prompts = Prompts(
        load_prompts(experiment.model.prompts),
        load_principles(experiment.principles),
        load_tokenizer(checkpoint),
    )
    training = experiment.training
    stage = training.corpus
    drawn: list[Row] = []
    tokens = 0
    for document in cycle(list(iterate(corpus))):
        drawn.append(whole_row(prompts.document(document.text)[: training.window]))
        tokens += len(drawn[-1].input_ids)
        if tokens >= STEPS * stage.batch_tokens:
            break
    moments: list[float] = []

    def rows() -> Iterator[Row]:
        yield from drawn

    with settled(training.threads):
        run_stage(
            load_model(checkpoint),
            StagePlan("corpus", stage, tokens, rows),
            training,
            experiment.seeds[0],
            lambda *_: None,
            lambda step: moments.append(time.perf_counter()),
        )
    timed = len(moments) - WARM
    return timed * stage.batch_tokens / (moments[-1] - moments[WARM - 1])


def _evaluate_seconds(
    experiment: Experiment, checkpoint: CheckpointRef, held_out: CorpusRef, home: Path
) -> float:
    from workers.evaluation.suite import EvaluateSpec, evaluate

    both = experiment.skills.source not in ("once", "none")
    spec = EvaluateSpec(
        experiment=experiment,
        checkpoint=checkpoint,
        # Models that learn in two stages are evaluated after either.
        corpus_stage=checkpoint if both else None,
        held_out=held_out,
        prompt_file=load_prompts(experiment.model.prompts),
        principles=load_principles(experiment.principles),
        out=str(home / "evaluate"),
    )
    began = time.perf_counter()
    evaluate(spec, lambda *_: None)
    return time.perf_counter() - began
