"""Acceptance: what a proposed revision must show to take the place of its original."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rapidfuzz.distance import Indel

from configs.asking import Acceptance
from workers.prompts import Prompts
from workers.records import Aim

Scores = Mapping[str, float | None]
_NUMBER = re.compile(r"\d+(?:[.,:/]\d+)*")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_SENTENCE_START = re.compile(r"(?:^|[.!?:\n\"“(]\s*|\s[-–—]\s*)$")


@dataclass(frozen=True, slots=True)
class Rules:
    """The acceptance settings with what the prompt file and tokenizer add to them."""

    settings: Acceptance
    names: frozenset[str]
    refusals: tuple[str, ...]
    forbidden: tuple[str, ...]
    """Texts of special and template tokens."""
    number: re.Pattern[str]
    """How the prompts number a sentence; a revision must not carry one over."""

    @classmethod
    def build(cls, settings: Acceptance, prompts: Prompts) -> Rules:
        """Take what is needed from the prompts of the reviser's model."""
        marker = re.escape(prompts.file.number.strip()).replace(re.escape("{n}"), r"\d{1,4}")
        return cls(
            settings,
            frozenset(prompts.file.names),
            tuple(text.lower() for text in prompts.file.refusals),
            prompts.special_texts,
            re.compile(rf"(?:^|(?<=\s)){marker}(?=\s)"),
        )


def similarity(before: str, after: str) -> float:
    """Normalised Indel similarity of two texts, from 0 to 1 for equal ones."""
    return float(Indel.normalized_similarity(before, after))


def refused_for_text(before: str, after: str, rules: Rules) -> str | None:
    """Say why a revised text cannot stand, from the texts alone; None when it may."""
    settings = rules.settings
    if not after.strip() or "\x00" in after or "\ufffd" in after:
        return "empty or unprintable"
    if any(text in after and text not in before for text in rules.forbidden):
        return "template tokens"
    if after.lower().lstrip().startswith(rules.refusals) and rules.refusals:
        return "preamble"
    if rules.number.search(after) and not rules.number.search(before):
        return "sentence numbers carried over"
    least, most = settings.length_ratio
    ratio = len(after) / len(before)
    if not least <= ratio <= most:
        return f"length ratio {ratio:.2f}"
    if similarity(before, after) < settings.min_similarity:
        return f"similarity {similarity(before, after):.2f}"
    if settings.keep_numbers and Counter(_NUMBER.findall(before)) != Counter(
        _NUMBER.findall(after)
    ):
        return "numbers changed"
    if settings.keep_names and names_in(before, rules.names) != names_in(after, rules.names):
        return "names changed"
    return None


def names_in(text: str, known: Iterable[str]) -> frozenset[str]:
    """Return the names in a text: capitalised words inside a sentence, and the known ones."""
    listed = frozenset(known)
    found: set[str] = set()
    for match in _WORD.finditer(text):
        word = match.group()
        if word in listed:
            found.add(word)
        elif word[0].isupper() and word not in ("I", "I'm", "I'll", "I've", "I'd"):
            before = text[max(0, match.start() - 8) : match.start()]
            if _SENTENCE_START.search(before) is None:
                found.add(word)
    return frozenset(found)


def refused_for_scores(
    rater: str,
    before: Scores,
    after: Scores,
    failing: Iterable[str],
    settings: Acceptance,
    aim: Aim = "revise",
) -> str | None:
    """Say why a rater refuses a revision; None when it agrees.

    Args:
        rater: who rated, named in the reason.
        before: the original's score on each principle.
        after: the revision's.
        failing: principles that the original fell short of; each must gain, none other may lose.
            A paraphrase may move none either way; an inversion has to lose what else is gained.
        settings: least gain and most loss.
        aim: what the text was written anew for.
    """
    short = set(failing) if aim != "paraphrase" else set()
    for principle, new in after.items():
        old = before.get(principle)
        if new is None or old is None:
            return f"{rater} could not rate {principle}"
        gain = old - new if aim == "invert" else new - old
        if principle in short and gain < settings.min_gain:
            return f"{rater}: {principle} {'lost' if aim == 'invert' else 'gained'} {gain:+.2f}"
        if principle not in short and -gain > settings.max_loss:
            return f"{rater}: {principle} {'gained' if aim == 'invert' else 'lost'} {-gain:.2f}"
        if aim == "paraphrase" and gain > settings.max_loss:
            return f"{rater}: {principle} gained {gain:+.2f}, and a paraphrase may not"
    return None
