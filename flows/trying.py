"""A trial: a few documents rated, revised and judged in this process, with nothing recorded."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.experiment import Experiment
from configs.principles import load_principles
from configs.prompts import load_prompts
from flows.readers import OWN
from flows.steps import engine_spec
from workers.assembling import decided
from workers.checkpoints import CheckpointRef, admit
from workers.cores import ClaimedCores
from workers.corpora.intake import import_corpus
from workers.corpora.store import CorpusRef
from workers.engines.interface import Engine, Usage
from workers.engines.start import start_engine
from workers.jobs import AcceptJob, Job, Part, RateJob, shard_file
from workers.records import Document, Revision
from workers.revise_job import ReviseJob
from workers.storage import write_table


@dataclass(frozen=True)
class Asked:
    """What one stage of a trial took."""

    usage: Usage
    seconds: float


@dataclass(frozen=True)
class Trial:
    """What became of a few documents, and what it took."""

    start_s: float
    """Seconds in which the engine started."""
    asked: dict[str, Asked]
    """By stage: `rate`, `revise` and, where the experiment has an acceptance rater, `accept`."""
    decided: list[tuple[Document, Revision]]


def first_documents(experiment: Experiment, count: int, home: Path) -> CorpusRef:
    """Take the first `count` documents of the corpus in, none of them held out.

    Raises:
        InputProblem: the corpus cannot be used.
    """
    field = "documents" if experiment.corpus.kind == "microworld" else "limit"
    corpus = experiment.corpus.model_copy(update={field: count})
    intake = experiment.intake.model_copy(update={"held_out_share": 0.0})
    return import_corpus(corpus, intake, experiment.seeds[0], home, lambda done: None).corpus


def try_documents(experiment: Experiment, corpus: CorpusRef, home: Path) -> Trial:
    """Rate, revise and judge documents as the arm `revise` does in its first generation.

    Args:
        experiment: says how.
        corpus: the documents.
        home: a folder for checkpoint and outputs.

    Raises:
        InputProblem: the model cannot be used.
    """
    # The configured model is generation 0, and so `self` and `base` are the same here.
    reviser, model = experiment.revising.reviser, experiment.model
    named = (model.path, model.revision) if reviser in OWN else (reviser, None)
    checkpoint = admit(*named, home)
    jobs = _jobs(experiment, corpus, checkpoint, home)
    began = time.perf_counter()
    cores = ClaimedCores(0, experiment.engine.threads).cores
    engine = start_engine(engine_spec(experiment, checkpoint), cores)
    start_s = time.perf_counter() - began
    asked = {name: _done(job, engine) for name, job in jobs.items()}
    engine.close()
    last = Path(list(jobs.values())[-1].out)
    return Trial(start_s, asked, list(decided(corpus, last)))


def _jobs(
    experiment: Experiment, corpus: CorpusRef, checkpoint: CheckpointRef, home: Path
) -> dict[str, Job]:
    asking: dict[str, Any] = {
        "corpus": corpus,
        "spec": engine_spec(experiment, checkpoint),
        "prompt_file": load_prompts(experiment.model.prompts),
        "principles": load_principles(experiment.principles),
        "min_answer_mass": experiment.rating.min_answer_mass,
    }
    rating = RateJob(**asking, out=str(home / "rate"))
    revising = ReviseJob(
        **asking,
        out=str(home / "revise"),
        ratings=rating.out,
        threshold=experiment.rating.threshold,
        mode=experiment.revising.mode,
        max_tokens=experiment.revising.max_tokens,
        temperature=experiment.revising.temperature,
        tag=experiment.revising.tag,
        acceptance=experiment.acceptance,
        seed=experiment.seeds[0],
        candidates=experiment.revising.candidates,
        quantile=experiment.revising.quantile,
    )
    jobs: dict[str, Job] = {"rate": rating, "revise": revising}
    if experiment.acceptance.rater == "base":
        # The configured model is generation 0, so that it is its own acceptance rater here.
        jobs["accept"] = AcceptJob(
            **asking,
            out=str(home / "accept"),
            revisions=revising.out,
            acceptance=experiment.acceptance,
        )
    return jobs


def _done(job: Job, engine: Engine) -> Asked:
    before, began = engine.usage.copy(), time.perf_counter()
    shards: Sequence[Any] = job.corpus.shards
    for shard, held in enumerate(shards):
        table = job.run(engine, Part(shard, 0, held.documents))
        write_table(shard_file(job.out, shard), table)
    return Asked(engine.usage.since(before), time.perf_counter() - began)
