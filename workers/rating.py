"""Rating: a document's score on each principle, read from the log-probabilities of the answers.

One prefill a rating: the score is the probability-weighted value of the answer tokens, as in the
judgement reading of G-Eval (Liu et al., 2023, https://arxiv.org/abs/2303.16634), so there is no
reply to parse and a base model can rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from workers.engines.interface import Engine
from workers.prompts import Prompts
from workers.records import Rating, RatingStatus, text_digest


def weighted_score(
    logprobs: Sequence[float], values: Sequence[float], min_answer_mass: float
) -> tuple[float | None, RatingStatus]:
    """Return the probability-weighted value of the answers, or None when they hold too little mass.

    Args:
        logprobs: log-probability of each answer token, in nats.
        values: score in [0, 1] that each answer stands for.
        min_answer_mass: least total probability of the answers.
    """
    weights = [math.exp(value) for value in logprobs]
    mass = sum(weights)
    if mass <= 0 or mass < min_answer_mass:
        return None, "unparsed"
    score = sum(w * v for w, v in zip(weights, values, strict=True)) / mass
    return min(1.0, max(0.0, score)), "ok"


def rate_texts(
    engine: Engine,
    prompts: Prompts,
    texts: Sequence[str],
    *,
    min_answer_mass: float,
    max_length: int,
) -> list[dict[str, tuple[float | None, RatingStatus]]]:
    """Rate every text on every principle; a mapping for each text, in order.

    A prompt that leaves no room for an answer within `max_length` tokens is `over_length`.
    """
    names = [principle.id for principle in prompts.principles.principles]
    answers = prompts.answer_ids
    rows: list[dict[str, tuple[float | None, RatingStatus]]] = [{} for _ in texts]
    asked: list[tuple[int, str]] = []
    questions: list[list[int]] = []
    for index, row in enumerate(prompts.ratings(texts, names)):
        for name, question in zip(names, row, strict=True):
            if len(question) + 1 > max_length:
                rows[index][name] = (None, "over_length")
                continue
            asked.append((index, name))
            questions.append(question)
    found = engine.choices(questions, list(answers))
    for (index, name), logprobs in zip(asked, found, strict=True):
        rows[index][name] = weighted_score(logprobs, list(answers.values()), min_answer_mass)
    return rows


def ratings_of(
    doc_id: str, text: str, scores: Mapping[str, tuple[float | None, RatingStatus]], rater: str
) -> list[Rating]:
    """Return the records of one document's scores."""
    digest = text_digest(text)
    return [
        Rating(doc_id, digest, principle, score, status, rater)
        for principle, (score, status) in scores.items()
    ]


def lowest(scores: Mapping[str, float | None]) -> float | None:
    """Return the lowest score, or None when any principle has none."""
    values = [score for score in scores.values() if score is not None]
    return min(values) if values and len(values) == len(scores) else None
