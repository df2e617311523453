"""What every step of a run needs: config, home, record, lease, pool and reporter."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from sqlalchemy.orm import Session

from configs.arms import Arm as ArmName
from configs.experiment import Experiment
from configs.principles import Principles
from configs.prompts import PromptFile
from db.models import Arm, Run
from db.records import LeaseGrant
from db.sessions import Database, Patience, opened
from flows import provenance
from flows.console import Reporter
from flows.lease import PATIENCE_S, fenced
from flows.places import Place, place_at
from flows.spending import Spending
from workers.interrupting import stop_if_asked
from workers.ray_address import cluster_address
from workers.sharing import MOUNTED, SharedStore

if TYPE_CHECKING:
    from workers.checkpoints import CheckpointRef
    from workers.corpora.store import CorpusRef
    from workers.evaluation.anchor_items import AnchorRole
    from workers.evaluation.anchors import Anchor
    from workers.node_checks import ClusterNodes
    from workers.pool import EnginePool
    from workers.skills import SkillsSet


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """What the models of a comparison have in common, by measurement."""

    seed: int
    corpus_tokens: int
    tokens: int
    """Tokens of all stages."""
    steps: int
    """Optimiser steps of all stages."""
    late_tokens: int = 0
    """Tokens of the mix, where it enters after corpus 0."""
    persistence_tokens: int = 0
    """Tokens of the training after which a model is measured once more."""
    persistence_steps: int = 0
    """Its optimiser steps."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of every document of a corpus, on this node."""

    folder: Path
    digest: str
    """Of the files."""
    mean: float | None = None
    """The gate anchor's mean, where it is the anchors that scored."""


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
    relearned: dict[int, Path] = field(default_factory=dict)
    """Folders of the items of relearning, by generation, where it is measured."""
    skills: dict[int, SkillsSet] = field(default_factory=dict)
    """What each generation's model is taught, where the one before it has labelled that."""
    trained: dict[int, TrainedOn] = field(default_factory=dict)
    """What each generation's model was trained on, as far as arms must agree in it."""
    anchored: dict[int, Scored] = field(default_factory=dict)
    """The anchors' scores of each generation's corpus."""
    self_rated: dict[int, Scored] = field(default_factory=dict)
    """Ratings of each generation's corpus by the model of the same generation."""
    quarantined: set[str] = field(default_factory=set)
    contaminated: set[str] = field(default_factory=set)
    """Documents whose revisions held what an evaluation asks."""
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
    until: int
    """The generation that this run goes to; the experiment may have more."""
    store: SharedStore = MOUNTED
    """What every node can read."""
    harness: Mapping[str, Any] | None = None
    """What the evaluation `harness` asks, by content; None where it is not asked."""
    admitted: CheckpointRef | None = None
    """The configured model, once it is checked."""
    reviser: CheckpointRef | None = None
    """The other model that `revising.reviser` names, once it is checked."""
    held_out: dict[int, CorpusRef | None] = field(default_factory=dict)
    """Held-out documents by seed."""
    anchors: dict[AnchorRole, Anchor] = field(default_factory=dict)
    """The gate and the audit anchor, where they are asked."""
    ceilings: dict[int, float] = field(default_factory=dict)
    """By seed, the gate anchor's mean over held-out desirable documents; 1 without labels."""
    arms: dict[int, list[ArmState]] = field(default_factory=dict)
    """Arms by seed, the control first."""
    model_calls: int = 0
    spending: Spending = field(default_factory=Spending)
    """The budget, and what was spent of it."""
    _joining: threading.RLock = field(default_factory=threading.RLock)
    """Held while Ray or its cluster is joined: several models may be made at once."""
    _stages: dict[str, threading.Lock] = field(default_factory=dict)
    _pool: EnginePool | None = None
    _cluster: ClusterNodes | None = None
    _patience: Patience = field(init=False)

    def __post_init__(self) -> None:
        """Wait for a database that is away, and say so."""
        self._patience = Patience(PATIENCE_S, say=self.say, between=stop_if_asked)

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

    @contextmanager
    def doing(self, recipe_id: str) -> Iterator[None]:
        """Keep a stage to oneself: of two arms that come to the same one, the second reuses it."""
        with self._joining:
            lock = self._stages.setdefault(recipe_id, threading.Lock())
        with lock:
            yield

    @property
    def goes_all_the_way(self) -> bool:
        """Whether the experiment is finished when this run is."""
        return self.until >= self.experiment.generations

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
        from workers.cluster import connect

        settings = self.experiment
        # Workers of a training job are started by another process, which takes a core too.
        trainers = settings.training.workers
        training = settings.training.threads * trainers + (trainers > 1)
        cpus = settings.engine.actors * settings.engine.threads
        cpus += training * settings.training.at_once
        with self._joining:
            connect(cluster_address(settings.placement.ray_address), cpus)

    def cluster(self) -> ClusterNodes | None:
        """The nodes of the cluster that the run works on; None if Ray runs on this machine.

        Raises:
            InputProblem: the cluster lets this process not in, or its nodes are not fit.
            WorkProblem: a node does not answer, or none has room for an engine.
        """
        if cluster_address(self.experiment.placement.ray_address) is None:
            return None
        with self._joining:
            if self._cluster is None:
                from workers.node_checks import ClusterNodes

                self.connect_ray()
                self._cluster = ClusterNodes(
                    self.experiment.engine,
                    self.home,
                    shared=self.store.url is None,
                    say=self.say,
                )
                self._note_versions(self._cluster.versions)
            return self._cluster

    def engine_version(self) -> str:
        """Name and version of the engine that is asked: on a cluster, the nodes' one."""
        from workers.engines.packages import engine_version

        cluster = self.cluster()
        found = cluster.versions if cluster else provenance.versions()
        return engine_version(self.experiment.engine.kind, found)

    def say(self, what: str) -> None:
        """Tell the person at the terminal; nothing in it is markup."""
        self.reporter.step(escape(what))

    def _note_versions(self, nodes: Mapping[str, str]) -> None:
        """Put on record what the nodes have that this process has not, or has in another version.

        The run was recorded before a cluster was joined.
        """
        with self.write() as session:
            row = session.get(Run, self.run.id)
            if row is not None:
                own = row.versions
                changed = {f"{n} on nodes": v for n, v in nodes.items() if own.get(n, v) != v}
                row.versions = {**nodes, **own, **changed}

    def pool(self) -> EnginePool:
        """The engine pool, started when first needed."""
        if self._pool is None:
            from workers.engines.start import check_engine_installed
            from workers.members import Terms
            from workers.pool import EnginePool

            cluster = self.cluster()
            if cluster is None:
                check_engine_installed(self.experiment.engine.kind)
                self.connect_ray()
                terms = Terms(say=self.say)
            else:
                terms = Terms(cluster.probe, cluster.check, self.say)
            self._pool = EnginePool(self.experiment.engine, terms)
        return self._pool

    def stop_engines(self) -> None:
        """End the engines that run, if any do; the next stage that asks a model starts its own."""
        if self._pool is not None:
            self._pool.stop()

    def close(self) -> None:
        """End the pool and leave Ray."""
        if self._pool is not None:
            self._pool.stop()
            self._pool = None
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None
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
