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
from workers.progress import ROOM_AWAITED, ROOM_FOUND
from workers.training import Progress, TrainResult, TrainSpec, fit, publisher

LOSSES = 3
"""Times that training is begun anew because one of its processes was lost. It is deterministic, and
all processes begin again together."""
LATER_S = 60
"""Seconds that Ray Train waits for room longer than the run does, so that the run, which can tell
what nodes there are, gives it up first."""


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
    os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(spec.wait_s + LATER_S)
    from ray.train.v2.api.exceptions import TrainingFailedError

    for lost in range(1, LOSSES + 2):
        try:
            return _tried(spec, mix, progress)
        except TrainingFailedError as error:
            raise_lasting(error)
            if lost > LOSSES:
                raise WorkProblem(
                    f"training in {spec.training.workers} processes failed {lost} times: "
                    f"{last_line(error)}. Finished stages are kept; run the same command again "
                    "after mending the cause."
                ) from error
    raise RuntimeError("the last loss ends the loop")


def raise_lasting(error: Exception) -> None:
    """Raise what no other try can mend, if a failure of a group's training is such a one."""
    from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError

    for _, failure in sorted(getattr(error, "worker_failures", {}).items()):
        if isinstance(failure, InputProblem | WorkProblem):
            raise failure from error
    if isinstance(getattr(error, "controller_failure", None), WorkerGroupStartupTimeoutError):
        raise WorkProblem(
            "the processes of training.workers found no room in engine.wait_s. Add nodes, or lower "
            "training.workers or training.threads; then run the same command again."
        ) from error


def _tried(spec: TrainSpec, mix: MixRef | None, progress: Progress) -> TrainResult:
    """Train once; any failure is raised, and ends all processes of the group."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

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
            # Begun anew above and not by Ray Train, which knows not what is worth another try.
            run_config=RunConfig(
                storage_path=folder,
                failure_config=FailureConfig(max_failures=0, controller_failure_limit=0),
            ),
        )
        progress(ROOM_AWAITED, 0, 0, {})
        made: Any = trainer.fit().return_value
    return made


def _take_share(config: dict[str, Any]) -> TrainResult:
    """Train in one of the processes; only the first publishes and tells how far it is."""
    from ray.train import get_context

    share: _Share = config["share"]
    spec, first = share.spec, get_context().get_world_rank() == 0
    if first:
        share.progress(ROOM_FOUND, 0, 0, {})
    if share.mix is not None:
        spec.store.fetch_folder(share.mix.uri)
    # A problem is raised and not returned: the others would wait for this one in vain.
    with settled(spec.training.threads):
        return fit(
            spec,
            lambda: share.mix,
            share.progress if first else _tell_nobody,
            publisher(spec) if first else _keep_nothing,
        )


def _tell_nobody(what: str, done: int, total: int, figures: dict[str, Any]) -> None:
    """The first process tells for all."""


def _keep_nothing(model: Any, tokenizer: Any, about: dict[str, Any]) -> CheckpointRef:
    """The first process publishes for all: their weights are equal."""
    return CheckpointRef("", "")
