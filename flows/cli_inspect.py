"""Commands that look: status, compare, lineage, report and doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.cli_options import DEFAULT_HOME, AsJson, Home, print_json, record

lineage = typer.Typer(
    no_args_is_help=True,
    help="Ask the record what a checkpoint, corpus or document is, and what it came from.",
)
Experiment = Annotated[str | None, typer.Argument(help="Name of an experiment; all without it.")]
Identity = Annotated[
    str, typer.Argument(metavar="ID", help="Name, or a digest or its first characters.")
]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the application."""
    app.command()(status)
    app.command()(compare)
    app.command()(report)
    app.command()(doctor)
    app.add_typer(lineage, name="lineage")


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
    experiment: Annotated[str, typer.Argument(help="Name of the experiment.")],
    left: Annotated[str, typer.Argument(help="ARM:GENERATION or ARM:GENERATION:SEED.")],
    right: Annotated[str, typer.Argument(help="The same; differences are right minus left.")],
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Compare two generations: differences of metrics with intervals, and of counts."""
    from db.lineage import status as ask
    from flows.comparing import compare_generations, items_of, pick
    from flows.summary import compare_table, print_whole

    with record(home) as database, database.readers() as session:
        found = ask(session, experiment)[0]
        first, second = pick(found, left), pick(found, right)
        items = items_of(session, first["checkpoint"]), items_of(session, second["checkpoint"])
    compared = compare_generations(first, second, items)
    print_json(compared) if as_json else print_whole(compare_table(compared))


def report(
    experiment: Annotated[str, typer.Argument(help="Name of the experiment.")],
    out: Annotated[Path | None, typer.Option(help="Where to write the page.")] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Write the report again: one HTML page with trajectories, actions and changed documents."""
    from flows.publishing import write_experiment_report

    with record(home) as database:
        target = out or home.resolve() / "reports" / f"{experiment}.html"
        typer.echo(write_experiment_report(database, experiment, target))


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
        _print_table(("task", "measures", "corpora"), found)
        return
    experiment = load(config) if config else None
    folder = home_of(experiment) if experiment else home.resolve()
    checks = check_all(experiment, folder, database_url(experiment, folder))
    if as_json:
        print_json(
            [{"name": c.name, "status": c.status, "found": c.found, "fix": c.fix} for c in checks]
        )
    else:
        _print_table(
            ("check", "status", "found", "fix"),
            [(c.name, c.status, c.found, c.fix or "") for c in checks],
        )
    if worst(checks) == "failure":
        raise typer.Exit(1)


@lineage.command("show")
def lineage_show(wanted: Identity, as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """What a thing is, what made it, from what, and at what cost."""
    from db.lineage import show

    _answer(show, wanted, as_json, home)


@lineage.command("why")
def lineage_why(wanted: Identity, as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """Why a checkpoint is as it is: data, parent, recipe, commit and command."""
    from db.lineage import why

    _answer(why, wanted, as_json, home)


@lineage.command("ancestors")
def lineage_ancestors(wanted: Identity, as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """What a checkpoint or corpus was made from, and what that was made from."""
    from db.lineage import ancestors

    _answer(ancestors, wanted, as_json, home)


@lineage.command("descendants")
def lineage_descendants(
    wanted: Identity, as_json: AsJson = False, home: Home = DEFAULT_HOME
) -> None:
    """What was made from a checkpoint or corpus, and what from that."""
    from db.lineage import descendants

    _answer(descendants, wanted, as_json, home)


@lineage.command("document")
def lineage_document(
    doc_id: Annotated[str, typer.Argument(metavar="DOC", help="Id of the document.")],
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Every change of a document, arm by arm and generation by generation."""
    from db.lineage import document_history

    with record(home) as database, database.readers() as session:
        rows = document_history(session, doc_id)
    if as_json:
        print_json(rows)
        return
    shown = ("arm", "seed", "generation", "action", "score_before", "score_after", "reason")
    _print_table(shown, [tuple(_short(row.get(name)) for name in shown) for row in rows])


def _answer(ask: Any, wanted: str, as_json: bool, home: Path) -> None:
    with record(home) as database, database.readers() as session:
        found = ask(session, wanted)
    if as_json:
        print_json(found)
    elif isinstance(found, list):
        names = list(found[0]) if found else ["nothing"]
        _print_table(names, [tuple(_short(row.get(name)) for name in names) for row in found])
    else:
        _print_table(("field", "value"), [(name, _short(value)) for name, value in found.items()])


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, dict):
        return "\n".join(f"{name}: {_short(each)}" for name, each in value.items())
    if isinstance(value, list):
        return "\n".join(_short(each) for each in value)
    return "" if value is None else str(value)


def _print_table(names: Any, rows: Any) -> None:
    table = Table(show_lines=False)
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    Console(highlight=False).print(table)
