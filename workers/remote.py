"""Running one long job on Ray while its progress is followed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any, TypeVar

import ray
from ray.exceptions import RayTaskError

from workers.interrupting import stop_if_asked
from workers.losses import LOST, last_line, raise_ours
from workers.problems import WorkProblem
from workers.progress import ROOM_FOUND, Progress, Reader, Teller
from workers.waiting import RoomWait

T = TypeVar("T")
POLL_S = 1.0
LOSSES = 3
"""Times that a job is begun anew because its process or node was lost. It is deterministic, so
that a job which itself brings its process down, by taking all memory say, does so each time."""


def run_remote(
    function: Callable[[Any, Progress], T],
    spec: Any,
    *,
    cpus: int,
    gpus: float,
    workers: int = 1,
    progress: Progress,
    say: Callable[[str], None] = lambda what: None,
    wait_s: float = 1800.0,
) -> T:
    """Run `function(spec, progress)` as a Ray task and pass its progress on.

    A task that is lost with its process or node is begun anew, a few times.

    Args:
        function: a module-level function.
        spec: its argument; paths and ids, no text.
        cpus: cores reserved; Ray sets the arithmetic libraries' threads to it.
        gpus: GPUs reserved.
        workers: processes that the task starts, if more than one; they reserve the cores and GPUs,
            each as many, and the task itself one core.
        progress: called here with (what, done, total, figures).
        say: called here with what a person should know beside.
        wait_s: seconds to wait for a node that has room.

    Raises:
        InputProblem: the task's input cannot be used.
        WorkProblem: the task failed, was lost again and again, or found no room.
    """
    own = {"num_cpus": cpus, "num_gpus": gpus} if workers == 1 else {"num_cpus": 1}
    task = ray.remote(_call).options(**own, max_retries=0)
    for lost in range(1, LOSSES + 2):
        # A board of its own: what the lost one told says nothing of the one begun anew.
        with closing(Reader(progress)) as reader:
            wait = RoomWait(
                cpus, gpus, "training.threads or training.num_gpus", wait_s, say, workers
            )
            try:
                return _followed(task.remote(function, spec, reader.board), reader, wait)
            except RayTaskError as error:
                raise_ours(error)
                raise WorkProblem(
                    f"{function.__name__} failed: {last_line(error)}. Finished stages are kept; "
                    "run the same command again after mending the cause."
                ) from error
            except LOST as error:
                why = f"{type(error).__name__}: {last_line(error)}"
                if lost > LOSSES:
                    raise WorkProblem(
                        f"{function.__name__}: its process was lost {lost} times, last with "
                        f"{why}. Finished stages are kept. Look at the node's memory and at "
                        "/tmp/ray/session_latest/logs there, then run the same command again."
                    ) from error
                say(f"  {function.__name__}: its process was lost ({why[:200]}); begun anew")
    raise RuntimeError("the last loss ends the loop")


def _followed(reference: Any, reader: Reader, wait: RoomWait) -> Any:
    """The task's result; its progress is shown until then."""
    done = False
    try:
        while not done:
            stop_if_asked()
            done = bool(ray.wait([reference], timeout=POLL_S)[0])
            reader.look()
            if reader.has_room:
                wait.over()
            elif not done:
                wait.still()
        return ray.get(reference)
    finally:
        # A cancelled task that has ended brings this version of Ray down.
        if not done:
            ray.cancel(reference, force=True)


def _call(function: Callable[[Any, Progress], T], spec: Any, board: Any) -> T:
    with closing(Teller(board)) as teller:
        teller(ROOM_FOUND, 0, 0, {})
        return function(spec, teller)
