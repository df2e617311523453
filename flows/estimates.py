"""Estimates that were made before a run, and how far off they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Experiment, Run, Stage
from workers.storage import write_json

SHOWN = {
    "asked": "tokens asked of models and answered",
    "trained": "tokens trained on",
    "minutes": "minutes",
}


def keep(home: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """Keep the estimate of an experiment in its home, in place of an earlier one."""
    write_json(_file(home, name), {"stages": rows})


def how_far_off(
    home: Path, session: Session, experiment: Experiment, seconds: float
) -> dict[str, tuple[float, float]]:
    """What was estimated and what it came to, by what is told; nothing where nothing was.

    Args:
        home: where the estimate is kept.
        session: of the record.
        experiment: that was run.
        seconds: that all its runs took by the clock.
    """
    file = _file(home, experiment.name)
    if not file.is_file():
        return {}
    whole = json.loads(file.read_text(encoding="utf-8"))["stages"][-1]
    wanted = (
        select(Stage.stage, Stage.prompt_tokens, Stage.output_tokens, Stage.meta)
        .join(Run, Run.id == Stage.run_id)
        .where(Run.experiment_id == experiment.id)
    )
    asked = trained = 0
    for stage, prompt, output, meta in session.execute(wanted):
        asked += (prompt or 0) + (output or 0)
        trained += meta.get("tokens_seen", 0) if stage == "train" else 0
    return {
        "asked": (whole["prompt_tokens"] + whole["output_tokens"], asked),
        "trained": (whole["trained_tokens"], trained),
        "minutes": (whole["seconds"] / 60, seconds / 60),
    }


def said(off: dict[str, tuple[float, float]]) -> list[str]:
    """A line for each figure."""
    return [
        f"{SHOWN[name]}: estimated {expected:,.4g}, took {taken:,.4g} ({_ratio(taken, expected)})"
        for name, (expected, taken) in off.items()
    ]


def _ratio(taken: float, expected: float) -> str:
    return f"{taken / expected:.2f} times the estimate" if expected else "none were expected"


def _file(home: Path, name: str) -> Path:
    return home / "estimates" / f"{name}.json"
