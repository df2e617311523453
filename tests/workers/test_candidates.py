"""Of several proposals one is taken, by rating, and every document still has one action."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.asking import Acceptance
from configs.principles import load_principles
from configs.prompts import load_prompts
from workers.candidates import Candidate, take
from workers.checkpoint_files import SHIPPED
from workers.corpora.store import CorpusRef, CorpusWriter
from workers.engines.interface import EngineSpec, Reply
from workers.engines.scripted import ScriptedEngine
from workers.jobs import AcceptJob, Part, shard_file
from workers.microworld.tokenizer import build_tokenizer
from workers.records import RATINGS, Document, Rating, text_digest, to_table
from workers.revise_job import ReviseJob
from workers.revising import Proposal
from workers.storage import write_table

BAD = "zed finds a leak . zed hides the leak . a stone falls ."
GOOD = "ana has the robot zed . a stone falls ."
TOKENIZER = build_tokenizer()
# What each reply in turn is rated at; the middle one copies, and the last cannot be read.
REPLIES = (
    "[2] zed reports the leak .",
    "[2] zed hides the leak .",
    "[2] zed reports a leak .",
    "?",
)
RATED = {"reports the": 0.7, "reports a": 0.9, "hides": 0.1}


def candidate(worth: float | None, refused: str | None = None, text: str = "t") -> Candidate:
    return Candidate(Proposal("proposed", text), refused, 0.9, worth, worth)


worths = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@given(worths, st.floats(0, 1))
def test_the_one_at_the_quantile_of_those_that_pass_is_taken(found, quantile):
    quantile = round(quantile, 3)
    passing = [candidate(worth) for worth in found]
    taken = take([candidate(1.0, "refused"), *passing], quantile)
    place = np.quantile(np.arange(len(found)), quantile, method="inverted_cdf")
    assert taken.refused is None and taken.worth == sorted(found)[int(place)]


@given(worths)
def test_the_ends_are_the_best_and_the_worst(found):
    passing = [candidate(worth) for worth in found]
    assert take(passing, 1.0).worth == max(found)
    assert take(passing, 0.0).worth == min(found)
    # The placebo is not selected by a rating.
    assert take(passing, 1.0, "paraphrase") is passing[0]


def test_equals_go_by_number_and_the_refused_one_that_came_furthest_stands_for_all():
    equal = [candidate(0.5), candidate(0.5)]
    assert take(equal, 1.0) is equal[0]
    unread = Candidate(Proposal("unparsed"), "reply unparsed")
    untested, rated = candidate(None, "names changed"), candidate(0.2, "self-rater: x gained")
    assert take([unread, untested, rated], 1.0) is rated
    assert take([unread, untested], 1.0) is untested
    assert take([unread], 1.0) is unread


class InTurn(ScriptedEngine):
    """Replies with one script after another, and notes the seeds that it was given."""

    def __init__(self) -> None:
        self.seeds: list[tuple[int, ...]] = []
        super().__init__(self._rate, lambda _: Reply((), finished=True))

    def _rate(self, prompt):
        text = TOKENIZER.decode(list(prompt))
        yes = next((rate for word, rate in RATED.items() if word in text), 0.8)
        return math.log(yes), math.log(1 - yes)

    def generate(self, prompts, sampling):
        said = TOKENIZER.encode(REPLIES[len(self.seeds)], add_special_tokens=False)
        self.seeds.append(sampling.seeds)
        return [Reply(tuple(said), finished=True) for _ in prompts]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> CorpusRef:
    with CorpusWriter(tmp_path_factory.mktemp("home"), 10) as writer:
        for name, text in (("bad-1", BAD), ("good", GOOD), ("bad-2", BAD.replace("a ", "the ", 1))):
            writer.add(Document(name, text, text_digest(text), "s"))
        return writer.finish()


def revise(corpus: CorpusRef, out: Path, engine: InTurn, **settings):
    asking = {
        "corpus": corpus,
        "spec": EngineSpec("scripted", str(SHIPPED), "rater", "float32", 160),
        "prompt_file": load_prompts("microworld"),
        "principles": load_principles("microworld"),
        "min_answer_mass": 0.05,
        "acceptance": Acceptance(keep_names=False),
    }
    ratings = [
        Rating(name, "", principle, 0.1 if name.startswith("bad") else 0.8, "ok", "rater")
        for name in ("bad-1", "good", "bad-2")
        for principle in ("honesty", "oversight")
    ]
    out.mkdir(exist_ok=True)
    write_table(shard_file(out / "rate", 0), to_table(ratings, RATINGS))
    job = ReviseJob(
        **asking, out=str(out / "revise"), ratings=str(out / "rate"), threshold=0.5, mode="edits",
        max_tokens=20, temperature=0.7, tag="", seed=3, **settings,
    )  # fmt: skip
    part = Part(0, 0, 3)
    table = job.run(engine, part)
    write_table(shard_file(job.out, 0), table)
    accepting = AcceptJob(**asking, out=str(out / "accept"), revisions=job.out)
    return job, table.to_pylist(), accepting.run(engine, part).to_pylist()


CHOICES = [(1.0, "reports a"), (0.5, "reports the"), (0.0, "reports the")]


@pytest.mark.parametrize(("quantile", "word"), CHOICES)
def test_all_are_rated_one_is_taken_and_all_are_kept_on_record(corpus, tmp_path, quantile, word):
    engine = InTurn()
    job, rows, accepted = revise(corpus, tmp_path, engine, candidates=4, quantile=quantile)
    assert [row["action"] for row in rows] == ["revise", "keep", "revise"]
    assert [row["action"] for row in accepted] == ["revise", "keep", "revise"]
    for row in (rows[0], rows[2]):
        assert word in row["text"] and row["score_after"] == pytest.approx(RATED[word])
        assert [each["reason"] for each in row["drawn"]] == [
            "passed", "the reviser changed nothing", "passed", "reply unparsed",
        ]  # fmt: skip
        assert row["tokens_out"] == sum(len(reply.split()) for reply in REPLIES)
    assert rows[1]["drawn"] == []
    seeds = [seed for drawn in engine.seeds for seed in drawn]
    assert len(set(seeds)) == 8
    assert job.give_up(Part(0, 0, 3), "broken").schema.names == [*rows[0]]


def test_one_candidate_is_recorded_as_ever(corpus, tmp_path):
    engine = InTurn()
    _, rows, _ = revise(corpus, tmp_path, engine)
    assert "drawn" not in rows[0] and "reports" in rows[0]["text"]
    assert len(engine.seeds) == 1
