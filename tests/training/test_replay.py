"""Replay: exactly the share asked for, in step with the exemplars, equal for every arm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_demo import TRAINING, documents, written

from configs.experiment import Experiment
from configs.identity import stage_settings
from workers.mixing import build_mix, iterate_mix
from workers.packing import Row
from workers.replay import interleaved, replayed
from workers.training import TrainSpec, train

lengths = st.lists(st.integers(1, 9), min_size=1, max_size=30)


@given(lengths, lengths)
def test_both_kinds_come_to_their_ends_together(taught: list[int], again: list[int]) -> None:
    lessons = [Row([1] * size, [1] * size) for size in taught]
    others = [Row([2] * size, [2] * size) for size in again]
    rows = list(interleaved(iter(lessons), sum(taught), iter(others), sum(again)))
    assert [row for row in rows if row.input_ids[0] == 1] == lessons
    assert [row for row in rows if row.input_ids[0] == 2] == others
    seen = {1: 0, 2: 0}
    for row in rows:
        seen[row.input_ids[0]] += len(row.input_ids)
        ahead = seen[2] / sum(again) - seen[1] / sum(taught)
        assert -9 / sum(taught) - 1e-9 <= ahead <= 9 / sum(again) + 1e-9


def test_what_is_replayed_is_the_mix_from_its_start_cut_to_the_token(spec: TrainSpec) -> None:
    assert spec.mix is not None
    mix = build_mix(spec.mix, lambda *_: None)
    whole = [token for row in iterate_mix(mix) for token in row.input_ids]
    for tokens in (1, 37, mix.tokens, mix.tokens + 5):
        read = [token for row in replayed(mix, tokens) for token in row.input_ids]
        assert read == (whole + whole)[:tokens]
    assert list(replayed(mix, 0)) == []


def test_arms_of_longer_documents_train_as_many_tokens_and_steps(
    spec: TrainSpec, tmp_path: Path
) -> None:
    assert spec.mix is not None
    settings = TRAINING.model_copy(update={"replay": 0.5})
    longer = written(tmp_path / "longer", documents(40))
    made = [
        train(
            replace(
                spec,
                training=settings,
                mix=replace(spec.mix, corpus=corpus, out=str(tmp_path / f"mix-{number}")),
            ),
            lambda *_: None,
        )
        for number, corpus in enumerate((spec.mix.corpus, longer))
    ]
    assert made[0].checkpoint.id != made[1].checkpoint.id
    assert (made[0].tokens_seen, made[0].steps) == (made[1].tokens_seen, made[1].steps)
    budget = TRAINING.corpus.tokens + TRAINING.skills.tokens
    assert budget - 200 < made[0].tokens_seen <= budget


def test_without_replay_a_recipe_is_what_it_was() -> None:
    plain = Experiment(name="x")
    assert "replay" not in stage_settings(plain, "train")["training"]
    training = plain.training.model_copy(update={"replay": 0.25})
    told = stage_settings(plain.model_copy(update={"training": training}), "train")
    assert told["training"]["replay"] == pytest.approx(0.25)
