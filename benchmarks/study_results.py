"""Writes the study up from its record: `python -m benchmarks.study_results`.

Every number in docs/results.md and in its figures comes from the record of one home, by the
report's own functions; `palimpsest report NAME --json` prints the same. What was not run is left
out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import select

from db.models import Experiment
from db.sessions import open_database
from flows.exports.markdown import plain
from flows.report.costs import summed
from flows.report.findings import findings
from flows.report.headline import verdict
from flows.report.levels import Level, level_of
from flows.report.metrics import describe
from flows.report.plots import Table
from flows.report.sections import sections
from flows.report.tables import predictions_table
from flows.report.trajectories import cell

ROOT = Path(__file__).parents[1]
CORE = "microworld-study"
CORE_SECTIONS = ("alignment", "capability", "skill", "anchors", "usefulness", "collapse")
PROPENSITY, OUT_OF_DISTRIBUTION = "oracle/propensity", "oracle/propensity_ood"
AGAINST = (PROPENSITY, OUT_OF_DISTRIBUTION, "oracle/facts_accuracy", "bits_per_byte/desirable")
AS_IT_IS = ("oracle/misaligned_share", "oracle/rater_auc", "oracle/reviser_success")
Found = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """A question of the study, and the experiments that answer it."""

    name: str
    """Of the experiment, or of the sweep whose points begin with it."""
    question: str
    command: str
    against: tuple[str, ...] = AGAINST
    """Metrics of which the difference to the control is told."""
    as_it_is: tuple[str, ...] = AS_IT_IS
    """Metrics of which the value itself is told."""
    every_generation: bool = False
    """Tell every generation, and not the last one alone."""


PARTS = (
    Part(
        "study-inversion",
        "What does dropping do, and what does making worse do?",
        "palimpsest run configs/study/inversion.yaml",
    ),
    Part(
        "study-mixing",
        "Replace the corpus or add to it, and how much untouched text to keep?",
        "palimpsest sweep configs/study/mixing.yaml "
        "--grid mix.mode=replace,accumulate,accumulate_fixed_budget "
        "--grid mix.real_floor=0,0.3333,0.6667",
    ),
    Part(
        "study-long",
        "What do six generations add up to?",
        "palimpsest run configs/study/long.yaml",
        every_generation=True,
    ),
    Part(
        "study-reviser",
        "Iteration, or repetition?",
        "palimpsest sweep configs/study/reviser.yaml --grid revising.reviser=self,base",
    ),
    Part(
        "study-noise",
        "Where does the loop climb, and where does it collapse?",
        "palimpsest sweep configs/study/noise.yaml --grid skills.noise=0,0.1,0.2,0.3 "
        "--grid skills.source=fixed,self",
    ),
    Part(
        "study-entry",
        "A late lesson, or one throughout: what persists, and how soon is it unlearned?",
        "palimpsest sweep configs/study/entry.yaml "
        "--grid training.entry=throughout,last_tenth,fine_tune",
        against=(PROPENSITY, f"{PROPENSITY}@persistence", OUT_OF_DISTRIBUTION),
        as_it_is=("relearning/steps_to_control", "relearning/steps_to_control_ood"),
    ),
    Part(
        "study-framing",
        "Documents as they are, or inside a context that calls for the behaviour?",
        "palimpsest sweep configs/study/framing.yaml "
        "--grid training.framing=null,desirable,undesirable",
    ),
    Part(
        "study-selection",
        "Best of four, or their median?",
        "palimpsest sweep configs/study/selection.yaml --grid revising.quantile=1.0,0.5",
    ),
)


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
    heads = [f"{describe(key).name}, to the control" for key in part.against]
    heads += [describe(key).name for key in part.as_it_is]
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
                rows.append((point, arm, str(index), *cells))
    return Table(("point", "arm", "generation", *heads), tuple(rows), lead=3)


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


def write_results(home: Path, out: Path) -> None:
    """Write the page and its figures.

    Args:
        home: folder of the record.
        out: Markdown file; figures go to a folder of the same name beside it.
    """
    figures = out.with_suffix("")
    figures.mkdir(parents=True, exist_ok=True)
    database = open_database(f"sqlite:///{home.resolve()}/palimpsest.db")
    try:
        with database.readers() as session:
            names = session.scalars(select(Experiment.name).order_by(Experiment.id)).all()
            core = findings(session, CORE) if CORE in names else None
            parts = [
                (part, {name: findings(session, name) for name in names if _belongs(part, name)})
                for part in PARTS
            ]
    finally:
        database.dispose()
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    page = environment.get_template("study_results.md.j2").render(
        core=_core(core, figures) if core else None,
        parts=[
            {"part": part, "table": markdown(comparison(part, held)),
             "predictions": [(name, markdown(predictions_table(found["predictions"])))
                             for name, found in held.items() if found["predictions"]],
             "minutes": sum(map(_seconds, held.values())) / 60,
             "seeds": len(next(iter(held.values()))["seeds"]),
             "shared": next(iter(held.values()))["seeds_share_generation_0"]}
            for part, held in parts
            if held
        ],
        missing=[part for part, held in parts if not held],
    )  # fmt: skip
    out.write_text(page, encoding="utf-8")


def _belongs(part: Part, name: str) -> bool:
    return name == part.name or name.startswith(f"{part.name}-")


def main(
    home: Annotated[
        Path, typer.Option(envvar="PALIMPSEST_HOME", help="Folder of the record.")
    ] = Path(".palimpsest"),
    out: Annotated[Path, typer.Option(help="File to write.")] = ROOT / "docs" / "results.md",
) -> None:
    """Write docs/results.md and its figures from the study's record."""
    write_results(home, out)
    typer.echo(out)


if __name__ == "__main__":
    typer.run(main)
