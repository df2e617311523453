"""What the images hold: the lists of what is left out, against the packages' own metadata."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(requirements: Iterable[str]) -> set[str]:
    """Every package that requirements lead to, by the metadata of what is installed here."""
    found: set[str] = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(each) for each in requirements]
    while waiting:
        each = waiting.pop()
        key = canonical(each.name), frozenset(each.extras)
        if key in seen:
            continue
        seen.add(key)
        try:
            metadata = distribution(each.name)
        except PackageNotFoundError:
            continue  # Not in the set on purpose, such as torchvision, or an extra's.
        found.add(key[0])
        for text in metadata.requires or []:
            more = Requirement(text)
            marked = more.marker is None or any(
                more.marker.evaluate({"extra": extra}) for extra in (*each.extras, "")
            )
            if marked:
                waiting.append(more)
    return found


def listed(name: str) -> set[str]:
    lines = (ROOT / "docker" / name).read_text().splitlines()
    return {line for line in lines if not line.startswith("#")}


def pinned(name: str) -> set[str]:
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    return {canonical(line.split("==")[0]) for line in lines if "==" in line and line[0] != "#"}


# What requirements/cluster.txt leads to within the set; `make install` leaves that file out.
CLUSTER = {"googleapis-common-protos"}
OWN = needed([*PROJECT["project"]["dependencies"], "ray[default,client]"]) | CLUSTER
ENGINE = needed(PROJECT["project"]["optional-dependencies"]["cpu"])
TESTS = needed(PROJECT["dependency-groups"]["dev"])


def test_the_orchestrator_leaves_out_what_only_the_engine_needs():
    # Plain vLLM asks for packages that its CPU build does not; they are no harm in the list.
    assert (ENGINE - OWN) & pinned("cpu.txt") <= listed("engine-only.txt")
    assert not listed("engine-only.txt") & OWN


def test_no_image_has_what_only_the_tests_need():
    assert listed("tests-only.txt") == (TESTS - OWN - ENGINE) & pinned("cpu.txt")


def test_the_clusters_own_pins_are_no_others():
    assert not pinned("cluster.txt") & pinned("cpu.txt")
