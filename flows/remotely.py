"""Running one long job of a run on Ray, with its progress shown."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from flows.context import RunContext
from workers.interrupting import stop_if_asked

S = TypeVar("S")
T = TypeVar("T")


def remotely(
    context: RunContext, function: Callable[[S, Any], T], spec: S, *, workers: int = 1
) -> T:
    """Run a long job on Ray and show its progress.

    Args:
        context: the run.
        function: the job.
        spec: what it is given.
        workers: processes that it starts for the work, if more than one.
    """
    from workers.remote import run_remote

    context.connect_ray()
    settings = context.experiment.training
    began = {"": time.monotonic()}

    def show(what: str, done: int, total: int, figures: dict[str, Any]) -> None:
        stop_if_asked()
        # A task begins where the one before it was last heard of.
        start = began.setdefault(what, max(began.values()))
        began[""] = time.monotonic()
        said = " ".join(f"{name} {value:.3g}" for name, value in figures.items())
        context.reporter.progress(what, done, total, start, said)

    both_need_gpus = context.experiment.engine.gpus_per_actor > 0 and settings.num_gpus > 0
    if context.cluster() is not None or both_need_gpus:
        # Engines keep GPUs, and on a cluster cores, that training may need, and the next stage that
        # asks a model has new weights to load anyway.
        context.stop_engines()
    return run_remote(
        function,
        spec,
        cpus=settings.threads,
        gpus=settings.num_gpus,
        workers=workers,
        progress=show,
        say=context.say,
        wait_s=context.experiment.engine.wait_s,
    )
