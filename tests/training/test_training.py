"""Training: equal bytes for equal specs, equal tokens for all arms, and what stops it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from training_demo import TRAINING, written

from configs.stages import Stage
from workers import optimising
from workers.checkpoints import CheckpointRef, load_model, open_checkpoint
from workers.corpora.store import iterate
from workers.packing import reply_row
from workers.problems import InputProblem, WorkProblem
from workers.records import Exemplar, text_digest
from workers.skills import SkillsSet
from workers.training import TrainResult, TrainSpec, train


def run(spec: TrainSpec) -> TrainResult:
    return train(spec, lambda what, done, total, figures: None)


def test_a_row_loss_is_the_mean_of_each_rows_own_mean(tiny: CheckpointRef) -> None:
    rows = [reply_row([5, 6, 7], [8]), reply_row([9, 4], [5, 6, 7, 8, 9, 10, 11])]
    own = []
    for row in rows:
        model = load_model(tiny)
        ids = torch.tensor([list(row.input_ids)])
        own.append(model(input_ids=ids, labels=torch.tensor([list(row.labels)])).loss.item())
    stage = Stage(tokens=13, learning_rate=1e-9, batch_tokens=16, warmup_steps=1, loss="rows")
    plan = optimising.StagePlan("skills", stage, 13, lambda: iter(rows))
    settings = TRAINING.model_copy(update={"window": 16})
    seen = optimising.run_stage(load_model(tiny), plan, settings, 0, lambda *_: None)
    assert seen == pytest.approx(sum(own) / 2, abs=2e-4)
    whole = replace(plan, settings=stage.model_copy(update={"loss": "tokens"}))
    by_token = optimising.run_stage(load_model(tiny), whole, settings, 0, lambda *_: None)
    assert by_token == pytest.approx((own[0] + 7 * own[1]) / 8, abs=2e-4)


def test_equal_specs_give_equal_bytes_wherever_they_run(spec: TrainSpec, tmp_path: Path) -> None:
    first = run(spec)
    torch.manual_seed(99)
    again = run(replace(spec, home=str(tmp_path / "other")))
    assert (again.checkpoint.id, again.losses) == (first.checkpoint.id, first.losses)
    assert again.checkpoint.uri != first.checkpoint.uri
    assert again.corpus_stage is not None
    assert first.corpus_stage is not None
    assert again.corpus_stage.id == first.corpus_stage.id != first.checkpoint.id
    for made in (first.checkpoint, first.corpus_stage):
        assert open_checkpoint(made.uri) == made
    assert run(replace(spec, seed=1)).checkpoint.id != first.checkpoint.id


def test_training_teaches_and_tells_how_far_it_is(spec: TrainSpec) -> None:
    told: list[tuple[str, int, int, dict[str, Any]]] = []
    made = train(spec, lambda *row: told.append(row))
    assert made.losses.keys() == {"corpus", "skills"}
    assert made.losses["corpus"] < 0.9 * math.log(268)
    assert made.tokens_per_s > 0
    corpus = [row for row in told if row[0] == "train corpus"]
    assert [row[1] for row in corpus] == [*range(512, 4000, 512), 4000]
    assert corpus[-1][3]["loss"] == pytest.approx(made.losses["corpus"], rel=0.5)
    assert {row[0] for row in told} == {"mix", "train corpus", "train skills"}


def test_every_arm_reads_the_same_number_of_tokens(spec: TrainSpec, tmp_path: Path) -> None:
    assert spec.mix is not None
    rows = [
        replace(row, text=row.text + " .", text_sha256=text_digest(row.text + " ."))
        for row in iterate(spec.mix.corpus)
        if int(row.doc_id[1:]) % 5
    ]
    other = replace(spec, mix=replace(spec.mix, corpus=written(tmp_path, rows)))
    seen: list[list[str]] = []
    tokens: list[int] = []
    for each in (spec, other):
        told: list[str] = []
        tokens.append(train(each, lambda *row, told=told: told.append(f"{row[:3]}")).tokens_seen)
        seen.append([row for row in told if "train" in row])
    assert tokens[0] == tokens[1]
    assert seen[0] == seen[1]
    assert 4000 + 3000 - 128 < tokens[0] <= 4000 + 3000


def test_a_stage_can_be_left_out(spec: TrainSpec) -> None:
    corpus_only = run(replace(spec, skills=None))
    whole = run(spec)
    assert corpus_only.corpus_stage is None
    assert corpus_only.losses.keys() == {"corpus"}
    assert whole.corpus_stage is not None
    assert corpus_only.checkpoint.id == whole.corpus_stage.id
    skills_only = run(replace(spec, mix=None))
    assert (skills_only.corpus_stage, skills_only.mix) == (None, None)
    assert skills_only.losses.keys() == {"skills"}
    with pytest.raises(ValueError, match="nothing to train on"):
        run(replace(spec, mix=None, skills=None))


def test_from_scratch_the_parent_gives_its_shape_and_not_its_weights(
    spec: TrainSpec, tiny: CheckpointRef
) -> None:
    fresh = replace(spec, reinitialise=True, skills=None, seed=5)
    # A rate of nearly nothing leaves the weights where they began.
    still = TRAINING.corpus.model_copy(update={"learning_rate": 1e-12})
    fresh = replace(fresh, training=TRAINING.model_copy(update={"corpus": still}))
    parent = load_model(tiny).state_dict()
    drawn = load_model(run(fresh).checkpoint).state_dict()
    assert {k: v.shape for k, v in drawn.items()} == {k: v.shape for k, v in parent.items()}
    assert not torch.allclose(drawn["lm_head.weight"], parent["lm_head.weight"], atol=1e-3)
    kept = load_model(run(replace(fresh, reinitialise=False)).checkpoint).state_dict()
    assert torch.allclose(kept["lm_head.weight"], parent["lm_head.weight"], atol=1e-6)
    assert run(replace(fresh, seed=1)).checkpoint.id != run(fresh).checkpoint.id


def test_the_rate_rises_then_falls_to_a_tenth_and_norms_do_not_decay(tiny: CheckpointRef) -> None:
    plan = optimising.StagePlan("corpus", TRAINING.corpus, 4000, lambda: iter(()))
    optimiser, schedule = optimising._optimisers(load_model(tiny), plan, TRAINING)
    shares = [schedule.lr_lambdas[0](step) for step in range(plan.steps + 1)]
    assert shares[:3] == [0.5, 1.0, 1.0]
    assert shares[3:] == sorted(shares[3:], reverse=True)
    assert shares[-1] == pytest.approx(0.1)
    decays = {g["weight_decay"]: {p.ndim for p in g["params"]} for g in optimiser.param_groups}
    assert decays == {0.1: {2}, 0.0: {1}}


def test_bfloat16_arithmetic_leaves_float32_weights(spec: TrainSpec) -> None:
    half = replace(spec, training=TRAINING.model_copy(update={"dtype": "bfloat16"}))
    made = run(half)
    weights = load_file(Path(made.checkpoint.uri) / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert made.losses["corpus"] == pytest.approx(run(spec).losses["corpus"], abs=0.1)
    assert made.checkpoint.id != run(spec).checkpoint.id


def test_threads_and_determinism_are_put_back(spec: TrainSpec) -> None:
    during: list[tuple[int, bool]] = []

    def state() -> tuple[int, bool]:
        return torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()

    torch.set_num_threads(2)
    train(replace(spec, mix=None), lambda *row: during.append(state()))
    assert state() == (2, False)
    assert set(during) == {(1, True)}
    torch.set_num_threads(1)


def test_nothing_is_left_beside_the_checkpoints(
    spec: TrainSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    monkeypatch.chdir(place)
    made = run(spec)
    assert list(place.iterdir()) == []
    held = {path.name for path in (tmp_path / "home" / "checkpoints").iterdir()}
    assert made.corpus_stage is not None
    assert held == {made.checkpoint.id, made.corpus_stage.id}


def test_a_loss_that_is_no_number_stops_training_and_publishes_nothing(
    spec: TrainSpec, tmp_path: Path
) -> None:
    wild = Stage(tokens=4000, learning_rate=1e30, batch_tokens=512, warmup_steps=0)
    with pytest.raises(WorkProblem, match=r"corpus stage: the loss is no longer a number.*1e\+30"):
        run(replace(spec, training=TRAINING.model_copy(update={"corpus": wild})))
    assert not (tmp_path / "home" / "checkpoints").exists()


def with_skills(spec: TrainSpec, *rows: Exemplar) -> TrainSpec:
    return replace(spec, mix=None, skills=SkillsSet(rows, "0" * 64))


def test_exemplars_that_cannot_be_used_are_named_before_training(spec: TrainSpec) -> None:
    good = Exemplar("rate", "zed hides the leak .", ("honesty",), "no")
    unknown = replace(good, principles=("honesti",))
    with pytest.raises(InputProblem, match=r"exemplar 2: unknown principle .* skills check"):
        run(with_skills(spec, good, unknown))
    long = replace(good, text="ana " * 200)
    with pytest.raises(InputProblem, match=r"exemplar 1 is 20\d tokens long .* training\.window"):
        run(with_skills(spec, long))
    little = TRAINING.model_copy(
        update={"skills": TRAINING.skills.model_copy(update={"tokens": 5})}
    )
    with pytest.raises(InputProblem, match=r"training\.skills\.tokens: 5 is less than one"):
        run(replace(with_skills(spec, good), training=little))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"window": 512}, r"training\.corpus\.batch_tokens: 500 is less than training\.window"),
        ({"window": 400}, r"training\.window: 400 is more than the 256 tokens"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(
    spec: TrainSpec, change: dict[str, Any], says: str
) -> None:
    assert spec.mix is not None
    stage = TRAINING.corpus.model_copy(update={"batch_tokens": 500})
    training = TRAINING.model_copy(update={"corpus": stage, **change})
    mix = replace(spec.mix, window=training.window)
    with pytest.raises(InputProblem, match=says):
        run(replace(spec, training=training, mix=mix))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_said(spec: TrainSpec) -> None:
    with pytest.raises(InputProblem, match="PyTorch finds no GPU"):
        run(replace(spec, training=TRAINING.model_copy(update={"num_gpus": 1})))
