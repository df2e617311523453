"""Commands that look: status, compare, predictions, report and doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli_options import (
    DEFAULT_HOME,
    AsJson,
    GenerationArgument,
    Home,
    print_json,
    print_rows,
    record,
)

Experiment = Annotated[str | None, typer.Argument(help="Name of an experiment; all without it.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the application."""
    app.command()(status)
    app.command()(compare)
    app.command()(predictions)
    app.command()(report)
    app.command()(doctor)


def status(
    experiment: Experiment = None, as_json: AsJson = False, home: Home = DEFAULT_HOME
) -> None:
    """Show every arm and generation: what was done, what came of it, and what was decided."""
    from db.lineage import status as ask
    from flows.summary import generation_table, print_whole

    with record(home) as database, database.readers() as session:
        found = ask(session, experiment)
    if as_json:
        print_json(found)
        return
    for each in found:
        print_whole(generation_table(each))


def compare(
    left: GenerationArgument,
    right: Annotated[
        str, typer.Argument(metavar="GEN", help="The same; differences are right minus left.")
    ],
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Compare two generations, of one experiment or two.

    Differences of metrics with their intervals, of counts, of documents and of configs.
    """
    from flows.comparing import compare as ask
    from flows.summary import compare_table, print_whole

    with record(home) as database, database.readers() as session:
        compared = ask(session, left, right, home)
    print_json(compared) if as_json else print_whole(compare_table(compared))


def predictions(
    experiment: Annotated[str, typer.Argument(help="Name of the experiment.")],
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Judge what the config predicted: the difference to the control, hit or miss, and how surely.

    A prediction is late if it was written down after the experiment had asked or made a model of
    its own, or after any had measured the same of a model or corpus that the arm shares.
    """
    from flows.predicting import as_rows, judge_all

    with record(home) as database, database.readers() as session:
        judged = judge_all(session, experiment)
    if as_json:
        print_json(as_rows(judged))
        return
    print_rows(
        ("metric", "arm", "predicted", "by", "difference", "outcome", "sure", "late"),
        [
            (
                each.metric,
                each.arm,
                f"{each.direction} {each.size:g}",
                each.by,
                difference_said(each.value, each.lower, each.upper),
                each.outcome,
                "yes" if each.sure else "no",
                "yes" if each.late else "",
            )
            for each in judged
        ],
    )


def difference_said(value: float | None, lower: float | None, upper: float | None) -> str:
    """A difference with its interval, as far as there are any."""
    if value is None:
        return ""
    interval = "" if lower is None or upper is None else f" [{lower:+.3f}, {upper:+.3f}]"
    return f"{value:+.3f}{interval}"


def report(
    experiment: Annotated[str, typer.Argument(help="Name of the experiment.")],
    out: Annotated[Path | None, typer.Option(help="Where to write the page.")] = None,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Write the report again: one HTML page with every figure, table, prediction and document.

    With --json everything that is on the page is printed, and the page written only with --out.
    """
    from flows.report.findings import findings
    from flows.report.page import write_report

    with record(home) as database, database.readers() as session:
        found = findings(session, experiment)
    target = out or (None if as_json else home.resolve() / "reports" / f"{experiment}.html")
    if target is not None:
        written = write_report(found, target)
        typer.echo(written, err=as_json)
    if as_json:
        print_json(found)


def doctor(
    config: Annotated[
        Path | None, typer.Argument(help="Check what this experiment needs, too.")
    ] = None,
    tasks: Annotated[
        bool, typer.Option("--tasks", help="List the evaluations instead, with what each measures.")
    ] = False,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Check versions, machine, database, Ray and Prefect; say how to mend what fails."""
    from configs.loading import load
    from flows.doctor import check_all, evaluation_tasks, worst
    from flows.opening import database_url, home_of

    if tasks:
        found = evaluation_tasks()
        if as_json:
            print_json([{"task": t, "measures": m, "corpora": c} for t, m, c in found])
            return
        print_rows(("task", "measures", "corpora"), found)
        return
    experiment = load(config) if config else None
    folder = home_of(experiment) if experiment else home.resolve()
    checks = check_all(experiment, folder, database_url(experiment, folder))
    if as_json:
        print_json(
            [{"name": c.name, "status": c.status, "found": c.found, "fix": c.fix} for c in checks]
        )
    else:
        print_rows(
            ("check", "status", "found", "fix"),
            [(c.name, c.status, c.found, c.fix or "") for c in checks],
        )
    if worst(checks) == "failure":
        raise typer.Exit(1)
