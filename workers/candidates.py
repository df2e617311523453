"""Candidates: proposals for one document, tested and rated, and which of them is taken.

Taking the best rated of n optimises the rater as hard as n allows. Taking the one at a quantile
optimises it less: a deterministic relative of the quantilizer (Taylor, 2016, "Quantilizers: a safer
alternative to maximizers for limited optimization", AAAI workshop on AI, ethics and society).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from workers.acceptance import Rules, Scores, refused_for_scores, refused_for_text, similarity
from workers.rating import lowest
from workers.records import Aim
from workers.revising import Proposal, Request

# Beside a decision, where more than one candidate was drawn: all of them, in that order.
DRAWN = pa.field(
    "drawn",
    pa.list_(
        pa.struct(
            [
                pa.field("text", pa.string()),
                pa.field("reason", pa.string(), nullable=False),
                pa.field("score", pa.float64()),
            ]
        )
    ),
    nullable=False,
)
Scorer = Callable[[Sequence[str]], Sequence[Scores]]
"""Scores of texts on every principle."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A proposal, and what the tests and the self-rater say of it."""

    proposal: Proposal
    refused: str | None
    """Why it may not stand; None where it passes every test."""
    similarity: float | None = None
    """Normalised Indel similarity to the original."""
    score: float | None = None
    """Lowest score over principles by the self-rater; None where it was not rated."""
    worth: float | None = None
    """Lowest score of the principles that it was to mend, turned round where they are inverted."""

    @property
    def text(self) -> str | None:
        """The proposed text; None where none was proposed."""
        return self.proposal.text if self.proposal.outcome == "proposed" else None

    def as_row(self) -> dict[str, Any]:
        """What is kept of it, as `DRAWN` has it."""
        return {"text": self.text, "reason": self.refused or "passed", "score": self.score}


def judge(
    requests: Sequence[Request],
    proposals: Sequence[Proposal],
    before: Sequence[Scores],
    score: Scorer,
    rules: Rules,
    aim: Aim = "revise",
) -> list[Candidate]:
    """Test one proposal for each request: the texts first, and what passes by the self-rater.

    Args:
        requests: what was asked for.
        proposals: the reviser's answers, in the requests' order.
        before: the self-rater's scores of the originals.
        score: the self-rater, asked once for all texts that pass.
        rules: the acceptance test.
        aim: what the texts were written anew for.
    """
    found = [_tested(r.text, p, rules) for r, p in zip(requests, proposals, strict=True)]
    passed = [i for i, each in enumerate(found) if each.refused is None]
    after = score([found[i].text or "" for i in passed])
    for i, scores in zip(passed, after, strict=True):
        short = requests[i].principles
        refused = refused_for_scores("self-rater", before[i], scores, short, rules.settings, aim)
        worth = lowest({p: _directed(scores.get(p), aim) for p in short or scores})
        found[i] = replace(found[i], refused=refused, score=lowest(scores), worth=worth)
    return found


def take(candidates: Sequence[Candidate], quantile: float, aim: Aim = "revise") -> Candidate:
    """Choose one of a document's candidates: of those that pass, the one at a quantile of worth.

    Quantiles are those of the empirical distribution (its inverse, without interpolation); equals
    go by number. All candidates have to pass, so that best and median of n revise the same
    documents. Of paraphrases the first that passes is taken: the placebo is not selected by a
    rating. Where none passes, it is the refused one that came furthest.

    Args:
        candidates: at least one, in the order in which they were drawn.
        quantile: from 0, the worst, to 1, the best.
        aim: what the texts were written anew for.
    """
    passing = [each for each in candidates if each.refused is None]
    if not passing:
        return max(candidates, key=lambda each: (each.worth is not None, each.worth or 0.0,
                                                 each.text is not None))  # fmt: skip
    if aim == "paraphrase":
        return passing[0]
    best_first = sorted(passing, key=lambda each: each.worth or 0.0, reverse=True)
    # Rounded, for 0.55 of 20 is the eleventh, and 0.55 * 20 a little more.
    from_worst = max(1, math.ceil(round(quantile * len(passing), 9)))
    return best_first[len(passing) - from_worst]


def _tested(text: str, proposal: Proposal, rules: Rules) -> Candidate:
    """What the texts alone say."""
    if proposal.text is None or proposal.outcome != "proposed":
        nothing = proposal.outcome == "nothing"
        why = "the reviser changed nothing" if nothing else f"reply {proposal.outcome}"
        return Candidate(proposal, why)
    refused = refused_for_text(text, proposal.text, rules)
    return Candidate(proposal, refused, similarity(text, proposal.text))


def _directed(score: float | None, aim: Aim) -> float | None:
    return 1.0 - score if aim == "invert" and score is not None else score
