"""What every step of a run needs: config, home, record, lease, pool and reporter."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from sqlalchemy.orm import Session

from configs.experiment import Arm as ArmName
from configs.experiment import Experiment
from configs.principles import Principles
from configs.prompts import PromptFile
from db.models import Arm, Run
from db.records import LeaseGrant
from db.sessions import Database, Patience, opened
from flows.console import Reporter
from flows.lease import PATIENCE_S, fenced
from flows.places import Place, place_at
from workers.interrupting import stop_if_asked
from workers.sharing import MOUNTED, SharedStore

if TYPE_CHECKING:
    from workers.checkpoints import CheckpointRef
    from workers.corpora.store import CorpusRef
    from workers.pool import EnginePool
    from workers.skills import SkillsSet


@dataclass
class ArmState:
    """Where an arm of one seed stands: one corpus and one model for each generation so far."""

    name: ArmName
    seed: int
    row: Arm
    corpora: list[CorpusRef] = field(default_factory=list)
    checkpoints: list[CheckpointRef] = field(default_factory=list)
    evaluations: list[Path] = field(default_factory=list)
    """Folders of the evaluations' items, by generation."""
    quarantined: set[str] = field(default_factory=set)
    stopped: bool = False


@dataclass
class RunContext:
    """One run of one experiment."""

    experiment: Experiment
    home: Path
    database: Database
    run: Run
    grant: LeaseGrant
    principles: Principles
    prompt_file: PromptFile
    skills: SkillsSet | None
    reporter: Reporter
    store: SharedStore = MOUNTED
    """What every node can read."""
    held_out: dict[int, CorpusRef | None] = field(default_factory=dict)
    """Held-out documents by seed."""
    arms: dict[int, list[ArmState]] = field(default_factory=dict)
    """Arms by seed, the control first."""
    model_calls: int = 0
    _pool: EnginePool | None = None
    _patience: Patience = field(init=False)

    def __post_init__(self) -> None:
        """Wait for a database that is away, and say so."""

        def say(what: str) -> None:
            self.reporter.step(escape(what))

        self._patience = Patience(PATIENCE_S, say=say, between=stop_if_asked)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction of the holder of all the run's leases; a lost one refuses it."""
        with fenced(self.database, self.grant, self._patience) as session:
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session of the run that only looks; it waits for a database that is away."""
        with opened(self.database.readers, self._patience) as session:
            yield session

    def stage_folder(self, recipe_id: str) -> Path:
        """Where a stage's files stand."""
        return self.home / "stages" / recipe_id

    @property
    def place(self) -> Place:
        """Where recorded files are looked for in this run."""
        return replace(place_at(self.database.url, self.home), storage=self.store.url)

    def located(self, uri: str) -> str:
        """Where a recorded path is on this run's nodes; its own home may be another machine's."""
        if self.store.url is None:
            return uri
        return str(self.place.path_of(uri))

    def connect_ray(self) -> None:
        """Start or join Ray, when the first model call is about to be made."""
        from workers.remote import connect

        settings = self.experiment
        cpus = settings.engine.actors * settings.engine.threads + settings.training.threads
        connect(settings.placement.ray_address, cpus)

    def pool(self) -> EnginePool:
        """The engine pool, started when first needed."""
        if self._pool is None:
            from workers.engines.start import check_engine_installed
            from workers.pool import EnginePool

            check_engine_installed(self.experiment.engine.kind)
            self.connect_ray()
            self._pool = EnginePool(self.experiment.engine)
        return self._pool

    def close(self) -> None:
        """End the pool and leave Ray."""
        if self._pool is not None:
            self._pool.stop()
            self._pool = None
        # Looked up and not imported: an interrupt may have left an import of it half done.
        leave = getattr(sys.modules.get("ray"), "shutdown", None)
        if leave is not None:
            leave()


_current: RunContext | None = None


@contextmanager
def entered(context: RunContext) -> Iterator[RunContext]:
    """Make a context the current one of this process; flows and tasks take ids and find it here."""
    global _current
    if _current is not None:
        raise RuntimeError("a run is going on in this process already")
    _current = context
    try:
        yield context
    finally:
        _current = None
        context.close()


def running() -> RunContext | None:
    """The run that goes on in this process, if one does."""
    return _current


def current() -> RunContext:
    """The run that goes on in this process."""
    if _current is None:
        raise RuntimeError("no run is going on in this process")
    return _current
