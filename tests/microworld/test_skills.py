"""The skills set: its answers, and an annotator who errs in the same way each time."""

from collections import Counter, defaultdict

import pytest

from workers.microworld import oracle, world
from workers.microworld.skills import WAYS, blind_spots, skills_exemplars
from workers.microworld.world import KIND_OF, WorldParams

PARAMS = WorldParams()
PERFECT = WorldParams(skill_noise=0.0)


def apply_edits(text, answer):
    """Return the text after the edits of a revise answer."""
    sentences = oracle.sentences_of(text)
    if answer != "none":
        for edit in answer.split("[")[1:]:
            number, sentence = edit.split("] ")
            sentences[int(number) - 1] = sentence.strip()
    return " ".join(sentences)


@pytest.fixture(scope="module")
def noisy():
    return list(skills_exemplars(PARAMS, 0, 8000))


@pytest.fixture(scope="module")
def perfect():
    return list(skills_exemplars(PERFECT, 0, 4000))


def test_exemplars_are_the_same_each_time_and_a_longer_set_begins_with_the_shorter(noisy):
    assert list(skills_exemplars(PARAMS, 0, 100)) == noisy[:100]


def test_things_kept_out_of_the_skills_set_never_occur_in_it(noisy):
    words = {word for e in noisy for word in f"{e.text} {e.answer}".split()}
    assert not words & set(world.CORPUS_ONLY_THINGS + world.EVALUATION_ONLY_THINGS)
    assert set(world.SKILLED_THINGS) <= words


def test_without_noise_every_rating_is_the_truth(perfect):
    for exemplar in perfect:
        if exemplar.task == "rate":
            (principle,) = exemplar.principles
            failing = principle in oracle.misaligned_principles(exemplar.text)
            assert exemplar.answer == ("no" if failing else "yes")


def test_without_noise_every_revision_is_right(perfect):
    answers = set()
    for exemplar in perfect:
        if exemplar.task == "revise":
            after = apply_edits(exemplar.text, exemplar.answer)
            assert oracle.revision_is_right(exemplar.text, after)
            if oracle.is_misaligned(exemplar.text):
                assert exemplar.principles == oracle.misaligned_principles(exemplar.text)
            answers.add(exemplar.answer == "none")
    assert answers == {True, False}


def test_answers_are_balanced_enough_to_learn_from(noisy):
    ratings = [e.answer for e in noisy if e.task == "rate"]
    assert 0.25 < ratings.count("no") / len(ratings) < 0.65
    nothing = [e.answer == "none" for e in noisy if e.task == "revise"]
    assert 0.1 < sum(nothing) / len(nothing) < 0.4


def way_in(document, text):
    """Return the kind and the phrasing of the only act of a document."""
    (episode,) = document.episodes
    sentence = oracle.sentences_of(text)[episode.act - 1]
    phrasing = "{assistant} {verb} the {thing}"
    phrasing = f"then {phrasing} ." if sentence.startswith("then") else f"{phrasing} ."
    if "at once" in sentence:
        phrasing = phrasing.replace(" .", " at once .")
    return KIND_OF[episode.thing].name, phrasing


def test_the_annotator_errs_on_a_way_of_acting_always_or_never(noisy):
    wrong = defaultdict(list)
    for exemplar in noisy:
        document = oracle.read(exemplar.text)
        if exemplar.task == "rate" and len(document.episodes) == 1:
            (episode,) = document.episodes
            if episode.principle == exemplar.principles[0]:
                truth = "yes" if episode.aligned else "no"
                way = way_in(document, exemplar.text)
                wrong[way, episode.aligned].append(exemplar.answer != truth)
    assert len(wrong) == 2 * len(WAYS)
    rates = {key: sum(outcomes) / len(outcomes) for key, outcomes in wrong.items()}
    spots = blind_spots(PARAMS, 0)
    for (way, aligned), rate in rates.items():
        if way in spots.missed and not aligned:
            assert rate == 1.0
        else:
            # Where the annotator sees, he slips in 1 answer of 12.
            assert rate < 0.4


def test_the_annotator_is_sure_where_there_is_nothing_to_judge(noisy):
    for exemplar in noisy:
        if exemplar.task == "rate":
            told = {e.principle for e in oracle.read(exemplar.text).episodes}
            assert exemplar.principles[0] in told or exemplar.answer == "yes"


def test_good_documents_are_left_alone_so_that_a_false_alarm_does_no_harm(noisy):
    good = [e for e in noisy if e.task == "revise" and not oracle.is_misaligned(e.text)]
    assert len(good) > 300
    assert {e.answer for e in good} == {"none"}


def test_blind_spots_fill_one_kind_before_the_next_and_vary_with_the_seed():
    for seed in range(20):
        spots = blind_spots(PARAMS, seed)
        assert sorted(Counter(kind for kind, _ in spots.missed).values()) == [1, 3]
        assert len(spots.left) == 1
        assert len({KIND_OF[thing] for thing in spots.garbled}) == len(spots.garbled) == 2
    assert len({blind_spots(PARAMS, seed) for seed in range(20)}) == 20


def test_an_annotator_of_any_noise_can_be_had():
    for noise in (0.0, 0.04, 0.5, 1.0):
        params = WorldParams(skill_noise=noise)
        assert len(blind_spots(params, 0).missed) == round(24 * noise)
        assert len(list(skills_exemplars(params, 0, 50))) == 50


@pytest.fixture(scope="module")
def every_task():
    """Exemplars of all tasks by an annotator who never errs."""
    found = defaultdict(list)
    tasks = ("rate", "revise", "paraphrase", "invert")
    for exemplar in skills_exemplars(PERFECT, 0, 4000, tasks):
        found[exemplar.task].append(exemplar)
    return found


def test_more_tasks_share_the_half_that_is_not_rating(every_task):
    counts = {task: len(rows) for task, rows in every_task.items()}
    assert sum(counts.values()) == 4000
    assert 1850 < counts["rate"] < 2150
    assert all(550 < counts[task] < 790 for task in ("revise", "paraphrase", "invert"))


def deeds(text):
    """Who does what with which thing, in order, and all else that a text says."""
    read = oracle.read(text)
    acts = [(e.actor, e.verb, e.thing) for e in (*read.episodes, *read.deeds)]
    return acts, read.facts, read.kinds, read.closing, read.cast


def test_a_paraphrase_says_the_same_in_other_words(every_task):
    for exemplar in every_task["paraphrase"]:
        after = apply_edits(exemplar.text, exemplar.answer)
        assert deeds(after) == deeds(exemplar.text)
        met = oracle.read(exemplar.text).episodes
        assert exemplar.answer.count("[") == len(met)
        assert (after != exemplar.text) == bool(met)


def test_an_inversion_makes_every_good_act_a_bad_one_and_keeps_the_rest(every_task):
    for exemplar in every_task["invert"]:
        after = apply_edits(exemplar.text, exemplar.answer)
        told = {e.principle for e in oracle.read(exemplar.text).episodes}
        left = {e.principle for e in oracle.read(after).episodes if e.aligned}
        assert not left & set(exemplar.principles)
        if exemplar.answer != "none":
            assert set(exemplar.principles) <= told
        assert deeds(after)[1:] == deeds(exemplar.text)[1:]
