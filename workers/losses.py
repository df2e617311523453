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

from workers.problems import InputProblem, StoreAway, WorkProblem

LOST = (RayActorError, WorkerCrashedError, NodeDiedError, OutOfMemoryError, ObjectLostError)
"""The process or its node is gone; an error of the work itself is a RayTaskError."""


def raise_ours(error: BaseException, *, again: bool = False) -> None:
    """Raise the cause of a remote error where it is a problem that no retry can mend.

    Args:
        error: what Ray raised.
        again: whether the work will be tried again in any case, so that a store that is away may
            be back by then. What is tried for the last time says why it failed: a store's fault
            must never be put down to the documents.
    """
    cause = getattr(error, "cause", None)
    if again and isinstance(cause, StoreAway):
        return
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
