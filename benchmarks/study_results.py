"""Writes the study up from its record: `python -m benchmarks.study_results`.

Every number in docs/results.md and in its figures comes from the record, by the report's own
functions; `palimpsest report NAME --json` prints the same. What was not run is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.study_parts import CORE, OUT_OF_DISTRIBUTION, PARTS, PROPENSITY, Part
from benchmarks.study_record import Found, collect, held
from flows.exports.markdown import plain
from flows.report.costs import summed
from flows.report.headline import verdict
from flows.report.levels import Level, level_of
from flows.report.metrics import describe
from flows.report.plots import Table
from flows.report.sections import sections
from flows.report.tables import predictions_table
from flows.report.trajectories import cell

ROOT = Path(__file__).parents[1]
CORE_SECTIONS = ("alignment", "capability", "skill", "anchors", "usefulness", "collapse")


def differences(found: Found, arm: str, index: int) -> dict[str, Level]:
    """Differences to the control of an arm's generation, by metric."""
    return _at(found["differences"], arm, index)


def levels(found: Found, arm: str, index: int) -> dict[str, Level]:
    """Values of an arm's generation, by metric."""
    return _at(found["levels"], arm, index)


def placebo_share(found: Found, metric: str, index: int) -> float | None:
    """How much of what `revise` did to a metric `paraphrase` did too, as a share."""
    own, placebo = (differences(found, arm, index).get(metric) for arm in ("revise", "paraphrase"))
    if own is None or placebo is None or not own.value:
        return None
    return placebo.value / own.value


def comparison(part: Part, experiments: Mapping[str, Found]) -> Table:
    """One row for each experiment, treated arm and generation that is told."""
    heads = [_head(key, "to the control", "points") for key in part.against]
    heads += [_head(key) for key in part.as_it_is]
    rows: list[tuple[str, ...]] = []
    for name, found in experiments.items():
        last = max(each["generation"] for each in found["actions"])
        told = range(1, last + 1) if part.every_generation else [last]
        arms = dict.fromkeys(each["arm"] for each in found["actions"])
        for arm in (each for each in arms if each != "control"):
            for index in told:
                own, plain_ = differences(found, arm, index), levels(found, arm, index)
                cells = [_cell(own.get(key), "+") for key in part.against]
                cells += [_cell(plain_.get(key)) for key in part.as_it_is]
                point = name.removeprefix(part.name).strip("-") or "as configured"
                rows.append((point, arm, str(index), _changed(found, arm, index), *cells))
    heads = ["point", "arm", "generation", "documents changed or dropped", *heads]
    return Table(tuple(heads), tuple(rows), lead=3)


def _changed(found: Found, arm: str, index: int) -> str:
    """How many documents of an arm's seeds were acted on up to a generation, a seed on average."""
    rows = (r for r in found["actions"] if r["arm"] == arm and r["generation"] <= index)
    return f"{sum(row['revise'] + row['drop'] for row in rows):,.0f}"


def _head(key: str, against: str = "", of_percent: str = "%") -> str:
    metric = describe(key)
    unit = of_percent if metric.unit == "%" else metric.unit
    told = ", ".join(filter(None, (metric.name, against)))
    return f"{told} ({unit})" if unit else told


def markdown(table: Table) -> str:
    """A table as Markdown."""
    lines = [table.heads, tuple("---" for _ in table.heads), *table.rows]
    return "\n".join(f"| {' | '.join(map(_escaped, row))} |" for row in lines)


def _escaped(text: str) -> str:
    return text if set(text) == {"-"} else plain(text)


def _cell(level: Level | None, sign: str = "") -> str:
    return "" if level is None else cell(describe(level.metric), level, sign)


def _at(rows: Sequence[Found], arm: str, index: int) -> dict[str, Level]:
    found = [row for row in rows if (row["arm"], row["generation"]) == (arm, index)]
    return {row["metric"]: level_of(row) for row in found}


def _core(found: Found, figures: Path) -> dict[str, Any]:
    """What the template shows of the core study; its figures are written."""
    shown: list[dict[str, Any]] = []
    for section in sections(dict(found)):
        if section.key not in CORE_SECTIONS:
            continue
        drawn: list[tuple[str, str, str]] = []
        for number, figure in enumerate(section.figures, 1):
            file = figures / f"{section.key}-{number}.svg"
            file.write_text(figure.svg, encoding="utf-8")
            drawn.append((figure.title, f"{figures.name}/{file.name}", markdown(figure.table)))
        shown.append({"title": section.title, "finding": section.finding, "about": section.about,
                      "figures": drawn})  # fmt: skip
    last = max(each["generation"] for each in found["actions"])
    own = differences(found, "revise", last)
    inside, outside = own.get(PROPENSITY), own.get(OUT_OF_DISTRIBUTION)
    return {
        "found": found,
        "verdict": verdict(dict(found)),
        "predictions": markdown(predictions_table(found["predictions"])),
        "sections": shown,
        "last": last,
        "placebo": placebo_share(found, PROPENSITY, last),
        "transfer": outside.value / inside.value if inside and outside and inside.value else None,
        "hours": _seconds(found) / 3600,
        "machine": _machine(found["provenance"].get("host") or {}),
    }


def _machine(host: Found) -> str:
    gpus = f", {host['gpus']} GPUs" if host.get("gpus") else ", no GPU"
    return f"{host.get('cores')} cores, {host.get('memory_gib')} GiB of memory{gpus}"


def _seconds(found: Found) -> float:
    return sum(row["seconds"] for row in summed(found["costs"], "stage"))


def write_results(home: Path, out: Path) -> list[str]:
    """Take what a home has finished into the record, write the page and its figures.

    Args:
        home: folder of the experiments.
        out: Markdown file; figures and record go to a folder of the same name beside it.

    Returns:
        The experiments that were taken from the home.
    """
    figures = out.with_suffix("")
    figures.mkdir(parents=True, exist_ok=True)
    taken = collect(home, figures / "record")
    record = held(figures / "record")
    core = record.get(CORE)
    parts = {
        part: {name: found for name, found in record.items() if part.holds(name)} for part in PARTS
    }
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    page = environment.get_template("study_results.md.j2").render(
        core=_core(core, figures) if core else None,
        parts=[_shown(part, found) for part, found in parts.items() if found],
        missing=[part for part, found in parts.items() if not found],
    )
    out.write_text(page, encoding="utf-8")
    return taken


def _shown(part: Part, record: Mapping[str, Found]) -> dict[str, Any]:
    """What the template shows of a part."""
    first = next(iter(record.values()))
    return {
        "part": part,
        "table": markdown(comparison(part, record)),
        "predictions": [
            (name, markdown(predictions_table(found["predictions"])))
            for name, found in record.items()
            if found["predictions"]
        ],
        "minutes": sum(map(_seconds, record.values())) / 60,
        "machine": _machine(first["provenance"].get("host") or {}),
        "commit": first["provenance"].get("commit"),
        "seeds": len(first["seeds"]),
        "shared": first["seeds_share_generation_0"],
    }


def main(
    home: Annotated[
        Path, typer.Option(envvar="PALIMPSEST_HOME", help="Folder of the experiments.")
    ] = Path(".palimpsest"),
    out: Annotated[Path, typer.Option(help="File to write.")] = ROOT / "docs" / "results.md",
) -> None:
    """Write docs/results.md with its figures and its record."""
    for name in write_results(home, out):
        typer.echo(f"taken from {home}: {name}")
    typer.echo(out)


if __name__ == "__main__":
    typer.run(main)
