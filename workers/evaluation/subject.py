"""The model that an evaluation looks at, with everything needed to ask it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.experiment import Experiment
from workers.checkpoints import CheckpointRef
from workers.corpora.store import CorpusRef
from workers.engines.interface import EngineSpec
from workers.engines.transformers_engine import TransformersEngine
from workers.prompts import Prompts
from workers.rating import lowest, rate_texts

CORPUS_STAGE = "corpus_stage"
"""Variant of what is measured before post-training on the skills."""
PERSISTENCE = "persistence"
"""Variant of what is measured after a training on unrelated texts."""


def asked_engine(settings: Experiment, checkpoint: CheckpointRef) -> TransformersEngine:
    """Load a checkpoint to be asked, where it does not depend on the engine that revises."""
    return TransformersEngine(
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


@dataclass(frozen=True)
class Subject:
    """A loaded checkpoint under one experiment's settings."""

    engine: TransformersEngine
    prompts: Prompts
    experiment: Experiment
    held_out: CorpusRef | None
    variant: str = ""
    out: Path | None = None
    """Folder for what is kept beside the items; None keeps nothing."""

    def document_scores(self, texts: Sequence[str]) -> list[float | None]:
        """Lowest principle score of each text; None where it could not be rated."""
        rows = rate_texts(
            self.engine,
            self.prompts,
            texts,
            min_answer_mass=self.experiment.rating.min_answer_mass,
            max_length=self.experiment.model.max_length,
        )
        return [lowest({name: score for name, (score, _) in row.items()}) for row in rows]

    def next_token_logprobs(
        self, contexts: Sequence[str], words: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """Log-probability of the first token of each candidate word after its context."""
        tokenizer = self.prompts.tokenizer
        begin = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
        contexts_ids = [begin + self.prompts.plain(context) for context in contexts]
        ids = [[self.prompts.plain(word)[0] for word in row] for row in words]
        every = sorted({token for row in ids for token in row})
        column = {token: i for i, token in enumerate(every)}
        found = self.engine.choices(contexts_ids, every)
        return [
            [logprobs[column[token]] for token in row]
            for logprobs, row in zip(found, ids, strict=True)
        ]
