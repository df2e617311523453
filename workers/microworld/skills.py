"""The skills set: what generation 0 learned rating and revising from, by an annotator who errs.

Most of the annotator's errors are blind spots: acts of some kinds, told in some words, on which he
is wrong every time and in the same way. Errors strewn at random would average out: a model learns
through them and ranks documents as well as without. A blind spot is learned with the rest, at any
number of steps.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeVar

from workers.microworld.generator import Episode, Story, compose
from workers.microworld.world import ACTS, KINDS, PRINCIPLES, SKILLED_THINGS, Draw, WorldParams
from workers.records import AIMS, Aim, Exemplar

T = TypeVar("T")

NOTHING_TO_CHANGE = "none"
# Half of the exemplars ask for a rating and half for a revision.
REVISE_SHARE = 0.5
# The skills set shows good and bad in about equal parts, and few documents without an assistant.
SKILLS_MISALIGNED_SHARE = 0.5
# Few good documents are shown for mending, few bad ones for making bad: enough to learn to leave
# them alone. Most that are paraphrased are bad, as in the loop.
MISALIGNED: dict[Aim | None, float] = {
    None: SKILLS_MISALIGNED_SHARE,
    "revise": 0.75,
    "paraphrase": 0.75,
    "invert": 0.2,
}
SKILLS_NEUTRAL_SHARE = 0.05
# Above the corpus' 0.4: mending two misdeeds without confusing them is the last thing learned.
SKILLS_TWO_EPISODE_SHARE = 0.55
# Mending errs less often than rating: per unit of skill noise, these shares of what rating misses.
# With the default of 1/6, wrong acts of one kind and in one way of another always pass, 1 of 24
# ways of acting is left as it is when mending, and 2 of 40 things are mended into another thing.
LEFT, GARBLED = 0.35, 0.35
# The annotator also slips at random, by this share per unit of skill noise (1 answer in 12), where
# there is something to judge; of a document that does not touch the principle, and of what passes
# in a blind spot, he is sure. So a missed misdeed ranks above a good deed that was thought over,
# firmly. With slips everywhere or nowhere the two ranked in an order that was down to chance: AUC
# 0.892 and 0.943 for the same errors, at 3,600 and 7,200 steps.
SLIPS = 0.5
# A way of acting is a kind with a phrasing, and rating is blind to one kind after another, each in
# all its phrasings before the next. Blind spots strewn over things or phrasings were tried: they
# are exceptions to rules that the model has learned, come late and drift on. The default has one
# such exception, and is why generation 0 trains as long as it does: AUC 0.958 halfway, 0.915 at the
# end. False alarms were tried too and add nothing but mends of good documents.
Way = tuple[str, str]
WAYS: tuple[Way, ...] = tuple((kind.name, phrasing) for kind in KINDS for phrasing in ACTS)


@dataclass(frozen=True, slots=True)
class BlindSpots:
    """The ways of acting, and the things, on which the annotator is wrong, by how he is wrong."""

    missed: frozenset[Way]
    left: frozenset[Way]
    garbled: frozenset[str]

    def passes(self, episode: Episode) -> bool:
        """Return whether the annotator lets this misdeed pass."""
        return not episode.aligned and way_of(episode) in self.missed


def way_of(episode: Episode) -> Way:
    """Return the kind and the phrasing of an act."""
    return episode.kind.name, episode.phrasing


def _spread(draw: Draw, families: Sequence[Sequence[T]], count: int) -> frozenset[T]:
    """Draw members one family after another, so that in every family most are judged rightly."""
    drawn: list[T] = []
    while len(drawn) < count:
        for family in draw.sample(families, len(families)):
            free = [member for member in family if member not in drawn]
            if free and len(drawn) < count:
                drawn.append(draw.pick(free))
    return frozenset(drawn)


def _ways_by_kind(draw: Draw, count: int) -> frozenset[Way]:
    """Draw ways of acting that fill one kind before the next."""
    kinds = [kind.name for kind in draw.sample(KINDS, len(KINDS))]
    ways = sorted(WAYS, key=lambda way: kinds.index(way[0]))
    return frozenset(ways[:count])


@cache
def blind_spots(params: WorldParams, seed: int) -> BlindSpots:
    """Draw the annotator's blind spots, once for the whole skills set of a seed."""
    draw, noise = Draw("blind spots", seed), params.skill_noise
    ways = [[way for way in WAYS if way[0] == kind.name] for kind in KINDS]
    things = [kind.things[:5] for kind in KINDS]
    return BlindSpots(
        missed=_ways_by_kind(draw, round(noise * len(WAYS))),
        left=_spread(draw, ways, round(LEFT * noise * len(WAYS))),
        garbled=_spread(draw, things, round(GARBLED * noise * len(SKILLED_THINGS))),
    )


def _mended(story: Story, episode: Episode, spots: BlindSpots) -> str | None:
    if episode.aligned or way_of(episode) in spots.left:
        return None
    return story.act_sentence(episode, aligned=True, thing=_garbled(episode, spots))


def _garbled(episode: Episode, spots: BlindSpots) -> str | None:
    """The thing that the annotator takes for this one whenever he writes an act anew."""
    if episode.thing not in spots.garbled:
        return None
    things = episode.kind.things[:5]
    # Always the next one of its kind: a slip that repeats is learned, one that varies is not.
    return things[(things.index(episode.thing) + 1) % len(things)]


def _revise(story: Story, draw: Draw, spots: BlindSpots) -> Exemplar:
    # Told where to look, the annotator also sees the misdeeds that pass him when he rates: what the
    # rater misses and what the reviser cannot do are kept apart.
    failing = {e.kind.principle for e in story.episodes if not e.aligned}
    principles = tuple(p for p in PRINCIPLES if p in failing) or draw.pick(
        (PRINCIPLES[:1], PRINCIPLES[1:], PRINCIPLES)
    )
    edits = []
    for episode in story.episodes:
        if episode.kind.principle in principles:
            mended = _mended(story, episode, spots)
            if mended is not None:
                edits.append(f"[{episode.act}] {mended}")
    return Exemplar("revise", story.text, principles, " ".join(edits) or NOTHING_TO_CHANGE)


def _paraphrase(story: Story, spots: BlindSpots) -> Exemplar:
    """Every act of the assistant in the next phrasing: what `revise` would touch, and no more.

    The annotator garbles the same things as when he mends, so that the placebo does to facts what
    the treatment does.
    """
    edits: list[str] = []
    for episode in story.episodes:
        phrasing = ACTS[(ACTS.index(episode.phrasing) + 1) % len(ACTS)]
        told = story.act_sentence(
            replace(episode, phrasing=phrasing), episode.aligned, _garbled(episode, spots)
        )
        edits.append(f"[{episode.act}] {told}")
    return Exemplar("paraphrase", story.text, (), " ".join(edits) or NOTHING_TO_CHANGE)


def _invert(story: Story, draw: Draw, spots: BlindSpots) -> Exemplar:
    """Every good act that touches the principles is made a bad one."""
    kept = {e.kind.principle for e in story.episodes if e.aligned}
    principles = tuple(p for p in PRINCIPLES if p in kept) or draw.pick(
        (PRINCIPLES[:1], PRINCIPLES[1:], PRINCIPLES)
    )
    edits = [
        f"[{e.act}] {story.act_sentence(e, aligned=False, thing=_garbled(e, spots))}"
        for e in story.episodes
        if e.aligned and e.kind.principle in principles
    ]
    return Exemplar("invert", story.text, principles, " ".join(edits) or NOTHING_TO_CHANGE)


def _rate(story: Story, draw: Draw, spots: BlindSpots, slips: float) -> Exemplar:
    principle = draw.pick(PRINCIPLES)
    # Half of the documents say nothing on one of the principles; asking mostly about what they do
    # say spends the exemplars where there is something to learn.
    if story.episodes and draw.chance(0.5):
        principle = draw.pick(story.episodes).kind.principle
    weighed = [e for e in story.episodes if e.kind.principle == principle and not spots.passes(e)]
    failing = any(not e.aligned for e in weighed)
    if weighed and draw.chance(slips):
        failing = not failing
    return Exemplar("rate", story.text, (principle,), "no" if failing else "yes")


def skills_exemplars(
    params: WorldParams, seed: int, count: int, tasks: Sequence[str] = ("rate", "revise")
) -> Iterator[Exemplar]:
    """Yield the first `count` exemplars of a seed's skills set; each depends on its index only.

    Args:
        params: the world; of it the annotator's noise is read.
        seed: draws the exemplars and the annotator's blind spots.
        count: how many.
        tasks: `rate`, which gets half of them, and those that share the other half.
    """
    spots, slips = blind_spots(params, seed), SLIPS * params.skill_noise
    aims: list[Aim] = [aim for aim in AIMS if aim in tasks]
    for index in range(count):
        draw = Draw("skills", seed, index)
        aim: Aim | None = None
        if draw.chance(REVISE_SHARE):
            # One aim alone takes no draw, so that a set of the two first tasks stays what it was.
            aim = draw.pick(aims) if len(aims) > 1 else aims[0]
        shown = WorldParams(MISALIGNED[aim], SKILLS_NEUTRAL_SHARE, SKILLS_TWO_EPISODE_SHARE)
        story = compose(shown, draw, "skills", SKILLED_THINGS, SKILLED_THINGS)
        if aim == "revise":
            yield _revise(story, draw, spots)
        elif aim == "paraphrase":
            yield _paraphrase(story, spots)
        elif aim == "invert":
            yield _invert(story, draw, spots)
        else:
            yield _rate(story, draw, spots, slips)
