"""Words for artifacts and for the generations that use them, as cards and graphs show them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePath

from db.models import Artifact, Generation

SHORT = 12


def short(artifact: Artifact) -> str:
    """The first characters of a digest, enough to ask the record by."""
    return artifact.digest[:SHORT]


def generation_name(row: Generation) -> str:
    """The name by which a person asks for a generation: EXPERIMENT:ARM:GENERATION:SEED."""
    return f"{row.arm.experiment.name}:{row.arm.name}:{row.generation_index}:{row.arm.seed}"


def spans(generations: Iterable[Generation]) -> list[str]:
    """Generations by arm and seed, runs of them joined: `revise 2`, `control 0-3`.

    The seed and the experiment are named only where there are several among those given.
    """
    rows = list(generations)
    seeds = len({row.arm.seed for row in rows}) > 1
    experiments = len({row.arm.experiment_id for row in rows}) > 1
    indices: dict[str, list[int]] = defaultdict(list)
    names: dict[str, str] = {}
    for row in rows:
        arm = str(row.arm_id)
        indices[arm].append(row.generation_index)
        before = f"{row.arm.experiment.name}:" if experiments else ""
        names[arm] = f"{before}{row.arm.name}{f' seed {row.arm.seed}' if seeds else ''}"
    return [f"{names[arm]} {', '.join(_runs(found))}" for arm, found in indices.items()]


def _runs(indices: Iterable[int]) -> list[str]:
    """Numbers in order, neighbours joined: 0, 1, 2, 4 as 0-2 and 4."""
    runs: list[list[int]] = []
    for index in sorted(set(indices)):
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return [str(first) if first == last else f"{first}-{last}" for first, last in runs]


def as_uri(place: str) -> str:
    """Where bytes stand, as a URI: an absolute path becomes a `file:` one."""
    path = PurePath(place)
    return path.as_uri() if path.is_absolute() else place
