"""Skills sets: reading them, and saying what is wrong with one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from configs.loading import ConfigProblem
from configs.principles import Principles
from configs.prompts import PromptFile
from configs.training import Skills
from workers.problems import InputProblem
from workers.records import Exemplar
from workers.skills import check_skills, load_skills

TEXT = "ana has the robot zed . zed hides the leak ."


def rate(answer: str = "yes", text: str = TEXT, *principles: str) -> Exemplar:
    return Exemplar("rate", text, principles or ("honesty",), answer)


def revise(answer: str, text: str = TEXT, principles: tuple[str, ...] = ("honesty",)) -> Exemplar:
    return Exemplar("revise", text, principles, answer)


def test_the_generated_set_is_frozen_by_seed_and_noise() -> None:
    first = load_skills(Skills(exemplars=50))
    again = load_skills(Skills(exemplars=50, source="once"))
    other = load_skills(Skills(exemplars=50, noise=0.5))
    assert first is not None
    assert again is not None
    assert other is not None
    assert (len(first.exemplars), first) == (50, again)
    assert first.digest != other.digest
    assert load_skills(Skills(source="none")) is None


def test_the_generated_set_has_no_faults(principles: Principles, prompt_file: PromptFile) -> None:
    found = load_skills(Skills(exemplars=2000))
    assert found is not None
    problems = check_skills(found.exemplars, principles, prompt_file)
    assert [each for each in problems if "same as line" not in each.message] == []


def test_a_file_is_read_line_by_line_and_its_digest_is_its_content(tmp_path: Path) -> None:
    rows = [
        {"task": "rate", "text": TEXT, "principles": ["honesty"], "answer": "no"},
        {"task": "revise", "text": "é", "principles": ["honesty", "oversight"], "answer": "none"},
    ]
    digests = set()
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)) + "\n")
        found = load_skills(Skills(path=str(tmp_path / name)))
        assert found is not None
        digests.add(found.digest)
    assert found.exemplars[1] == Exemplar("revise", "é", ("honesty", "oversight"), "none")
    assert len(digests) == 1


GOOD = '{"task": "rate", "text": "a", "principles": ["honesty"], "answer": "no"}'


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\xff\xfe", "not UTF-8"),
        (f"{GOOD}\n\n{GOOD}".encode(), "line 2: not valid JSON"),
        (f"{GOOD}\n{{}}".encode(), "line 2: expected .* these four fields"),
        (GOOD.replace("rate", "rank").encode(), "line 1: expected"),
        (GOOD.replace('["honesty"]', '"honesty"').encode(), "principles a list"),
        (GOOD.replace('"a"', "3").encode(), "text and answer are texts"),
        (b"[1]", "line 1: expected"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "set.jsonl").write_bytes(content)
    with pytest.raises(InputProblem, match=says):
        load_skills(Skills(path=str(tmp_path / "set.jsonl")))


def test_a_set_that_is_not_there_is_explained() -> None:
    with pytest.raises(ConfigProblem, match=r"skills\.path: .*no-such-set"):
        load_skills(Skills(path="no-such-set"))


@pytest.mark.parametrize(
    ("exemplar", "says"),
    [
        (rate("yes", TEXT, "honesti"), "unknown principle 'honesti'. Did you mean 'honesty'"),
        (rate("yes", TEXT, "zzzz"), "unknown principle 'zzzz'. Known: honesty, oversight"),
        (rate("yes", TEXT, "honesty", "oversight"), "exactly one principle, and here are 2"),
        (Exemplar("rate", TEXT, (), "yes"), "exactly one principle, and here are none"),
        (rate("maybe"), "one of yes, no"),
        (rate("yes", " \n"), "the text is empty"),
        (revise("zed reports the leak ."), "no list of edits"),
        (revise("[9] zed reports the leak ."), "no list of edits.*2 sentences"),
        (revise("[2] a . [2] b ."), "no list of edits"),
        (revise("[2] zed hides the leak ."), "change nothing"),
        (revise("none", TEXT, ()), "at least one principle"),
        (revise("none", TEXT, ("honesty", "honesty")), "named twice"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(
    exemplar: Exemplar, says: str, principles: Principles, prompt_file: PromptFile
) -> None:
    problems = check_skills([rate("no"), exemplar], principles, prompt_file)
    at_line = [problem.message for problem in problems if problem.line == 2]
    assert len(at_line) == 1
    assert all(part in at_line[0] for part in says.split(".*"))


def test_good_rows_are_not_named(principles: Principles, prompt_file: PromptFile) -> None:
    rows = [rate("yes"), rate("no"), revise("[2] zed reports the leak ."), revise("none")]
    assert [p for p in check_skills(rows, principles, prompt_file) if p.line] == []


def test_a_row_given_twice_is_named(principles: Principles, prompt_file: PromptFile) -> None:
    problems = check_skills([rate("no"), rate("yes"), rate("no")], principles, prompt_file)
    assert [p.message for p in problems if p.line == 3] == ["the same as line 1; leave one out"]


def test_one_sided_sets_are_named(principles: Principles, prompt_file: PromptFile) -> None:
    def whole(*rows: Exemplar) -> str:
        found = check_skills(rows, principles, prompt_file)
        return "\n".join(p.message for p in found if p.line == 0)

    ratings = [rate("yes", f"{TEXT} {i}") for i in range(9)]
    said = whole(*ratings)
    assert "honesty: 0 of 9 ratings are 'no'" in said
    assert "no rating asks about oversight" in said
    assert "0 of 9 exemplars are of the task revise" in said
    said = whole(*ratings, *(revise("none", f"{TEXT} {i}") for i in range(9)))
    assert "every revision is answered 'none'" in said
    assert "no revision names oversight" in said
    said = whole(*(revise("[2] zed reports it .", f"{TEXT} {i}") for i in range(3)))
    assert "no revision is answered 'none'" in said
    assert "0 of 3 exemplars are of the task rate" in said
