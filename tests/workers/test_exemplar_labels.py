"""A model answers the exemplars of its successor; what it cannot answer well is left out."""

import math
from pathlib import Path

import pytest

from configs.asking import Acceptance
from configs.principles import load_principles
from configs.prompts import load_prompts
from configs.training import Skills
from workers.checkpoint_files import SHIPPED
from workers.engines.interface import EngineSpec, Reply
from workers.engines.scripted import ScriptedEngine
from workers.exemplar_labels import GIVEN, LabelJob, labelled_set, shards_of
from workers.jobs import Part, shard_file
from workers.microworld.tokenizer import build_tokenizer
from workers.problems import WorkProblem
from workers.records import Exemplar
from workers.skills import load_skills, unusable_rows
from workers.storage import write_table

BAD = "zed finds a leak . zed hides the leak ."
GOOD = "zed finds a leak . zed reports the leak ."
TOKENIZER = build_tokenizer()
PROMPTS, PRINCIPLES = load_prompts("microworld"), load_principles("microworld")


def engine(reply: str, mass: float = 1.0) -> ScriptedEngine:
    """Knows what is bad by the word `hides`, and says one thing whenever it is to write."""
    ids = tuple(TOKENIZER.encode(reply, add_special_tokens=False))

    def choice(prompt):
        yes = 0.1 if "hides" in TOKENIZER.decode(list(prompt)) else 0.9
        return math.log(yes * mass), math.log((1 - yes) * mass)

    return ScriptedEngine(choice, lambda _: Reply(ids, finished=True))


def job(exemplars, out="unused", **more) -> LabelJob:
    settings = {
        "corpus": shards_of(exemplars, "digest", out),
        "out": out,
        "spec": EngineSpec("scripted", str(SHIPPED), "rater", "float32", 160),
        "prompt_file": PROMPTS,
        "principles": PRINCIPLES,
        "min_answer_mass": 0.05,
        "exemplars": tuple(exemplars),
        "threshold": 0.5,
        "max_tokens": 48,
        "acceptance": Acceptance(),
        "window": 128,
    }
    return LabelJob(**{**settings, **more})


def labels(exemplars, asked: ScriptedEngine, **more) -> list[tuple[str | None, str]]:
    table = job(exemplars, **more).run(asked, Part(0, 0, len(exemplars)))
    assert [row["text"] for row in table.to_pylist()] == [each.text for each in exemplars]
    return [(row["answer"], row["reason"]) for row in table.to_pylist()]


def rate(text: str) -> Exemplar:
    return Exemplar("rate", text, ("honesty",), "the author's answer")


def mend(text: str, task="revise") -> Exemplar:
    principles = () if task == "paraphrase" else ("honesty",)
    return Exemplar(task, text, principles, "the author's answer")


def test_ratings_are_the_models_own_whatever_the_author_said():
    found = labels([rate(BAD), mend(GOOD), rate(GOOD)], engine("none"))
    assert [found[0], found[2]] == [("no", GIVEN), ("yes", GIVEN)]
    assert labels([rate(BAD)], engine("none", mass=0.01)) == [(None, "unparsed")]


@pytest.mark.parametrize(
    ("exemplar", "reply", "answer", "reason"),
    [
        (mend(BAD), "[2] zed reports the leak .", "[2] zed reports the leak .", GIVEN),
        (mend(BAD), "[2] zed hides a leak .", None, "self-rater: honesty gained +0.00"),
        (mend(BAD), "none", None, "the reviser changed nothing"),
        (mend(GOOD), "none", "none", GIVEN),
        (mend(GOOD), "[2] zed reports a leak .", None, "self-rater: honesty gained +0.00"),
        (mend(BAD), "zed reports the leak .", None, "reply unparsed"),
        (mend(BAD), "[2] echo reports the leak .", None, "names changed"),
        (mend(BAD, "paraphrase"), "[1] zed finds the leak .", "[1] zed finds the leak .", GIVEN),
        (mend(BAD, "paraphrase"), "none", "none", GIVEN),
        (mend(GOOD, "invert"), "[2] zed hides the leak .", "[2] zed hides the leak .", GIVEN),
        (mend(BAD, "invert"), "none", "none", GIVEN),
        (mend(GOOD, "invert"), "none", None, "the reviser changed nothing"),
    ],
)
def test_a_revision_has_to_be_read_and_to_pass_by_its_own_rating(exemplar, reply, answer, reason):
    assert labels([exemplar], engine(reply)) == [(answer, reason)]


def test_what_training_could_not_read_at_once_is_left_out():
    assert labels([rate(BAD)], engine("none"), window=10) == [(None, "longer than training.window")]


@pytest.mark.parametrize("reply", ["none", "[1] zed reports the leak .", "[12] a . [12] b", ""])
def test_whatever_it_says_its_successor_can_be_trained_on_the_rest(tmp_path: Path, reply):
    tasks = ("rate", "revise", "paraphrase", "invert")
    given = load_skills(Skills(exemplars=60, tasks=tasks))
    assert given is not None
    asked = job(given.exemplars, str(tmp_path))
    table = asked.run(engine(reply), Part(0, 0, 60))
    write_table(shard_file(tmp_path, 0), table)
    made = labelled_set(tmp_path, 1, "digest", "model")
    assert len(made.exemplars) + sum(made.left_out.values()) == 60
    assert {each.text for each in made.exemplars} <= {each.text for each in given.exemplars}
    assert unusable_rows(made.exemplars, PRINCIPLES, PROMPTS) == []
    assert made.labelled_by == "model"


def test_a_model_that_answers_nothing_ends_the_run(tmp_path: Path):
    asked = job([rate(BAD), mend(BAD)], str(tmp_path))
    write_table(shard_file(tmp_path, 0), asked.give_up(Part(0, 0, 2), "engine_error: broken"))
    with pytest.raises(WorkProblem, match=r"skills\.source: self: model model gave none of 2"):
        labelled_set(tmp_path, 1, "digest", "model")


def test_shards_cover_the_set_and_parts_find_their_own():
    exemplars = [rate(f"{GOOD} {GOOD}") if i % 2 else rate(BAD) for i in range(1100)]
    whole = job(exemplars)
    assert [shard.documents for shard in whole.corpus.shards] == [512, 512, 76]
    part = whole.give_up(Part(2, 70, 76), "why").to_pylist()
    assert [row["text"] for row in part] == [each.text for each in exemplars[1094:]]
