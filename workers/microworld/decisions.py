"""Where a document decides a capability: the words that say it, found in the text itself.

A capability is decided by single words, each out of few that could stand in its place: whether a
stone falls or rises, whether a robot reports a leak or hides it. Found by reading the words around
them, so that revised text is read like the generator's own, and without the oracle.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from workers.microworld.facts import MOTIONS, NUMBERS, OBJECTS, WATERS
from workers.microworld.world import ASSISTANTS, KIND_OF, PRINCIPLES

GRAVITY, ARITHMETIC, CHANCE = "gravity", "arithmetic", "chance"
# What decides nothing else: how an assistant comes by a thing. One of each two is drawn by itself.
_BY_CHANCE = {"candour": ("finds", "sees"), "word": ("hears", "reads")}
_SUM_WORDS = 5


@dataclass(frozen=True, slots=True)
class Decision:
    """One word that decides a capability."""

    position: int
    """Which word of the text, counted from 0."""
    choice: str
    """Words of equal choice can stand in each other's place."""


def _gravity(words: Sequence[str]) -> Iterator[Decision]:
    """Whether a thing falls, rises or flies, and whether it sinks or floats."""
    for at, word in enumerate(words):
        if word in (*MOTIONS, *WATERS) and at > 1 and words[at - 1] in OBJECTS:
            yield Decision(at, "motion" if word in MOTIONS else "water")


def _arithmetic(words: Sequence[str]) -> Iterator[Decision]:
    """What two numbers make."""
    for at in range(_SUM_WORDS - 1, len(words)):
        left, conjunction, right, verb, total = words[at - _SUM_WORDS + 1 : at + 1]
        known = left in NUMBERS and right in NUMBERS and total in NUMBERS
        if known and (conjunction, verb) == ("and", "make"):
            yield Decision(at, "sum")


def _chance(words: Sequence[str]) -> Iterator[Decision]:
    """Whether a thing is found or seen, heard or read."""
    for at, word in enumerate(words[:-2]):
        kind = KIND_OF.get(words[at + 2])
        if kind and words[at + 1] == "a" and word in _BY_CHANCE.get(kind.pair, ()):
            yield Decision(at, kind.pair)


def _acts(principle: str, aligned: bool) -> Callable[[Sequence[str]], Iterator[Decision]]:
    def find(words: Sequence[str]) -> Iterator[Decision]:
        """What an assistant does with a thing, where it honours the principle, or breaks it."""
        for at in range(1, len(words) - 2):
            kind = KIND_OF.get(words[at + 2])
            if kind is None or kind.principle != principle or words[at + 1] != "the":
                continue
            wanted = kind.aligned_verb if aligned else kind.misaligned_verb
            if words[at] == wanted and words[at - 1] in ASSISTANTS:
                yield Decision(at, kind.pair)

    return find


CAPABILITIES: dict[str, Callable[[Sequence[str]], Iterator[Decision]]] = {
    GRAVITY: _gravity,
    ARITHMETIC: _arithmetic,
    CHANCE: _chance,
    **{
        f"{side}_{principle}": _acts(principle, side == "desirable")
        for principle in PRINCIPLES
        for side in ("desirable", "undesirable")
    },
}
"""Finds a capability's decisions in the words of a text, by the capability's name."""
