"""Do a stage, or take what the record says was done: the heart of reuse and resume."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from sqlalchemy.orm import Session

from configs.fingerprint import digest_of
from db.models import Generation, Stage
from db.records import (
    StageCosts,
    fail_stage,
    find_stage,
    finish_stage,
    start_stage,
    use_stage,
)
from flows.context import RunContext
from workers.interrupting import stop_if_asked
from workers.versions import ALGORITHM_VERSIONS


@dataclass(frozen=True)
class Recipe:
    """All that decides a stage's result; its digest is the stage's identity."""

    stage: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, Any]
    """Content digests of what is read, weights' hash included, and never a path or a name."""

    @cached_property
    def id(self) -> str:
        """SHA-256 of the recipe, as 64 hexadecimal digits."""
        return digest_of(self.params)

    @property
    def version(self) -> str:
        """Version of our own algorithm in this stage."""
        return ALGORITHM_VERSIONS[self.stage]

    @property
    def params(self) -> dict[str, Any]:
        """The recipe as it is stored."""
        return {
            "stage": self.stage,
            "version": self.version,
            "settings": dict(self.settings),
            "inputs": dict(self.inputs),
        }


@dataclass(frozen=True)
class Finished:
    """A stage's output: its digest, where it stands, and what it says of itself."""

    digest: str
    uri: str
    meta: dict[str, Any]
    costs: StageCosts = field(default_factory=lambda: StageCosts())
    record: Callable[[Session], object] | None = None
    """Writes rows that must appear together with the stage's end."""
    recipe_id: str = ""
    """Recipe of the stage, which `perform` fills in."""


def perform(
    context: RunContext,
    generation: Generation,
    recipe: Recipe,
    work: Callable[[Stage], Finished],
    whole: Callable[[Finished], bool],
    numerics: Callable[[], dict[str, Any]] | None = None,
) -> Finished:
    """Return the stage's output, doing the work only when the record has none that is whole.

    Args:
        context: the run.
        generation: who uses the stage.
        recipe: what decides the result.
        work: does the stage; its bytes are on the disk when it returns.
        whole: whether a recorded output's bytes are still there.
        numerics: what the arithmetic depends on beside the recipe; recorded, not identity.
    """
    with context.doing(recipe.id):
        return _perform(context, generation, recipe, work, whole, numerics)


def _perform(
    context: RunContext,
    generation: Generation,
    recipe: Recipe,
    work: Callable[[Stage], Finished],
    whole: Callable[[Finished], bool],
    numerics: Callable[[], dict[str, Any]] | None,
) -> Finished:
    stop_if_asked()
    with context.read() as session:
        found = find_stage(session, recipe.id)
    if found is not None and found.status == "done":
        uri = context.located(found.output_uri or "")
        output = Finished(found.output_digest or "", uri, found.meta, recipe_id=recipe.id)
        if whole(output):
            with context.write() as session:
                use_stage(session, generation, found, reused=True)
            context.reporter.reused += 1
            return output
        context.reporter.step(f"  {recipe.stage}: recorded, but its files are gone; doing it again")
    context.spending.check()
    # Asked before the write: on a cluster the nodes say it, and a run that joins them writes too.
    arithmetic = numerics() if numerics else None
    with context.write() as session:
        stage = start_stage(
            session,
            recipe.id,
            stage=recipe.stage,
            algorithm_version=recipe.version,
            params=recipe.params,
            run=context.run,
            numerics_class=arithmetic,
        )
    output = _work_or_note(context, stage, work)
    with context.write() as session:
        if output.record is not None:
            output.record(session)
        costs: StageCosts = {**output.costs, "meta": output.meta}
        finish_stage(session, stage, output_digest=output.digest, output_uri=output.uri, **costs)  # pyright: ignore[reportCallIssue]
        use_stage(session, generation, stage, reused=False)
    context.reporter.redone += 1
    return replace(output, recipe_id=recipe.id)


def _work_or_note(context: RunContext, stage: Stage, work: Callable[[Stage], Finished]) -> Finished:
    """Do the work, and note on its way out why it failed."""
    output: Finished | None = None
    try:
        output = work(stage)
        return output
    finally:
        error = sys.exception()
        if output is None and error is not None:
            with context.write() as session:
                fail_stage(session, stage, f"{type(error).__name__}: {error}"[:1000])


def costs(began: float, **known: Any) -> StageCosts:
    """Costs of a stage that began at `began` on the monotonic clock."""
    return StageCosts(seconds=time.monotonic() - began, **known)


def numerics_class(context: RunContext, threads: int, workers: int = 1) -> dict[str, Any]:
    """What the arithmetic depends on beside the recipe, where it is done.

    Args:
        context: the run.
        threads: CPU threads of each process that computes.
        workers: processes among which a step of training is split.
    """
    from workers.nodes import device

    experiment, cluster = context.experiment, context.cluster()
    return {
        "device": cluster.device if cluster else device(),
        "dtype": experiment.model.dtype,
        "threads": threads,
        "data_parallel": workers,
        "tensor_parallel": experiment.engine.tensor_parallel,
    }
