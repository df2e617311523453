"""Jobs: what an engine-owning actor does with a part of a shard. Paths go in, a table comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from configs.asking import Acceptance
from configs.principles import Principles
from configs.prompts import PromptFile
from workers.acceptance import refused_for_scores
from workers.corpora.store import CorpusRef
from workers.engines.interface import Engine, EngineSpec
from workers.prompts import Prompts
from workers.rating import lowest, rate_texts, ratings_of
from workers.records import (
    DOCUMENTS,
    RATINGS,
    REVISIONS,
    Aim,
    Document,
    Rating,
    RatingStatus,
    Revision,
    from_table,
    to_table,
)
from workers.sharing import MOUNTED, SharedStore
from workers.storage import read_table


@dataclass(frozen=True, slots=True)
class Part:
    """Rows `start` to `stop` - 1 of a shard; a shard that fails again and again is split."""

    shard: int
    start: int
    stop: int
    attempt: int = 1

    @property
    def documents(self) -> int:
        """Number of documents."""
        return self.stop - self.start


def shard_file(folder: str | Path, shard: int) -> Path:
    """Where a stage's output for a shard stands."""
    return Path(folder) / shard_name(shard)


def shard_name(shard: int) -> str:
    """What the file of a shard's output is called."""
    return f"shard-{shard:05d}.parquet"


class Job(Protocol):
    """Work on the shards of one corpus version."""

    @property
    def corpus(self) -> CorpusRef:
        """The corpus version whose shards are worked on."""
        ...

    @property
    def spec(self) -> EngineSpec | None:
        """The engine it needs; None where no model is asked."""
        ...

    @property
    def out(self) -> str:
        """Folder for its output, a file for each shard."""
        ...

    @property
    def store(self) -> SharedStore:
        """Where nodes leave their output for each other."""
        ...

    def run(self, engine: Engine | None, part: Part) -> pa.Table:
        """Do the work of a part."""
        ...

    def give_up(self, part: Part, why: str) -> pa.Table:
        """Say of the part's documents that the engine fails on them."""
        ...


@dataclass(frozen=True)
class Asking:
    """What jobs that ask a model share: a corpus, an engine and its prompts."""

    corpus: CorpusRef
    out: str
    spec: EngineSpec | None
    prompt_file: PromptFile
    principles: Principles
    min_answer_mass: float
    store: SharedStore = field(default=MOUNTED, kw_only=True)
    """What is read is fetched from it, on a node that lacks it."""

    @cached_property
    def prompts(self) -> Prompts:
        """The prompts of the engine's model."""
        # Imported here: an actor that asks no model starts without loading torch.
        from workers.checkpoints import CheckpointRef, load_tokenizer

        if self.spec is None:
            raise RuntimeError("this job asks no model")
        tokenizer = load_tokenizer(CheckpointRef(self.spec.checkpoint_id, self.spec.checkpoint_uri))
        return Prompts(self.prompt_file, self.principles, tokenizer)

    def documents(self, part: Part) -> list[Document]:
        """Read the part's documents."""
        path, shard = self.corpus.shard_path(part.shard), self.corpus.shards[part.shard]
        table = read_table(self.store.fetch_file(path, shard.digest)).select(DOCUMENTS.names)
        return list(from_table(table.slice(part.start, part.documents), Document))

    def scores(self, engine: Engine, texts: Sequence[str]) -> list[dict[str, float | None]]:
        """Scores of texts on every principle; None where a text could not be rated."""
        spec = self.spec
        rows = rate_texts(
            engine,
            self.prompts,
            texts,
            min_answer_mass=self.min_answer_mass,
            max_length=spec.max_length if spec else 0,
        )
        return [{name: score for name, (score, _) in row.items()} for row in rows]


@dataclass(frozen=True)
class RateJob(Asking):
    """Rates every document on every principle."""

    def run(self, engine: Engine | None, part: Part) -> pa.Table:
        """Return the part's ratings, a row for each document and principle."""
        return to_table(self.rated(engine, self.documents(part)), RATINGS)

    def give_up(self, part: Part, why: str) -> pa.Table:
        """Return ratings without a score."""
        return to_table(self.unrated(self.documents(part)), RATINGS)

    def rated(self, engine: Engine | None, documents: Sequence[Document]) -> list[Rating]:
        """The model's ratings of documents, those of one side by side."""
        if engine is None or self.spec is None:
            raise RuntimeError("rating asks a model")
        found = rate_texts(
            engine,
            self.prompts,
            [document.text for document in documents],
            min_answer_mass=self.min_answer_mass,
            max_length=self.spec.max_length,
        )
        rows: list[Rating] = []
        for document, scores in zip(documents, found, strict=True):
            rows += ratings_of(document.doc_id, document.text, scores, self.spec.checkpoint_id)
        return rows

    def unrated(
        self,
        documents: Sequence[Document],
        status: RatingStatus = "engine_error",
        rater: str | None = None,
    ) -> list[Rating]:
        """Ratings without a score, of the model where no other rater is named."""
        who = rater or (self.spec.checkpoint_id if self.spec else "")
        nothing: tuple[float | None, RatingStatus] = (None, status)
        scores = {p.id: nothing for p in self.principles.principles}
        return [
            row for each in documents for row in ratings_of(each.doc_id, each.text, scores, who)
        ]


@dataclass(frozen=True)
class AcceptJob(Asking):
    """Lets the acceptance rater judge the revisions that the self-rater let pass."""

    revisions: str
    """Folder of the proposals."""
    acceptance: Acceptance
    aim: Aim = "revise"
    """What the documents were written anew for."""

    def run(self, engine: Engine | None, part: Part) -> pa.Table:
        """Return the part's rows with the acceptance rater's verdicts."""
        rows = self._proposals(part)
        chosen = [i for i, row in enumerate(rows) if row.action == "revise"]
        if engine is None or not chosen:
            return to_table(rows, REVISIONS)
        texts = {document.doc_id: document.text for document in self.documents(part)}
        before = self.scores(engine, [texts[rows[i].doc_id] for i in chosen])
        after = self.scores(engine, [rows[i].text or "" for i in chosen])
        for i, old, new in zip(chosen, before, after, strict=True):
            # The acceptance rater may find that the original was good: then no gain is possible,
            # and the original stays.
            refused = refused_for_scores(
                "acceptance rater", old, new, rows[i].principles, self.acceptance, self.aim
            )
            row = replace(rows[i], acceptance_before=lowest(old), acceptance_after=lowest(new))
            rows[i] = replace(row, action="keep", reason=refused) if refused else row
        return to_table(rows, REVISIONS)

    def give_up(self, part: Part, why: str) -> pa.Table:
        """Quarantine the part's revised documents; nothing is asked about the rest."""
        rows = [
            replace(row, action="quarantine", reason=why) if row.action == "revise" else row
            for row in self._proposals(part)
        ]
        return to_table(rows, REVISIONS)

    def _proposals(self, part: Part) -> list[Revision]:
        table = read_table(self.store.fetch_file(shard_file(self.revisions, part.shard)))
        return list(from_table(table.slice(part.start, part.documents), Revision))
