"""Kept answers: each question of the same weights is asked once, and answered as it was."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.engines.answers import Answers, RememberingEngine
from workers.engines.interface import EngineSpec, Reply, Sampling
from workers.engines.scripted import ScriptedEngine
from workers.engines.start import start_engine
from workers.microworld.build import SHIPPED
from workers.problems import WorkProblem

LIMIT = 1 << 30
prompts = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4), max_size=12)


def choice(prompt: Sequence[int]) -> list[float]:
    return [-0.1 * sum(prompt), -1.0 / len(prompt)]


def answer(prompt: Sequence[int]) -> Reply:
    return Reply(tuple(reversed(prompt)), finished=len(prompt) > 1)


def remembering(file: Path, *identity: object) -> RememberingEngine:
    return RememberingEngine(ScriptedEngine(choice, answer), Answers(file, LIMIT), identity)


@given(first=prompts, second=prompts)
def test_calls_are_misses_and_answers_are_the_engines(
    tmp_path_factory: pytest.TempPathFactory, first: list[list[int]], second: list[list[int]]
) -> None:
    file = tmp_path_factory.mktemp("home") / "answers.db"
    seen: set[tuple[int, ...]] = set()
    for asked in (first, second):
        engine = remembering(file, "weights")
        misses = {tuple(prompt) for prompt in asked} - seen
        assert engine.choices(asked, [7, 8]) == [choice(prompt) for prompt in asked]
        assert (engine.usage.calls, engine.usage.reused) == (len(misses), len(asked) - len(misses))
        sampling = Sampling(max_tokens=4)
        assert engine.generate(asked, sampling) == [answer(prompt) for prompt in asked]
        assert engine.usage.calls == 2 * len(misses)
        seen |= misses
        engine.close()


def test_nothing_is_shared_by_other_weights_other_questions_or_other_seeds(tmp_path: Path) -> None:
    file, asked = tmp_path / "answers.db", [[1, 2, 3]]
    one = remembering(file, "weights", "float32")
    one.choices(asked, [7, 8])
    one.generate(asked, Sampling(max_tokens=4, temperature=1.0, seeds=(5,)))
    assert one.usage.calls == 2
    for other in (remembering(file, "other", "float32"), remembering(file, "weights", "bfloat16")):
        other.choices(asked, [7, 8])
        assert other.usage.calls == 1
    one.choices(asked, [8, 7])
    one.generate(asked, Sampling(max_tokens=5, temperature=1.0, seeds=(5,)))
    one.generate(asked, Sampling(max_tokens=4, temperature=1.0, seeds=(6,)))
    assert one.usage.calls == 5
    one.generate(asked, Sampling(max_tokens=4, temperature=1.0, seeds=(5,), sources=((9,),)))
    assert one.usage.calls == 5, "a source changes no reply"


def test_seeds_and_sources_stay_with_their_prompts(tmp_path: Path) -> None:
    told: list[tuple[list[int], Sampling]] = []

    class Told(ScriptedEngine):
        def generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Reply]:
            told.append(([p[0] for p in prompts], sampling))
            return super().generate(prompts, sampling)

    engine = RememberingEngine(Told(choice, answer), Answers(tmp_path / "a.db", LIMIT), ("w",))
    engine.generate([[2]], Sampling(4, 1.0, seeds=(2,), sources=((20,),)))
    sampling = Sampling(4, 1.0, seeds=(1, 2, 3, 3), sources=((10,), (20,), (30,), (30,)))
    engine.generate([[1], [2], [3], [3]], sampling)
    asked, sampling = told[1]
    assert (asked, sampling.seeds, sampling.sources) == ([1, 3], (1, 3), ((10,), (30,)))


def test_the_oldest_go_when_the_file_is_full(tmp_path: Path) -> None:
    answers = Answers(tmp_path / "answers.db", 200_000)
    keys = [i.to_bytes(32, "big") for i in range(2_000)]
    for start in range(0, 2_000, 100):
        answers.keep({key: bytes(200) for key in keys[start : start + 100]})
    known = answers.known(keys)
    assert keys[-1] in known and keys[0] not in known
    assert len(known) < 1_000


def _keep(file: Path, first: int) -> None:
    answers = Answers(file, LIMIT)
    for i in range(first, first + 60):
        answers.keep({i.to_bytes(32, "big"): b"x"})
    answers.close()


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    file = tmp_path / "answers.db"
    spawn = multiprocessing.get_context("spawn")
    at_work = [spawn.Process(target=_keep, args=(file, first)) for first in (0, 30)]
    for process in at_work:
        process.start()
    for process in at_work:
        process.join()
        assert process.exitcode == 0
    assert len(Answers(file, LIMIT).known([i.to_bytes(32, "big") for i in range(90)])) == 90


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "answers.db"
    file.write_bytes(b"not a database" * 100)
    with pytest.raises(WorkProblem, match=r"answers\.db.*delete the file.*answers_gb"):
        Answers(file, LIMIT)


def test_a_started_engine_remembers_under_the_hash_of_its_weights(tmp_path: Path) -> None:
    file = str(tmp_path / "answers.db")
    rows = [[1, 9, 10], [1, 11, 12], [1, 9, 10]]
    found = []
    for weights in ("a", "a", "b"):
        spec = EngineSpec("transformers", str(SHIPPED), weights, "float32", 160, answers=file)
        engine = start_engine(spec)
        found.append((engine.choices(rows, [5, 6]), engine.usage.calls))
        engine.close()
    assert [calls for _, calls in found] == [2, 0, 2]
    assert found[0][0] == found[1][0] == found[2][0]
    assert sqlite3.connect(file).execute("SELECT count(*) FROM answers").fetchone() == (4,)
    with pytest.raises(ValueError, match="hash of the weights"):
        start_engine(EngineSpec("transformers", str(SHIPPED), "", "float32", 160, answers=file))
