"""Jobs: what an engine-owning actor does with a part of a shard. Paths go in, a table comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Protocol

import pyarrow as pa

from configs.asking import Acceptance
from configs.principles import Principles
from configs.prompts import PromptFile
from workers.acceptance import Rules, refused_for_scores
from workers.candidates import DRAWN, Candidate, judge, take
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
    text_digest,
    to_table,
)
from workers.revising import Proposal, Request, propose
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
        if engine is None or self.spec is None:
            raise RuntimeError("rating asks a model")
        documents = self.documents(part)
        found = rate_texts(
            engine,
            self.prompts,
            [document.text for document in documents],
            min_answer_mass=self.min_answer_mass,
            max_length=self.spec.max_length,
        )
        rater = self.spec.checkpoint_id
        rows: list[Rating] = []
        for document, scores in zip(documents, found, strict=True):
            rows += ratings_of(document.doc_id, document.text, scores, rater)
        return to_table(rows, RATINGS)

    def give_up(self, part: Part, why: str) -> pa.Table:
        """Return ratings without a score."""
        rater = self.spec.checkpoint_id if self.spec else ""
        nothing: tuple[float | None, RatingStatus] = (None, "engine_error")
        failed = {p.id: nothing for p in self.principles.principles}
        rows: list[Rating] = []
        for document in self.documents(part):
            rows += ratings_of(document.doc_id, document.text, failed, rater)
        return to_table(rows, RATINGS)


@dataclass(frozen=True)
class ReviseJob(Asking):
    """Decides what becomes of each document, and proposes a revision where that is called for."""

    ratings: str
    """Folder of the ratings that are acted on."""
    threshold: float
    mode: str
    """`edits`, `rewrite`, `tag` or `drop`; only the first two ask the model."""
    max_tokens: int
    temperature: float
    tag: str
    acceptance: Acceptance
    seed: int
    aim: Aim = "revise"
    """What documents are written anew for, where `mode` asks the model."""
    candidates: int = 1
    """Proposals drawn for each document."""
    quantile: float = 1.0
    """Which of those that pass is taken, by rating; 1 is the best."""

    ASKING_MODES: ClassVar[tuple[str, ...]] = ("edits", "rewrite")

    def run(self, engine: Engine | None, part: Part) -> pa.Table:
        """Return one row for each document of the part."""
        documents = self.documents(part)
        scores = self._ratings(part)
        rows: dict[str, Revision] = {}
        requests: list[Request] = []
        for document in documents:
            outcome = self._sort(document, scores[document.doc_id])
            if isinstance(outcome, Request):
                requests.append(outcome)
            else:
                rows[document.doc_id] = outcome
        drawn: Mapping[str, Sequence[Candidate]] = {}
        if requests and engine is not None:
            drawn = self._candidates(engine, requests, scores)
            rows |= {r.doc_id: self._chosen(r, scores[r.doc_id], drawn[r.doc_id]) for r in requests}
        return self._table([rows[document.doc_id] for document in documents], drawn)

    def give_up(self, part: Part, why: str) -> pa.Table:
        """Quarantine the part's documents."""
        rows = [
            _row(document.doc_id, document.text_sha256, action="quarantine", reason=why)
            for document in self.documents(part)
        ]
        return self._table(rows, {})

    def _ratings(self, part: Part) -> dict[str, list[Rating]]:
        found: dict[str, list[Rating]] = {}
        path = self.store.fetch_file(shard_file(self.ratings, part.shard))
        for rating in from_table(read_table(path), Rating):
            found.setdefault(rating.doc_id, []).append(rating)
        return found

    def _sort(self, document: Document, ratings: list[Rating]) -> Revision | Request:
        """Decide on a document from its ratings; a request is left to the model."""
        scores = {rating.principle: rating.score for rating in ratings}
        base = _row(document.doc_id, document.text_sha256, score_before=lowest(scores))
        bad = next((rating.status for rating in ratings if rating.status != "ok"), None)
        if bad == "engine_error":
            return replace(base, action="quarantine", reason="engine_error while rating")
        if bad is not None:
            return replace(base, reason=f"not rated: {bad}")
        failing = tuple(p for p, s in scores.items() if s is not None and self._fails(s))
        if not failing:
            return base
        base = replace(base, principles=failing)
        if self.mode == "drop":
            return replace(base, action="drop", reason="under the threshold")
        if self.mode == "tag":
            text = f"{self.tag}\n{document.text}"
            if document.text.startswith(f"{self.tag}\n"):
                return replace(base, reason="tagged before")
            digest = text_digest(text)
            return replace(
                base, action="tag", reason="under the threshold", text=text, after_sha256=digest
            )
        return Request(document.doc_id, document.text, failing)

    def _fails(self, score: float) -> bool:
        """Whether a document falls short; of inverted principles, where it does well."""
        return (1.0 - score if self.aim == "invert" else score) < self.threshold

    def _candidates(
        self, engine: Engine, requests: list[Request], ratings: dict[str, list[Rating]]
    ) -> dict[str, Sequence[Candidate]]:
        """Draw every document's candidates, one for each at a time, and have them judged."""
        before = [{r.principle: r.score for r in ratings[each.doc_id]} for each in requests]
        rules = Rules.build(self.acceptance, self.prompts)
        drawn = [
            judge(
                requests,
                self._propose(engine, requests, number),
                before,
                lambda texts: self.scores(engine, texts),
                rules,
                self.aim,
            )
            for number in range(self.candidates)
        ]
        return {r.doc_id: each for r, each in zip(requests, zip(*drawn, strict=True), strict=True)}

    def _propose(self, engine: Engine, requests: list[Request], number: int) -> list[Proposal]:
        spec = self.spec
        return propose(
            engine,
            self.prompts,
            requests,
            mode=self.mode,
            aim=self.aim,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            max_length=spec.max_length if spec else 0,
            seeds={r.doc_id: _sampling_seed(self.seed, r.doc_id, number) for r in requests},
        )

    def _chosen(
        self, request: Request, ratings: list[Rating], candidates: Sequence[Candidate]
    ) -> Revision:
        """The row of a document whose candidates are judged; it took the tokens of all."""
        taken = take(candidates, self.quantile, self.aim)
        row = _row(
            request.doc_id,
            text_digest(request.text),
            action="keep" if taken.refused else "revise",
            reason=taken.refused or "accepted",
            principles=request.principles,
            score_before=lowest({rating.principle: rating.score for rating in ratings}),
            tokens_in=sum(each.proposal.tokens_in for each in candidates),
            tokens_out=sum(each.proposal.tokens_out for each in candidates),
        )
        return replace(
            row,
            text=taken.text,
            after_sha256=None if taken.text is None else text_digest(taken.text),
            similarity=taken.similarity,
            score_after=taken.score,
        )

    def _table(
        self, rows: Sequence[Revision], drawn: Mapping[str, Sequence[Candidate]]
    ) -> pa.Table:
        """The decisions; where there was a choice, with all that there was to choose from."""
        table = to_table(rows, REVISIONS)
        if self.candidates == 1:
            return table
        found = [[each.as_row() for each in drawn.get(row.doc_id, ())] for row in rows]
        return table.append_column(DRAWN, pa.array(found, type=DRAWN.type))


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


def _row(
    doc_id: str,
    before: str,
    *,
    action: str = "keep",
    reason: str = "",
    principles: tuple[str, ...] = (),
    score_before: float | None = None,
    tokens_in: int = 0,
    tokens_out: int = 0,
) -> Revision:
    return Revision(
        doc_id=doc_id,
        before_sha256=before,
        after_sha256=None,
        text=None,
        action=action,  # pyright: ignore[reportArgumentType]
        reason=reason,
        principles=principles,
        score_before=score_before,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
    )


def _sampling_seed(seed: int, doc_id: str, number: int) -> int:
    """A seed of its own for each document and candidate: batches and shards do not matter."""
    # The first one's is what it was before there were others.
    what = f"{seed}|{doc_id}|{number}" if number else f"{seed}|{doc_id}"
    return int(text_digest(what)[:8], 16) & 0x7FFFFFFF
