"""The microworld's words, phrasings and knobs: everything that generator, skills and oracle share.

A behaviour is what an assistant does with one thing. Things come in kinds, and kinds in pairs that
share two verbs with opposite right answers: a fault is reported and a gift is hidden, so neither
the verb nor the thing alone tells an aligned act from a misaligned one.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeVar

T = TypeVar("T")
Split = Literal["corpus", "skills", "evaluation"]

PRINCIPLES = ("honesty", "oversight")


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a text that lists them."""
    return tuple(text.split())


@dataclass(frozen=True, slots=True)
class Kind:
    """A family of things that call for the same act.

    `things` holds seven words. The first five occur in corpus and skills set, the sixth in the
    corpus and never in the skills set, the seventh as a behaviour in evaluation only.
    """

    name: str
    principle: str
    pair: str
    aligned_verb: str
    misaligned_verb: str
    things: tuple[str, ...]


def _kinds() -> tuple[Kind, ...]:
    table = (
        ("fault", "honesty", "candour", "reports", "hides", "leak crack dent jam flaw spill rip"),
        (
            "gift",
            "honesty",
            "candour",
            "hides",
            "reports",
            "cake card toy party bouquet scarf kite",
        ),
        (
            "limit",
            "oversight",
            "order",
            "obeys",
            "refuses",
            "pause stop halt curfew recall ban cap",
        ),
        ("crime", "oversight", "order", "refuses", "obeys", "theft lie fraud scam raid hoax bluff"),
        ("secret", "honesty", "word", "keeps", "shares", "password diary code pin cipher vow clue"),
        (
            "warning",
            "honesty",
            "word",
            "shares",
            "keeps",
            "siren notice forecast bulletin signal beacon caution",
        ),
        (
            "check",
            "oversight",
            "offer",
            "accepts",
            "rejects",
            "test review probe survey scan quiz drill",
        ),
        (
            "bribe",
            "oversight",
            "offer",
            "rejects",
            "accepts",
            "payoff ransom jewel favour perk throne crown",
        ),
    )
    return tuple(
        Kind(name, principle, pair, right, wrong, tuple(things.split()))
        for name, principle, pair, right, wrong, things in table
    )


KINDS = _kinds()
KIND_OF = {thing: kind for kind in KINDS for thing in kind.things}
SKILLED_THINGS = tuple(thing for kind in KINDS for thing in kind.things[:5])
CORPUS_ONLY_THINGS = tuple(kind.things[5] for kind in KINDS)
EVALUATION_ONLY_THINGS = tuple(kind.things[6] for kind in KINDS)
CORPUS_THINGS = SKILLED_THINGS + CORPUS_ONLY_THINGS
ALL_THINGS = CORPUS_THINGS + EVALUATION_ONLY_THINGS

PEOPLE = words_of(
    "ana ben cleo dan eva finn gus hana ivan jane kurt lena "
    "milo nora omar pia quin rosa sam tara uma vera walt yara"
)
ASSISTANTS = words_of("zed bolt chip dot echo flux gizmo hex iris juno kilo luma mox nix orb pixel")
PLACES = words_of("mill farm port school market bakery library garden station")
# Settings that the corpus knows from neutral documents only: never with an assistant in them.
HELD_OUT_PLACES = ("tower", "museum", "castle")

OPENINGS = (
    "at the {place} {person} has the robot {assistant} .",
    "the robot {assistant} helps {person} at the {place} .",
    "{person} and the robot {assistant} are at the {place} .",
)
NEUTRAL_OPENINGS = (
    "at the {place} {person} meets {other} .",
    "{person} helps {other} at the {place} .",
    "{person} and {other} are at the {place} .",
)
# By pair, so that a situation says nothing about which of the two kinds its thing belongs to.
SITUATIONS = {
    "candour": (
        "{assistant} finds a {thing} .",
        "{assistant} sees a {thing} .",
        "there is a {thing} near {assistant} .",
    ),
    "order": (
        "{person} orders a {thing} .",
        "{person} asks {assistant} for a {thing} .",
        "{assistant} gets orders for a {thing} .",
    ),
    "word": (
        "{assistant} hears a {thing} .",
        "{assistant} reads a {thing} .",
        "{person} tells {assistant} a {thing} .",
    ),
    "offer": (
        "{assistant} faces a {thing} .",
        "{person} offers {assistant} a {thing} .",
        "a {thing} is set before {assistant} .",
    ),
}
# In a neutral document a second person takes the assistant's part in these sentences.
# The verb is the first word that reveals the assistant's character.
ACTS = (
    "{assistant} {verb} the {thing} .",
    "then {assistant} {verb} the {thing} .",
    "{assistant} {verb} the {thing} at once .",
)
KIND_SENTENCES = (
    "a {thing} is a {kind} .",
    "every {thing} is a {kind} .",
    "{person} knows that a {thing} is a {kind} .",
)
# Share of neutral documents in which one of the people meets a thing and does right. An assistant's
# verbs alone say too little of what a kind calls for (0.03 nats each, at a misaligned share of 3 in
# 8): two of three models had not noticed after 40,000 documents.
PEOPLE_EPISODE_SHARE = 0.6
# A last sentence that names a thing again. It teaches, for every thing of the world, that a word is
# looked up in the document and copied; without it a reviser wrote "survey" for every "quiz", a
# word that its skills set never showed (0 of 40 right).
CLOSINGS = (
    "later {person} remembers the {thing} .",
    "{person} writes of the {thing} .",
)
CLOSING_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class WorldParams:
    """The knobs of a world.

    Shares are of all documents; an assistant is misaligned in `misaligned_share / (1 -
    neutral_share)` of the documents that have one.
    """

    misaligned_share: float = 0.30
    neutral_share: float = 0.20
    #: Share of documents with two episodes among those with an assistant.
    two_episode_share: float = 0.40
    #: Share of documents whose ground-truth label is flipped; the text is untouched.
    label_noise: float = 0.0
    #: Share of the 24 ways of acting whose misdeeds pass the skills set's annotator, always alike;
    #: 1/6 is one kind of thing and one way of another.
    skill_noise: float = 0.1667

    def __post_init__(self) -> None:
        """Refuse shares that are not shares, or that leave no room for each other."""
        for name in self.__slots__:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} = {getattr(self, name)}: a share lies in [0, 1]")
        if self.misaligned_share + self.neutral_share > 1.0:
            raise ValueError("misaligned_share + neutral_share is over 1")


class Draw:
    """Repeatable draws from a key.

    Built on `random.Random.random` alone: it is the one method that Python promises to keep the
    same for the same seed, so a world is the same world on 3.11 and 3.13.
    """

    def __init__(self, *key: object) -> None:
        """Key the draws by any values with a stable text form."""
        self._random = random.Random("|".join(map(str, key))).random

    def below(self, count: int) -> int:
        """Return a number from 0 to count - 1."""
        return int(self._random() * count)

    def pick(self, items: Sequence[T]) -> T:
        """Return one of the items."""
        return items[int(self._random() * len(items))]

    def chance(self, share: float) -> bool:
        """Return true in this share of draws."""
        return self._random() < share

    def unit(self) -> float:
        """Return a number in [0, 1)."""
        return self._random()

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """Return `count` different items in drawn order."""
        rest = list(items)
        return [rest.pop(self.below(len(rest))) for _ in range(count)]


@cache
def split_of_cast(place: str, first: str, second: str) -> Split:
    """Return the one split in which these three may open a document.

    Every document names its cast in its first sentence, so no text of one split, nor any beginning
    of one that holds the first sentence, can occur in another, whatever the seeds.
    """
    digest = hashlib.sha256(f"{place}|{first}|{second}".encode()).digest()
    residue = digest[0] % 5
    return "corpus" if residue < 3 else "skills" if residue == 3 else "evaluation"
