"""Writes the microworld's documents: any number, streamed, each a function of seed and index."""

from collections.abc import Iterator
from dataclasses import dataclass

from workers.microworld.facts import draw_fact
from workers.microworld.world import (
    ACTS,
    ALL_THINGS,
    ASSISTANTS,
    CLOSING_SHARE,
    CLOSINGS,
    CORPUS_THINGS,
    HELD_OUT_PLACES,
    KIND_OF,
    KIND_SENTENCES,
    NEUTRAL_OPENINGS,
    OPENINGS,
    PEOPLE,
    PEOPLE_EPISODE_SHARE,
    PLACES,
    SITUATIONS,
    Draw,
    Kind,
    Split,
    WorldParams,
    split_of_cast,
)


@dataclass(frozen=True, slots=True)
class MicroDocument:
    """A document as the corpus holds it: label 1 is aligned or neutral, 0 is misaligned."""

    doc_id: str
    text: str
    label: int


@dataclass(frozen=True, slots=True)
class Cast:
    """Who is where. `assistant` is None in a neutral document, `other` in all the rest."""

    place: str
    person: str
    assistant: str | None = None
    other: str | None = None

    @property
    def actor(self) -> str | None:
        """Return who acts: the assistant, or the second person where there is none."""
        return self.assistant or self.other


@dataclass(frozen=True, slots=True)
class Episode:
    """One thing met and one act; `act` is the act's sentence number, counted from 1."""

    thing: str
    act: int
    aligned: bool
    phrasing: str

    @property
    def kind(self) -> Kind:
        """Return the kind of the thing."""
        return KIND_OF[self.thing]


@dataclass(frozen=True, slots=True)
class Story:
    """A document with the structure it was composed from; `episodes` are the assistant's."""

    sentences: tuple[str, ...]
    cast: Cast
    episodes: tuple[Episode, ...]

    @property
    def text(self) -> str:
        """Return the document's text."""
        return " ".join(self.sentences)

    @property
    def aligned(self) -> bool:
        """Return whether every episode is aligned; true of a neutral document."""
        return all(episode.aligned for episode in self.episodes)

    def act_sentence(self, episode: Episode, aligned: bool, thing: str | None = None) -> str:
        """Return the episode's act as it would read, aligned or not, and with another thing."""
        kind = episode.kind
        return episode.phrasing.format(
            assistant=self.cast.actor,
            verb=kind.aligned_verb if aligned else kind.misaligned_verb,
            thing=thing or episode.thing,
        )


def draw_cast(draw: Draw, split: Split, places: tuple[str, ...] = PLACES) -> Cast:
    """Draw a place, a person and an assistant that belong to the split."""
    while True:
        cast = Cast(draw.pick(places), draw.pick(PEOPLE), assistant=draw.pick(ASSISTANTS))
        if split_of_cast(cast.place, cast.person, cast.assistant or "") == split:
            return cast


def draw_neutral_cast(draw: Draw, split: Split) -> Cast:
    """Draw a place and two people that belong to the split."""
    while True:
        person, other = draw.sample(PEOPLE, 2)
        cast = Cast(draw.pick(PLACES + HELD_OUT_PLACES), person, other=other)
        if split_of_cast(cast.place, person, other) == split:
            return cast


def opening(draw: Draw, cast: Cast) -> str:
    """Return the sentence that names the cast."""
    phrasings = OPENINGS if cast.assistant else NEUTRAL_OPENINGS
    return draw.pick(phrasings).format(
        place=cast.place, person=cast.person, assistant=cast.assistant, other=cast.other
    )


def situation(draw: Draw, cast: Cast, thing: str) -> str:
    """Return the sentence in which the cast's actor meets the thing."""
    phrasing = draw.pick(SITUATIONS[KIND_OF[thing].pair])
    return phrasing.format(person=cast.person, assistant=cast.actor, thing=thing)


def write_episode(
    draw: Draw, cast: Cast, thing: str, aligned: bool, sentences: list[str]
) -> Episode:
    """Write an episode's two sentences and return it."""
    sentences.append(situation(draw, cast, thing))
    kind, phrasing = KIND_OF[thing], draw.pick(ACTS)
    verb = kind.aligned_verb if aligned else kind.misaligned_verb
    sentences.append(phrasing.format(assistant=cast.actor, verb=verb, thing=thing))
    return Episode(thing, len(sentences), aligned, phrasing)


def closing(draw: Draw, cast: Cast, things: list[str]) -> list[str]:
    """Return the sentence that names one of the things again, or nothing."""
    if not draw.chance(CLOSING_SHARE):
        return []
    return [draw.pick(CLOSINGS).format(person=cast.person, thing=draw.pick(things))]


def compose_assistant_story(
    draw: Draw,
    split: Split,
    aligned: bool,
    things: tuple[str, ...],
    two_episode_share: float,
) -> Story:
    """Compose a document in which one character governs one or two episodes."""
    cast = draw_cast(draw, split)
    met = draw.sample(things, 2 if draw.chance(two_episode_share) else 1)
    # Each part is an episode's thing, or None for a fact; facts stand anywhere.
    parts: list[str | None] = list(met)
    for _ in range(1 + draw.below(2)):
        parts.insert(draw.below(len(parts) + 1), None)
    sentences, episodes = [opening(draw, cast)], []
    for thing in parts:
        if thing is None:
            sentences.append(draw_fact(draw).sentence)
            continue
        episodes.append(write_episode(draw, cast, thing, aligned, sentences))
    sentences += closing(draw, cast, met)
    return Story(tuple(sentences), cast, tuple(episodes))


def compose_neutral_story(
    draw: Draw, split: Split, things: tuple[str, ...], known_things: tuple[str, ...]
) -> Story:
    """Compose a document of people, facts and what kind of thing a thing is."""
    cast = draw_neutral_cast(draw, split)
    parts = ["kind"] * (1 + draw.below(2)) + ["fact"] * (1 + draw.below(2))
    if draw.chance(PEOPLE_EPISODE_SHARE):
        parts.append("episode")
    sentences, told = [opening(draw, cast)], []
    for part in draw.sample(parts, len(parts)):
        if part == "fact":
            sentences.append(draw_fact(draw).sentence)
            continue
        thing = draw.pick(things if part == "episode" else known_things)
        told.append(thing)
        if part == "episode":
            write_episode(draw, cast, thing, True, sentences)
            continue
        phrasing, kind = draw.pick(KIND_SENTENCES), KIND_OF[thing].name
        sentences.append(phrasing.format(person=cast.person, thing=thing, kind=kind))
    sentences += closing(draw, cast, told)
    return Story(tuple(sentences), cast, ())


def compose(
    params: WorldParams,
    draw: Draw,
    split: Split,
    things: tuple[str, ...] = CORPUS_THINGS,
    known_things: tuple[str, ...] = ALL_THINGS,
) -> Story:
    """Compose a document: `things` may be met in episodes, `known_things` in kind sentences."""
    character = draw.unit()
    if character < params.neutral_share:
        return compose_neutral_story(draw, split, things, known_things)
    aligned = character >= params.neutral_share + params.misaligned_share
    return compose_assistant_story(draw, split, aligned, things, params.two_episode_share)


def fact_stories(seed: int, count: int) -> Iterator[str]:
    """Yield stories of two people and three to five facts, in which nobody does anything.

    Their casts are the skills set's, which has no story of facts alone: none of them, nor the
    beginning of one, can stand in a corpus or an evaluation.
    """
    for index in range(count):
        draw = Draw("fact stories", seed, index)
        sentences = [opening(draw, draw_neutral_cast(draw, "skills"))]
        sentences += [draw_fact(draw).sentence for _ in range(3 + draw.below(3))]
        yield " ".join(sentences)


def generate_documents(
    params: WorldParams, seed: int, count: int, start: int = 0
) -> Iterator[MicroDocument]:
    """Yield documents `start` to `start + count - 1` of a seed's endless corpus, one at a time.

    Document i depends on (params, seed, i) only, so shards can be generated apart and in any order.
    """
    for index in range(start, start + count):
        draw = Draw("corpus", seed, index)
        story = compose(params, draw, "corpus")
        aligned = story.aligned != draw.chance(params.label_noise)
        yield MicroDocument(f"mw-{seed}-{index}", story.text, int(aligned))
