"""Which experiments a night advances, and to which generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from configs.arms import Arm as ArmName
from configs.experiment import Experiment
from configs.loading import ConfigProblem, experiment_file, load, parse
from db.models import Experiment as ExperimentRow
from db.records import find_experiment, list_experiments
from flows.opening import RECORD_ONLY, home_of, open_record, record_exists
from workers.problems import InputProblem

FILES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Turn:
    """An experiment and the generation that it goes to."""

    experiment: Experiment
    until: int


@dataclass(frozen=True, slots=True)
class Night:
    """What one night does, and what it leaves alone."""

    turns: list[Turn]
    idle: dict[str, str]
    """Why an experiment has no turn, by its name."""
    unusable: list[str]
    """Experiments on record whose config this version cannot read, with the reason."""


def next_turns(names: Sequence[str], *, beyond: bool, since: datetime | None = None) -> Night:
    """The turns of one night, and why other experiments have none.

    Args:
        names: experiments on record, or YAML files; none for every experiment on record.
        beyond: go on past the generations that a config asks for.
        since: when the night was due; what was advanced after that had its turn already, in an
            earlier start of the same run.

    Raises:
        InputProblem: an experiment is not on record.
        ConfigProblem: a file cannot be used.
    """
    found, unusable = _experiments(names)
    turns: list[Turn] = []
    idle: dict[str, str] = {}
    for experiment in found:
        standing = _standing(experiment)
        # Generation 0 alone is no turn: nothing has been revised in it yet.
        wanted = max(standing.reached, 0) + 1
        reason = standing.stopped
        if since and standing.at and standing.at >= since and standing.reached > 0:
            reason = "it was advanced by this run before it was started again"
        elif wanted > experiment.generations and not beyond and not reason:
            reason = (
                f"its {experiment.generations} generations are made; `palimpsest extend`, or "
                "`beyond` of this deployment, adds more"
            )
        if reason:
            idle[experiment.name] = reason
            continue
        most = max(wanted, experiment.generations)
        turns.append(Turn(experiment.model_copy(update={"generations": most}), wanted))
    return Night(turns, idle, unusable)


def as_planned(experiment: Experiment) -> Experiment:
    """An experiment with as many generations as are on record for it, if those are more.

    Nights may have gone beyond the file, and an experiment never has fewer than it had.
    """
    recorded = max(_standing(experiment).planned, experiment.generations)
    return experiment.model_copy(update={"generations": recorded})


def last_generation(experiment: Experiment) -> int:
    """The last generation that every arm of an experiment has, stopped ones left out.

    Raises:
        InputProblem: there is none.
    """
    reached = _standing(experiment).reached
    if reached < 0:
        raise InputProblem(
            f"{experiment.name}: no generation is on record yet; run the bootstrap deployment"
        )
    return reached


def _experiments(names: Sequence[str]) -> tuple[list[Experiment], list[str]]:
    files = [name for name in names if name.endswith(FILES)]
    recorded = [name for name in names if name not in files]
    found = [as_planned(load(experiment_file(name))) for name in files]
    unusable: list[str] = []
    for name, config in _on_record(recorded) if recorded or not names else ():
        try:
            found.append(parse(config, where=f"experiment {name} on record"))
        except ConfigProblem as problem:
            unusable.append(str(problem))
    return found, unusable


def _on_record(names: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """Names and configs, of all experiments without names."""
    home = home_of(Experiment(name="any"))
    if not record_exists(None, home):
        raise InputProblem(f"{home}: no record here; run the bootstrap deployment first")
    database = open_record(None, home)
    try:
        with database.readers() as session:
            rows = list_experiments(session)
    finally:
        database.dispose()
    known = {row.name: row for row in rows}
    if unknown := [name for name in names if name not in known]:
        raise InputProblem(
            f"experiments: {', '.join(unknown)}: not on record. Name the YAML file to begin with "
            "one, or look with `palimpsest status`"
        )
    return [
        (name, {key: value for key, value in known[name].config.items() if key not in RECORD_ONLY})
        for name in names or known
    ]


@dataclass(frozen=True, slots=True)
class _Standing:
    """How far an experiment is on record."""

    reached: int = -1
    """The generation that all active arms have finished, -1 for none."""
    at: datetime | None = None
    """When the last of them had."""
    stopped: str = ""
    """Why it goes no further."""
    planned: int = 0
    """Generations that its recorded config asks for."""


def _standing(experiment: Experiment) -> _Standing:
    home = home_of(experiment)
    if not record_exists(experiment, home):
        return _Standing()
    database = open_record(experiment, home)
    try:
        with database.readers() as session:
            row = find_experiment(session, experiment.name)
            return _standing_of(row) if row is not None else _Standing()
    finally:
        database.dispose()


def _standing_of(row: ExperimentRow) -> _Standing:
    active = [arm for arm in row.arms if arm.status != "stopped"]
    finished = [
        {g.generation_index: g.finished_at for g in arm.generations if g.status == "finished"}
        for arm in active
    ]
    reached = min((max(each, default=-1) for each in finished), default=-1)
    times = [at for each in finished if (at := each.get(reached)) is not None]
    treated = [arm for arm in active if arm.name != ArmName.CONTROL]
    stopped = "" if treated or not row.arms else "a gate has stopped every arm but the control"
    return _Standing(reached, max(times, default=None), stopped, row.config["generations"])
