"""The job of revising: what becomes of each document of a part, and its proposals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import pyarrow as pa

from configs.asking import Acceptance
from workers.acceptance import Rules
from workers.candidates import DRAWN, Candidate, judge, take
from workers.engines.interface import Engine
from workers.jobs import Asking, Part, shard_file
from workers.rating import lowest
from workers.records import (
    REVISIONS,
    Aim,
    Document,
    Rating,
    Revision,
    from_table,
    text_digest,
    to_table,
)
from workers.revising import Proposal, Request, propose
from workers.storage import read_table


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
        if bad == "settled":
            return replace(base, reason="let pass by the classifier")
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
