"""Rating AUC of chosen against rejected replies, on every pair of an experiment's dialogues.

python benchmarks/rating_auc.py configs/smollm2.yaml CHECKPOINT_FOLDER... --set model.path=...

The experiment's own evaluation reads `evaluation.pairs_limit` pairs with every model that it makes;
this reads all of them with the checkpoints named, through vLLM. A score is the lowest over
principles, as in a run. The error is DeLong's, as `workers.evaluation` computes it.
"""

from __future__ import annotations

import json
import time
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from configs.corpora import DialoguesCorpus
from configs.loading import load
from configs.principles import load_principles
from configs.prompts import load_prompts
from flows.steps import engine_spec
from workers.checkpoints import load_tokenizer, open_checkpoint
from workers.corpora.sources import dialogue_pairs
from workers.engines.start import start_engine
from workers.evaluation.measures import auc_measure
from workers.prompts import Prompts
from workers.rating import lowest, rate_texts


def main(
    config: Annotated[Path, typer.Argument(help="An experiment of dialogues.")],
    checkpoints: Annotated[list[Path], typer.Argument(help="Folders of checkpoints.")],
    overrides: Annotated[list[str] | None, typer.Option("--set", help="As in a run.")] = None,
    limit: Annotated[int | None, typer.Option(help="Pairs to read; all without it.")] = None,
) -> None:
    """Print a line of JSON for each checkpoint."""
    experiment = load(config, overrides or [])
    assert isinstance(experiment.corpus, DialoguesCorpus), "the corpus must be of dialogues"
    texts = [text for pair in islice(dialogue_pairs(experiment.corpus), limit) for text in pair]
    for folder in checkpoints:
        began = time.monotonic()
        checkpoint = open_checkpoint(folder)
        prompts = Prompts(
            load_prompts(experiment.model.prompts),
            load_principles(experiment.principles),
            load_tokenizer(checkpoint),
        )
        engine = start_engine(engine_spec(experiment, checkpoint))
        rows = rate_texts(
            engine,
            prompts,
            texts,
            min_answer_mass=experiment.rating.min_answer_mass,
            max_length=experiment.model.max_length,
        )
        engine.close()
        scores = [lowest({name: score for name, (score, _) in row.items()}) for row in rows]
        measure = auc_measure("pairs", "pairs/rating_auc", scores[::2], scores[1::2], "")
        known = sorted(score for score in scores if score is not None)
        typer.echo(
            json.dumps(
                {
                    "checkpoint": checkpoint.id,
                    "pairs": len(texts) // 2,
                    "rating_auc": measure.row.value,
                    "stderr": measure.row.stderr,
                    "unscored": measure.row.unscored,
                    "score_quartiles": [known[len(known) * i // 4] for i in (1, 2, 3)],
                    "under_threshold": sum(s < experiment.rating.threshold for s in known)
                    / len(known),
                    "seconds": round(time.monotonic() - began),
                }
            )
        )


if __name__ == "__main__":
    typer.run(main)
