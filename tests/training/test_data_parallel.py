"""Two processes train what one does, and the same bytes each time."""

from __future__ import annotations

import pickle
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray
import torch
import training_demo
from ray.exceptions import ActorDiedError
from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError
from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError
from safetensors.torch import load_file
from torch.multiprocessing import spawn

from workers.cluster import connect
from workers.data_parallel import raise_lasting
from workers.problems import InputProblem, WorkProblem
from workers.remote import run_remote
from workers.training import TrainResult, TrainSpec, train

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    connect(None, 3)
    yield
    ray.shutdown()


def together(spec: TrainSpec, home: Path, **changed: object) -> TrainResult:
    training = spec.training.model_copy(update={"workers": 2, **changed})
    told: list[int] = []
    made = run_remote(
        train,
        replace(spec, training=training, home=str(home)),
        cpus=1,
        gpus=0,
        workers=2,
        progress=lambda what, done, total, figures: told.append(done),
    )
    assert told
    return made


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def agree(one: TrainResult, other: TrainResult) -> None:
    """They learned the same, up to the order in which gradients were summed."""
    assert other.losses == pytest.approx(one.losses, rel=1e-4)
    assert (other.mix, other.tokens_seen) == (one.mix, one.tokens_seen)
    weights = [load_file(Path(m.checkpoint.uri) / "model.safetensors") for m in (one, other)]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=1e-2, atol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["tokens", "rows"])
def test_two_processes_of_a_group_train_what_one_does(
    spec: TrainSpec, tmp_path: Path, loss: str
) -> None:
    stages = {
        name: getattr(spec.training, name).model_copy(update={"loss": loss, "batch_tokens": 640})
        for name in ("corpus", "skills")
    }
    spec = replace(spec, training=spec.training.model_copy(update=stages))
    alone = train(spec, lambda *_: None)
    both = spec.training.model_copy(update={"workers": 2})
    made: list[TrainResult] = []
    for name in ("a", "b"):
        share = replace(spec, training=both, home=str(tmp_path / name))
        out = tmp_path / f"{name}.pickle"
        spawn(training_demo.take_share, (share, alone.mix, str(out), free_port()), nprocs=2)
        made.append(pickle.loads(out.read_bytes()))
    assert made[0].checkpoint.id == made[1].checkpoint.id
    assert made[0].losses == made[1].losses
    agree(alone, made[0])


def test_a_problem_of_one_process_is_told_apart_from_a_loss() -> None:
    lost, lasting = RuntimeError("connection reset by peer"), InputProblem("no such exemplar")
    raise_lasting(WorkerGroupError("", {0: lost, 1: ActorDiedError()}))
    with pytest.raises(InputProblem, match="no such exemplar"):
        raise_lasting(WorkerGroupError("", {0: lost, 1: lasting}))
    with pytest.raises(WorkProblem, match=r"no room in engine\.wait_s"):
        raise_lasting(ControllerError(WorkerGroupStartupTimeoutError(2)))


@pytest.mark.slow
def test_a_problem_of_the_processes_is_not_tried_again(
    spec: TrainSpec, tmp_path: Path, local_ray: None
) -> None:
    settings = {"skills": spec.training.skills.model_copy(update={"tokens": 1})}
    with pytest.raises(InputProblem, match="less than one exemplar"):
        together(spec, tmp_path / "b", **settings)


@pytest.mark.slow
def test_ray_train_starts_the_processes(spec: TrainSpec, tmp_path: Path, local_ray: None) -> None:
    agree(train(spec, lambda *_: None), together(spec, tmp_path / "a"))
