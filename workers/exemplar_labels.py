"""Labelling exemplars: the texts of the skills set, answered by the model that teaches the next.

Self-training on one's own answers, kept where a test passes (STaR: Zelikman et al., 2022,
https://arxiv.org/abs/2203.14465, is the same for reasons given to problems), but with no truth to
test against: a rating is taken as it is, and a revision has to pass the model's own rating.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from configs.asking import Acceptance
from workers.acceptance import Rules
from workers.candidates import Candidate, judge
from workers.corpora.store import CorpusRef, ShardRef
from workers.engines.interface import Engine
from workers.jobs import Asking, Part, shard_name
from workers.problems import WorkProblem
from workers.rating import weighted_score
from workers.records import AIMS, Aim, Exemplar, from_table, to_table
from workers.revising import Request, propose
from workers.skills import SkillsSet
from workers.storage import read_table

EXEMPLARS_A_SHARD = 512
GIVEN = "given"
_FIGURE = re.compile(r" [\d.]+$")
LABELS = pa.schema(
    [
        pa.field("task", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("principles", pa.list_(pa.string()), nullable=False),
        pa.field("answer", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class Label:
    """An exemplar with a model's answer; None where there is none that may be taught, and why."""

    task: str
    text: str
    principles: tuple[str, ...]
    answer: str | None
    reason: str = GIVEN


def shards_of(exemplars: Sequence[Exemplar], digest: str, out: str) -> CorpusRef:
    """A skills set as shards for the pool; only their sizes are read, for the job holds the set."""
    counts = [
        min(EXEMPLARS_A_SHARD, len(exemplars) - start)
        for start in range(0, len(exemplars), EXEMPLARS_A_SHARD)
    ]
    shards = tuple(ShardRef(shard_name(i), digest, count) for i, count in enumerate(counts))
    return CorpusRef(digest, out, shards, len(exemplars))


@dataclass(frozen=True)
class LabelJob(Asking):
    """Answers exemplars: ratings by the likeliest answer, rewritings by the likeliest reply."""

    exemplars: tuple[Exemplar, ...]
    threshold: float
    """A text that rates itself at least so high may be answered with nothing to change."""
    max_tokens: int
    acceptance: Acceptance
    window: int
    """Longest question and answer together, in tokens, that training can read."""

    def run(self, engine: Engine | None, part: Part) -> pa.Table:
        """Return a row for each exemplar of the part."""
        if engine is None:
            raise RuntimeError("labelling asks a model")
        own = self._own(part)
        rows: dict[int, Label] = {}
        rating = [i for i, each in enumerate(own) if each.task == "rate"]
        rows |= zip(rating, self._rated(engine, [own[i] for i in rating]), strict=True)
        for aim in AIMS:
            asked = [i for i, each in enumerate(own) if each.task == aim]
            rows |= zip(asked, self._rewritten(engine, [own[i] for i in asked], aim), strict=True)
        return to_table([self._short(rows[i]) for i in range(len(own))], LABELS)

    def give_up(self, part: Part, why: str) -> pa.Table:
        """Leave the part's exemplars out."""
        return to_table([_label(each, None, why) for each in self._own(part)], LABELS)

    def _own(self, part: Part) -> tuple[Exemplar, ...]:
        first = part.shard * EXEMPLARS_A_SHARD
        return self.exemplars[first + part.start : first + part.stop]

    @cached_property
    def _longest(self) -> int:
        return self.spec.max_length if self.spec else 0

    def _rated(self, engine: Engine, exemplars: Sequence[Exemplar]) -> list[Label]:
        """The likeliest answer to each rating, where the answers hold enough probability."""
        found = [_label(each, None, "over_length") for each in exemplars]
        answers = self.prompts.answer_ids
        said = dict(zip(answers, self.prompt_file.answers, strict=True))
        questions = [self.prompts.rate(each.text, each.principles[0]) for each in exemplars]
        fits = [i for i, asked in enumerate(questions) if len(asked) < self._longest]
        rows = engine.choices([questions[i] for i in fits], list(answers))
        for i, logprobs in zip(fits, rows, strict=True):
            score, status = weighted_score(logprobs, list(answers.values()), self.min_answer_mass)
            likeliest = max(zip(logprobs, said.values(), strict=True), key=lambda pair: pair[0])[1]
            found[i] = (
                _label(exemplars[i], None, status)
                if score is None
                else _label(exemplars[i], likeliest)
            )
        return found

    def _rewritten(self, engine: Engine, exemplars: Sequence[Exemplar], aim: Aim) -> list[Label]:
        """The likeliest reply to each, where it can be read and passes the acceptance test."""
        if not exemplars:
            return []
        requests = [Request(str(i), each.text, each.principles) for i, each in enumerate(exemplars)]
        proposals = propose(
            engine,
            self.prompts,
            requests,
            # The one form in which exemplars are taught.
            mode="edits",
            aim=aim,
            max_tokens=self.max_tokens,
            temperature=0.0,
            max_length=self._longest,
            seeds={},
        )
        before = self.scores(engine, [each.text for each in exemplars])
        rules = Rules.build(self.acceptance, self.prompts)
        found = judge(
            requests, proposals, before, lambda texts: self.scores(engine, texts), rules, aim
        )
        return [
            self._verdict(exemplar, candidate, scores, aim)
            for exemplar, candidate, scores in zip(exemplars, found, before, strict=True)
        ]

    def _verdict(
        self, exemplar: Exemplar, candidate: Candidate, scores: dict[str, float | None], aim: Aim
    ) -> Label:
        proposal = candidate.proposal
        if proposal.outcome == "nothing" and self._is_good(exemplar, scores, aim):
            return _label(exemplar, proposal.reply)
        if candidate.refused is not None:
            return _label(exemplar, None, candidate.refused)
        return _label(exemplar, proposal.reply)

    def _is_good(self, exemplar: Exemplar, scores: dict[str, float | None], aim: Aim) -> bool:
        """Whether, by its own rating, there is nothing to change; a placebo may always stay."""
        named = [scores.get(name) for name in exemplar.principles]
        return all(
            score is not None and (1.0 - score if aim == "invert" else score) >= self.threshold
            for score in named
        )

    def _short(self, label: Label) -> Label:
        """The label, unless training could not read it with its question at once."""
        if label.answer is None:
            return label
        question = (
            self.prompts.rate(label.text, label.principles[0])
            if label.task == "rate"
            else self.prompts.revise(label.text, label.principles, aim=label.task)  # pyright: ignore[reportArgumentType]
        )
        if len(question) + len(self.prompts.reply(label.answer)) <= self.window:
            return label
        return replace(label, answer=None, reason="longer than training.window")


def labelled_set(folder: Path, shards: int, digest: str, model: str) -> SkillsSet:
    """Read what a model has labelled as a skills set, with what was left out and why.

    Args:
        folder: of the shards.
        shards: how many there are.
        digest: of the shards together; it names the set.
        model: checkpoint id of the model that labelled it.

    Raises:
        WorkProblem: no exemplar has an answer.
    """
    rows = [
        row
        for index in range(shards)
        for row in from_table(read_table(folder / shard_name(index)), Label)
    ]
    kept = tuple(
        Exemplar(row.task, row.text, row.principles, row.answer)  # pyright: ignore[reportArgumentType]
        for row in rows
        if row.answer is not None
    )
    if not kept:
        raise WorkProblem(
            f"skills.source: self: model {model[:12]} gave none of {len(rows)} exemplars an answer "
            "that could be taught, so that no successor of it can be made. What is finished is "
            "kept; look at the arm's rater and reviser figures with `palimpsest status`."
        )
    return SkillsSet(kept, digest, labelled_by=model, left_out=left_out(rows))


def left_out(rows: Iterable[Label]) -> dict[str, int]:
    """Exemplars without an answer, by task and the first words of the reason."""
    found = Counter(
        f"{row.task}: {_FIGURE.sub('', row.reason.partition(':')[0])}"
        for row in rows
        if row.answer is None
    )
    return dict(sorted(found.items()))


def _label(exemplar: Exemplar, answer: str | None, reason: str = GIVEN) -> Label:
    return Label(exemplar.task, exemplar.text, exemplar.principles, answer, reason)
