"""What Ray says when remote work fails: whose fault it was, and how to name it."""

from __future__ import annotations

import ray
from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    WorkerCrashedError,
)

from workers.problems import InputProblem, WorkProblem

LOST = (RayActorError, WorkerCrashedError, NodeDiedError, OutOfMemoryError, ObjectLostError)
"""The process or its node is gone; an error of the work itself is a RayTaskError."""


def raise_ours(error: BaseException) -> None:
    """Raise the cause of a remote error where it is a problem that no retry can mend."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, InputProblem | WorkProblem):
        raise cause from error


def last_line(error: BaseException | None) -> str:
    """The last line of an error's text, which names it; a traceback may quote documents."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


def with_its_node(error: BaseException, node_id: str | None) -> bool:
    """Whether work was lost because its whole node was."""
    if isinstance(error, NodeDiedError) or getattr(error, "preempted", False):
        return True
    if "node has died" in str(error).lower() or "node died" in str(error).lower():
        return True
    return node_id is not None and not any(
        each["NodeID"] == node_id and each["Alive"] for each in ray.nodes()
    )
