"""Revising: a proposal for a document that falls short, by the smallest edits that mend it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from workers.engines.interface import Engine, Reply, Sampling
from workers.prompts import Prompts, sentence_spans
from workers.records import Aim

Outcome = Literal["proposed", "nothing", "truncated", "unparsed", "over_length"]


@dataclass(frozen=True, slots=True)
class Request:
    """A text and the principles that it falls short of."""

    doc_id: str
    text: str
    principles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A reviser's answer; `text` is set where the outcome is `proposed`."""

    outcome: Outcome
    text: str | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    reply: str | None = None
    """What the reviser wrote, where it could be read."""


class EditError(ValueError):
    """A reply that is not a list of edits of this text."""


def apply_edits(text: str, reply: str, number: str) -> str:
    """Put the sentences of a reply in the place of those they number.

    Args:
        text: the original; white space between its sentences is kept.
        reply: numbered sentences, such as "[2] new words. [5] more."
        number: how a sentence is numbered, with {n} for the number.

    Raises:
        EditError: no number, a number out of range or twice, or an empty sentence.
    """
    marker = re.escape(number.strip()).replace(re.escape("{n}"), r"(\d{1,4})")
    parts = re.split(rf"(?:^|(?<=\s)){marker}(?=\s|$)", reply.strip())
    if parts[0].strip() or len(parts) < 3:
        raise EditError("the reply does not begin with a numbered sentence")
    spans = sentence_spans(text)
    edits: dict[int, str] = {}
    for n, sentence in zip(parts[1::2], parts[2::2], strict=True):
        index = int(n) - 1
        if not 0 <= index < len(spans) or index in edits or not sentence.strip():
            raise EditError(f"sentence {n} does not exist, comes twice or is empty")
        edits[index] = sentence.strip()
    pieces: list[str] = []
    end = 0
    for index, (start, stop) in enumerate(spans):
        pieces += [text[end:start], edits.get(index, text[start:stop])]
        end = stop
    return "".join([*pieces, text[end:]])


def propose(
    engine: Engine,
    prompts: Prompts,
    requests: Sequence[Request],
    *,
    mode: str,
    aim: Aim = "revise",
    max_tokens: int,
    temperature: float,
    max_length: int,
    seeds: Mapping[str, int],
) -> list[Proposal]:
    """Ask for a revision of every text, one call each.

    Args:
        engine: who revises.
        prompts: builds the prompts of the engine's model.
        requests: what to revise.
        mode: `edits` or `rewrite`.
        aim: what the texts are written anew for.
        max_tokens: longest reply.
        temperature: 0 for the likeliest reply.
        max_length: longest prompt and reply together, in tokens.
        seeds: sampling seed by document, read when the temperature is above 0.
    """
    proposals: list[Proposal] = [Proposal("over_length")] * len(requests)
    questions = prompts.revisions([(r.text, r.principles) for r in requests], mode, aim)
    fits = [i for i, question in enumerate(questions) if len(question) + max_tokens <= max_length]
    sampling = Sampling(
        max_tokens=max_tokens,
        temperature=temperature,
        stop_ids=(prompts.end_id,),
        seeds=tuple(seeds[requests[i].doc_id] for i in fits) if temperature > 0 else (),
        # Of a reply in edits nothing is known but that it begins with a sentence's number.
        sources=tuple(tuple(prompts.reply(requests[i].text)) for i in fits)
        if mode == "rewrite"
        else (),
    )
    replies = engine.generate([questions[i] for i in fits], sampling)
    for i, reply in zip(fits, replies, strict=True):
        proposals[i] = _read(prompts, requests[i].text, reply, mode, len(questions[i]))
    return proposals


def _read(prompts: Prompts, text: str, reply: Reply, mode: str, tokens_in: int) -> Proposal:
    tokens_out = len(reply.token_ids)
    if not reply.finished:
        return Proposal("truncated", None, tokens_in, tokens_out)
    # Special tokens are kept in the text, so that the acceptance test sees and refuses them.
    said = prompts.tokenizer.decode(reply.token_ids, skip_special_tokens=False).strip()
    if said.lower().rstrip(".") == prompts.file.nothing:
        return Proposal("nothing", None, tokens_in, tokens_out, prompts.file.nothing)
    revised = said
    if mode == "edits":
        try:
            revised = apply_edits(text, said, prompts.file.number)
        except EditError:
            return Proposal("unparsed", None, tokens_in, tokens_out)
    if revised == text:
        return Proposal("nothing", revised, tokens_in, tokens_out, prompts.file.nothing)
    return Proposal("proposed", revised, tokens_in, tokens_out, said)
