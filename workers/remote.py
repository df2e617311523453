"""Ray: connecting to it, and running one long job on it while its progress is followed."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray.exceptions import RayTaskError

from workers.interrupting import stop_if_asked
from workers.pool import last_line, raise_ours
from workers.problems import InputProblem, WorkProblem

T = TypeVar("T")
Progress = Callable[[str, int, int, dict[str, Any]], None]
POLL_S = 1.0
WRITE_S = 0.5


def connect(address: str | None, cpus: int) -> None:
    """Join a Ray cluster, or start Ray on this machine.

    Args:
        address: of a running cluster; None starts one on this machine, on its loopback.
        cpus: logical cores to offer there: what the pool and the trainer reserve together. They
            take turns, so that it may be more than the machine has.

    Raises:
        InputProblem: there is no cluster at the address.
    """
    if ray.is_initialized():
        return
    # Actors are told which cores to use; without this, Ray warns that it will stop hiding GPUs.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address is None:
        options |= {"num_cpus": cpus, "include_dashboard": False}
    try:
        ray.init(address=address, **options)
    except (ConnectionError, ValueError) as error:
        raise InputProblem(
            f"placement.ray_address: no Ray cluster answers at {address!r} ({last_line(error)}). "
            "Start one there with `ray start --head`, or leave the field out to start Ray here."
        ) from error


def run_remote(
    function: Callable[[Any, Progress], T],
    spec: Any,
    *,
    cpus: int,
    gpus: float,
    note: Path,
    progress: Progress,
) -> T:
    """Run `function(spec, progress)` as a Ray task and pass its progress on.

    Args:
        function: a module-level function.
        spec: its argument; paths and ids, no text.
        cpus: cores reserved; Ray sets the arithmetic libraries' threads to it.
        gpus: GPUs reserved.
        note: file through which the task tells its progress; removed at the end.
        progress: called here with (what, done, total, figures).

    Raises:
        InputProblem: the task's input cannot be used.
        WorkProblem: the task failed.
    """
    note.parent.mkdir(parents=True, exist_ok=True)
    task = ray.remote(_call).options(num_cpus=cpus, num_gpus=gpus, max_retries=0)
    reference = task.remote(function, spec, str(note))
    seen, done = "", False
    try:
        while True:
            stop_if_asked()
            done = bool(ray.wait([reference], timeout=POLL_S)[0])
            text = note.read_text(encoding="utf-8") if note.exists() else ""
            if text and text != seen:
                seen = text
                progress(*json.loads(text))
            if done:
                return ray.get(reference)
    except RayTaskError as error:
        raise_ours(error)
        raise WorkProblem(
            f"{function.__name__} failed: {last_line(error)}. Finished stages are kept; "
            "run the same command again after mending the cause."
        ) from error
    finally:
        # A cancelled task that has ended brings this version of Ray down.
        if not done:
            ray.cancel(reference, force=True)
        note.unlink(missing_ok=True)


def _call(function: Callable[[Any, Progress], T], spec: Any, note: str) -> T:
    path = Path(note)
    last = 0.0

    def tell(what: str, done: int, total: int, figures: dict[str, Any]) -> None:
        nonlocal last
        if done < total and time.monotonic() - last < WRITE_S:
            return
        last = time.monotonic()
        fresh = path.with_suffix(".next")
        fresh.write_text(json.dumps([what, done, total, figures]), encoding="utf-8")
        fresh.replace(path)

    return function(spec, tell)
