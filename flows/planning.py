"""`run --dry-run`: what a run would do, and what the record has already."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from configs.arms import REWRITING
from configs.arms import Arm as ArmName
from configs.experiment import Experiment
from db.models import Arm, Generation, Stage, StageUse
from db.models import Experiment as ExperimentRow
from flows.opening import home_of, open_record, record_exists, refuse_changes, resolved_config
from workers.revise_job import ReviseJob

Done = dict[tuple[str, int, int], dict[str, int]]


def plan(experiment: Experiment) -> list[dict[str, Any]]:
    """Stages of every arm and generation, each `on record` or `to do`; nothing is written.

    Raises:
        ConfigProblem: the experiment is on record with another config.
    """
    done = _on_record(experiment, resolved_config(experiment))
    rows: list[dict[str, Any]] = []
    for seed in experiment.seeds:
        for index in range(experiment.generations + 1):
            for arm in experiment.arms:
                known = done.get((arm.value, seed, index), {})
                for stage, count in _stages(experiment, arm, index).items():
                    held = min(count, known.get(stage, 0))
                    rows.append(
                        {
                            "seed": seed,
                            "generation": index,
                            "arm": arm.value,
                            "stage": stage,
                            "stages": count,
                            "on_record": held,
                            "to_do": count - held,
                        }
                    )
    return rows


def _stages(experiment: Experiment, arm: ArmName, index: int) -> dict[str, int]:
    """How many stages of each kind a generation of an arm consists of."""
    found = Counter(_made(experiment, arm, index))
    if "anchors" in experiment.evaluation.tasks:
        # A corpus is scored by the anchors and rated by its own model, and these are compared.
        found += Counter({"rate": 1, "evaluate": 2})
        if index == 0:
            held_out = experiment.intake.held_out_share > 0
            found += Counter({"evaluate": 1 + held_out})
    return found


def _made(experiment: Experiment, arm: ArmName, index: int) -> dict[str, int]:
    census = 1 if "oracle" in experiment.evaluation.tasks else 0
    # A late mix takes a stage of its own, and persistence reads texts and trains on them.
    late = 2 if experiment.training.entry == "fine_tune" else 1
    lasting = 0 if experiment.evaluation.persistence is None else 1
    # The relearning itself, and the comparison with the control's.
    again = 2 if "relearning" in experiment.evaluation.tasks else 0
    if index == 0:
        trained = experiment.training.generation_0 == "trained"
        base = late if trained else int(experiment.skills.post_train_base)
        evaluated = 1 + again + census + (census if trained else 0)
        stages = {"import": 1 + lasting, "train": base + lasting, "evaluate": evaluated}
        return {name: count for name, count in stages.items() if count}
    after = {"train": late + lasting, "evaluate": 1 + again + 2 * census}
    if lasting:
        after["import"] = lasting
    if experiment.skills.source == "self":
        after = {"label": 1, **after}
    if arm is ArmName.CONTROL:
        return after
    before = {"rate": 1, "revise": 1}
    if experiment.rating.cascade is not None:
        # A sample before the rest; and a classifier and its audit.
        before["rate"] = 2
        after["evaluate"] += 2
    asks = arm in REWRITING and experiment.revising.mode in ReviseJob.ASKING_MODES
    if asks and experiment.acceptance.rater != "none":
        before["accept"] = 1
    return {**before, "assemble": 1, **after}


def _on_record(experiment: Experiment, config: dict[str, Any]) -> Done:
    home = home_of(experiment)
    if not record_exists(experiment, home):
        return {}
    database = open_record(experiment, home)
    done: Done = {}
    try:
        with database.readers() as session:
            row = session.scalars(
                select(ExperimentRow).where(ExperimentRow.name == experiment.name)
            ).one_or_none()
            if row is None:
                return {}
            refuse_changes(experiment.name, row.config, config)
            found = session.execute(
                select(Arm.name, Arm.seed, Generation.generation_index, Stage.stage)
                .join(Generation, Generation.arm_id == Arm.id)
                .join(StageUse, StageUse.generation_id == Generation.id)
                .join(Stage, Stage.id == StageUse.stage_id)
                .where(Arm.experiment_id == row.id, Stage.status == "done")
            )
            for arm, seed, index, stage in found:
                counts = done.setdefault((arm, seed, index), {})
                counts[stage] = counts.get(stage, 0) + 1
    finally:
        database.dispose()
    return done


def print_plan(rows: list[dict[str, Any]]) -> None:
    """Print the plan as a table."""
    table = Table(title="What a run would do; nothing was done")
    names = ("seed", "generation", "arm", "stage", "on_record", "to_do")
    for name in names:
        justify = "left" if name in ("arm", "stage") else "right"
        table.add_column(name.replace("_", " "), justify=justify)
    for row in rows:
        table.add_row(*(str(row[name]) for name in names))
    console = Console(highlight=False)
    console.print(table)
    to_do = sum(row["to_do"] for row in rows)
    console.print(f"{to_do} stages to do, {sum(row['on_record'] for row in rows)} on record.")
