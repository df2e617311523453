"""A new experiment out of a recorded one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from configs.fingerprint import plain
from configs.identity import stage_fingerprints
from configs.loading import apply_overrides, parse
from db.records import find_experiment, register_experiment, require_experiment
from db.sessions import Database
from flows.opening import RECORD_ONLY, resolved_config
from workers.problems import InputProblem
from workers.storage import whole_file


def fork_experiment(
    database: Database, experiment: str, name: str, overrides: Sequence[str], out: Path
) -> Path:
    """Register the fork, write its config file, and return the file's path.

    Raises:
        ConfigProblem: an override is wrong.
        InputProblem: the name is taken or the file exists.
    """
    if out.exists():
        raise InputProblem(f"{out}: exists already; name another file with --out")
    with database.readers() as session:
        parent = require_experiment(session, experiment)
        if find_experiment(session, name) is not None:
            raise InputProblem(f"{name}: an experiment of this name is on record; choose another")
    config = {key: value for key, value in parent.config.items() if key not in RECORD_ONLY}
    config["name"] = name
    apply_overrides(config, overrides)
    forked = parse(config, where=str(out))
    with whole_file(out.resolve()) as fresh:
        fresh.write_text(
            f"# Forked from {experiment}.\n" + yaml.safe_dump(plain(forked), sort_keys=False),
            encoding="utf-8",
        )
    with database.sessions.begin() as session:
        register_experiment(
            session, name, resolved_config(forked), stage_fingerprints(forked), forked_from=parent
        )
    return out
