"""`preview`: the first documents of a corpus rated and revised, with nothing recorded."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from configs.experiment import Experiment
from configs.principles import load_principles
from configs.prompts import load_prompts
from flows.readers import OWN
from flows.steps import engine_spec
from flows.words import word_diff
from workers.assembling import decided
from workers.checkpoints import admit
from workers.corpora.intake import import_corpus
from workers.engines.start import start_engine
from workers.jobs import AcceptJob, Part, RateJob, shard_file
from workers.revise_job import ReviseJob
from workers.storage import write_table


def preview_documents(experiment: Experiment, count: int) -> list[dict[str, Any]]:
    """Rate and revise the first `count` documents in this process and return what became of them.

    Raises:
        InputProblem: corpus or model cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="palimpsest-preview-") as folder:
        home = Path(folder)
        limited = _limited(experiment, count)
        corpus = import_corpus(
            limited.corpus, limited.intake, experiment.seeds[0], home, lambda done: None
        ).corpus
        # The configured model is generation 0, and so `self` and `base` are the same here.
        reviser, model = experiment.revising.reviser, experiment.model
        named = (model.path, model.revision) if reviser in OWN else (reviser, None)
        checkpoint = admit(*named, home)
        spec = engine_spec(experiment, checkpoint)
        asking = {
            "corpus": corpus,
            "spec": spec,
            "prompt_file": load_prompts(experiment.model.prompts),
            "principles": load_principles(experiment.principles),
            "min_answer_mass": experiment.rating.min_answer_mass,
        }
        engine = start_engine(spec)
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
        # The configured model is generation 0, so that it is its own acceptance rater here.
        accepting = AcceptJob(
            **asking,
            out=str(home / "accept"),
            revisions=revising.out,
            acceptance=experiment.acceptance,
        )
        for job in (rating, revising, accepting):
            for shard, held in enumerate(corpus.shards):
                table = job.run(engine, Part(shard, 0, held.documents))
                write_table(shard_file(job.out, shard), table)
        engine.close()
        return [
            {
                "doc_id": document.doc_id,
                "action": row.action,
                "reason": row.reason,
                "principles": list(row.principles),
                "score_before": row.score_before,
                "score_after": row.score_after,
                "before": document.text,
                "proposed": row.text,
            }
            for document, row in decided(corpus, Path(accepting.out))
        ]


def _limited(experiment: Experiment, count: int) -> Experiment:
    """The experiment with a corpus of `count` documents, none of them set aside."""
    field = "documents" if experiment.corpus.kind == "microworld" else "limit"
    corpus = experiment.corpus.model_copy(update={field: count})
    intake = experiment.intake.model_copy(update={"held_out_share": 0.0})
    return experiment.model_copy(update={"corpus": corpus, "intake": intake})


def print_preview(rows: list[dict[str, Any]]) -> None:
    """Print each document with its scores, its action and a word diff."""
    console = Console(highlight=False)
    for row in rows:
        scores = " → ".join(
            "none" if row[name] is None else f"{row[name]:.2f}"
            for name in ("score_before", "score_after")
            if name == "score_before" or row["proposed"] is not None
        )
        said = f"{row['action']} {row['reason']}".strip()
        title = Text(f"{row['doc_id']}  score {scores}  {said}")
        console.print(Panel(_marked(row), title=title, title_align="left"))


def _marked(row: dict[str, Any]) -> Text:
    text = Text()
    styles = {"same": "", "removed": "red strike", "added": "green"}
    for kind, words in word_diff(row["before"], row["proposed"] or row["before"]):
        text.append(words, style=styles[kind])
    return text
