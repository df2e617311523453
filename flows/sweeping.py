"""`sweep`: one experiment for each point of a grid; stages that points share are done once."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from configs.experiment import Experiment
from configs.loading import ConfigProblem, load
from db.problems import DatabaseProblem
from workers.problems import InputProblem, WorkProblem


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a grid."""

    name: str
    """Name of its experiment."""
    overrides: tuple[str, ...]
    """`field=value` settings, the name among them."""
    experiment: Experiment


@dataclass(frozen=True, slots=True)
class Swept:
    """How a point's run ended."""

    name: str
    settings: tuple[str, ...]
    outcome: str
    """`finished`, or `failed`."""
    reason: str = ""


def grid_of(config: Path, grid: Sequence[str], overrides: Sequence[str]) -> list[Point]:
    """Every combination of the grid's values as an experiment of its own, all of them checked.

    Args:
        config: the experiment's file.
        grid: `field.subfield=value,value,...` each; a value is YAML.
        overrides: settings of all points.

    Raises:
        ConfigProblem: an axis or a point is wrong, or two points would have one name.
    """
    axes = [_axis(each) for each in grid]
    if not axes:
        raise ConfigProblem("--grid: name at least one field with its values, such as a.b=1,2")
    base = load(config, overrides)
    points: list[Point] = []
    for values in itertools.product(*(values for _, values in axes)):
        settings = [f"{field}={value}" for (field, _), value in zip(axes, values, strict=True)]
        name = _name(base.name, axes, values)
        given = (*overrides, *settings, f"name={name}")
        points.append(Point(name, given, load(config, given)))
    names = [point.name for point in points]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigProblem(f"--grid: two points are both called {twice[0]!r}; name values apart")
    return points


def _axis(text: str) -> tuple[str, list[str]]:
    field, separator, listed = text.partition("=")
    values = _values(listed)
    if not separator or not field or not values:
        raise ConfigProblem(f"--grid {text}: write it as field.subfield=value,value")
    if field == "name":
        raise ConfigProblem("--grid name: each point is named by its values; take it out")
    if len(set(values)) < len(values):
        raise ConfigProblem(f"--grid {text}: a value stands there twice")
    return field, values


def _values(listed: str) -> list[str]:
    """The values between commas; a comma inside brackets or quotes is none of theirs."""
    try:
        found = yaml.safe_load(f"[{listed}]")
    except yaml.YAMLError as error:
        raise ConfigProblem(f"--grid: {listed!r} is no list of values: {error}") from error
    return [yaml.safe_dump(each, default_flow_style=True).split("\n")[0] for each in found]


def _name(base: str, axes: Sequence[tuple[str, list[str]]], values: Sequence[str]) -> str:
    """The base's name with each axis' last word and value."""
    parts = [base]
    for (field, _), value in zip(axes, values, strict=True):
        said = re.sub(r"[^a-z0-9.]+", "-", value.lower()).strip("-.")
        parts.append(f"{field.rpartition('.')[2].replace('_', '-')}-{said}")
    return "-".join(parts)


def sweep(
    config: Path,
    points: Sequence[Point],
    say: Callable[[str], None],
    run: Callable[[str, Sequence[str]], Any],
) -> list[Swept]:
    """Run the points one after another; one that fails does not keep the others from running.

    Args:
        config: the experiment's file.
        points: of the grid.
        say: told which point is begun.
        run: runs an experiment by its file and overrides.
    """
    ended: list[Swept] = []
    for number, point in enumerate(points, 1):
        say(f"point {number} of {len(points)}: {point.name}")
        settings = point.overrides[:-1]
        try:
            run(str(config), point.overrides)
        except (ConfigProblem, InputProblem, WorkProblem, DatabaseProblem) as problem:
            say(f"{point.name}: {problem}")
            ended.append(Swept(point.name, settings, "failed", str(problem)))
        else:
            ended.append(Swept(point.name, settings, "finished"))
    return ended
