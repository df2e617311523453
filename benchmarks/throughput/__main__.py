"""`make bench`: every part of the benchmark, or those named."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.targets import Report
from benchmarks.throughput import actors, drafting, orchestration, revision, scaling, training
from flows import provenance

PARTS: dict[str, Callable[[Report, int], None]] = {
    "training": training.measure,
    "revision": revision.measure,
    "drafting": drafting.measure,
    "actors": actors.measure,
    "orchestration": orchestration.measure,
    "scaling": scaling.measure,
}


def main(
    only: Annotated[
        str, typer.Option(help=f"Parts to measure, with commas between: {', '.join(PARTS)}.")
    ] = ",".join(PARTS),
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that are counted.")] = 5,
    out: Annotated[Path, typer.Option(help="File for the figures.")] = Path("bench.json"),
) -> None:
    """Measure throughput, and exit with 1 when a target is missed."""
    names = [name.strip() for name in only.split(",")]
    unknown = sorted(set(names) - set(PARTS))
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(PARTS)}")
    report = Report(details=_machine())
    began = time.perf_counter()
    for name in names:
        PARTS[name](report, rounds)
        report.details["seconds"] = time.perf_counter() - began
        out.write_text(json.dumps(report.as_json(), indent=1) + "\n", encoding="utf-8")
    print(f"Figures in {out}; {report.details['seconds'] / 60:.0f} minutes")
    print(report.verdict())
    sys.exit(1 if report.short else 0)


def _machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": provenance.versions(),
    }


if __name__ == "__main__":
    typer.run(main)
