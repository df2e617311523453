"""Which experiments a night advances, and to which generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from configs.experiment import Arm as ArmName
from configs.experiment import Experiment
from configs.loading import experiment_file, load, parse
from db.lineage import status
from db.models import Experiment as ExperimentRow
from db.records import find_experiment, list_experiments
from db.sessions import Database
from flows.opening import RECORD_ONLY, home_of, open_record, record_exists
from workers.problems import InputProblem

FILES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Turn:
    """An experiment and the generation that it goes to."""

    experiment: Experiment
    until: int


def next_turns(names: Sequence[str], *, beyond: bool) -> tuple[list[Turn], dict[str, str]]:
    """The turns of one night, and why other experiments have none.

    Args:
        names: experiments on record, or YAML files; none for every experiment on record.
        beyond: go on past the generations that a config asks for.

    Raises:
        InputProblem: an experiment is not on record.
        ConfigProblem: a file cannot be used.
    """
    turns: list[Turn] = []
    idle: dict[str, str] = {}
    for experiment in _experiments(names):
        reached, reason = _reached(experiment)
        # Generation 0 alone is no turn: nothing has been revised in it yet.
        wanted = max(reached, 0) + 1
        if not reason and wanted > experiment.generations and not beyond:
            reason = (
                f"its {experiment.generations} generations are made; `palimpsest extend`, or "
                "`beyond` of this deployment, adds more"
            )
        if reason:
            idle[experiment.name] = reason
            continue
        most = max(wanted, experiment.generations)
        turns.append(Turn(experiment.model_copy(update={"generations": most}), wanted))
    return turns, idle


def last_generation(experiment: Experiment) -> int:
    """The last generation that every arm of an experiment has, stopped ones left out.

    Raises:
        InputProblem: there is none.
    """
    reached, _ = _reached(experiment)
    if reached < 0:
        raise InputProblem(
            f"{experiment.name}: no generation is on record yet; run the bootstrap deployment"
        )
    return reached


def _experiments(names: Sequence[str]) -> list[Experiment]:
    files = [name for name in names if name.endswith(FILES)]
    recorded = [name for name in names if name not in files]
    found = [load(experiment_file(name)) for name in files]
    if recorded or not names:
        found += _on_record(recorded)
    return found


def _on_record(names: Sequence[str]) -> list[Experiment]:
    home = home_of(Experiment(name="none"))
    if not record_exists(None, home):
        raise InputProblem(f"{home}: no record here; run the bootstrap deployment first")
    database = open_record(None, home)
    try:
        with database.readers() as session:
            if not names:
                return [_parsed(row) for row in list_experiments(session)]
            rows = {name: find_experiment(session, name) for name in names}
    finally:
        database.dispose()
    unknown = [name for name, row in rows.items() if row is None]
    if unknown:
        raise InputProblem(
            f"experiments: {', '.join(unknown)}: not on record. Name the YAML file to begin with "
            "one, or look with `palimpsest status`"
        )
    return [_parsed(row) for row in rows.values() if row is not None]


def _parsed(row: ExperimentRow) -> Experiment:
    config = {key: value for key, value in row.config.items() if key not in RECORD_ONLY}
    return parse(config, where=f"experiment {row.name} on record")


def _reached(experiment: Experiment) -> tuple[int, str]:
    """The generation that all active arms have finished, -1 for none; why it goes no further."""
    home = home_of(experiment)
    if not record_exists(experiment, home):
        return -1, ""
    database = open_record(experiment, home)
    try:
        return _reached_on(database, experiment.name)
    finally:
        database.dispose()


def _reached_on(database: Database, name: str) -> tuple[int, str]:
    with database.readers() as session:
        if find_experiment(session, name) is None:
            return -1, ""
        arms = status(session, name)[0]["arms"]
    active = [arm for arm in arms if arm["status"] != "stopped"]
    reached = [
        max((g["generation"] for g in arm["generations"] if g["status"] == "finished"), default=-1)
        for arm in active
    ]
    treated = [arm for arm in active if arm["arm"] != ArmName.CONTROL]
    reason = "" if treated or not arms else "a gate has stopped every arm but the control"
    return min(reached, default=-1), reason
