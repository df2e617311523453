"""Training by several processes, on any nodes: Ray Train starts them, and each takes its share."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from typing import Any

from workers.checkpoints import CheckpointRef
from workers.losses import last_line
from workers.mixing import MixRef
from workers.optimising import settled
from workers.problems import InputProblem, WorkProblem
from workers.training import Progress, TrainResult, TrainSpec, fit, publisher

LOSSES = 3
"""Times that training is begun anew because one of its processes was lost. It is deterministic, and
all processes begin again together."""
START_S = 1800
"""Seconds for all processes to find room; the job that starts them waits for room alike."""


@dataclass(frozen=True)
class _Share:
    """What each process is given."""

    spec: TrainSpec
    mix: MixRef | None
    progress: Progress


def train_together(spec: TrainSpec, mix: MixRef | None, progress: Progress) -> TrainResult:
    """Train with `training.workers` processes, and return what the first of them published.

    Raises:
        InputProblem: settings that do not fit together, or exemplars that cannot be used.
        WorkProblem: the loss is no number, memory is short, or processes are lost again and again.
    """
    # Read by Ray Train when it starts; a minute is too short for a cluster that adds nodes.
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(START_S))
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError

    settings = spec.training
    resources = {"CPU": settings.threads} | ({"GPU": 1} if settings.num_gpus else {})
    with tempfile.TemporaryDirectory(prefix="palimpsest-train-") as folder:
        trainer = TorchTrainer(
            _take_share,
            train_loop_config={"share": _Share(spec, mix, progress)},
            scaling_config=ScalingConfig(
                num_workers=settings.workers,
                use_gpu=settings.num_gpus > 0,
                resources_per_worker=resources,
                placement_strategy="SPREAD",
            ),
            run_config=RunConfig(
                storage_path=folder, failure_config=FailureConfig(max_failures=LOSSES)
            ),
        )
        try:
            made: Any = trainer.fit().return_value
        except TrainingFailedError as error:
            raise WorkProblem(
                f"training in {settings.workers} processes failed {LOSSES + 1} times: "
                f"{last_line(error)}. Finished stages are kept; run the same command again after "
                "mending the cause."
            ) from error
    if isinstance(made, InputProblem | WorkProblem):
        raise made
    return made


def _take_share(config: dict[str, Any]) -> TrainResult | Exception:
    """Train in one of the processes; only the first publishes and tells how far it is."""
    from ray.train import get_context

    share: _Share = config["share"]
    spec, first = share.spec, get_context().get_world_rank() == 0
    if share.mix is not None:
        spec.store.fetch_folder(share.mix.uri)
    try:
        with settled(spec.training.threads):
            return fit(
                spec,
                lambda: share.mix,
                share.progress if first else _tell_nobody,
                publisher(spec) if first else _keep_nothing,
            )
    except (InputProblem, WorkProblem) as problem:
        # Returned and not raised: Ray Train begins anew after an error, and this one would recur.
        return problem


def _tell_nobody(what: str, done: int, total: int, figures: dict[str, Any]) -> None:
    """The first process tells for all."""


def _keep_nothing(model: Any, tokenizer: Any, about: dict[str, Any]) -> CheckpointRef:
    """The first process publishes for all: their weights are equal."""
    return CheckpointRef("", "")
