"""The command line, `palimpsest`: experiments are run here; the rest is in the modules beside."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from configs.loading import ConfigProblem, load
from db.problems import DatabaseProblem
from flows import cli_inspect, cli_manage
from flows.cli_database import database, gc
from flows.cli_estimate import estimate
from flows.cli_export import export
from flows.cli_labels import labels, lineage_ratings
from flows.cli_lineage import lineage
from flows.cli_options import AsJson, Overrides, print_json, print_rows, short
from flows.cli_verify import verify
from flows.console import explain
from workers.problems import InputProblem, WorkProblem

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help=(
        "Let a model rate and revise its own training corpus, train its successor on the result, "
        "and measure both beside a control, generation after generation."
    ),
    epilog="Start with: palimpsest run configs/microworld.yaml, then: palimpsest status",
)
cli_inspect.add_to(app)
cli_manage.add_to(app)
lineage.command("verify")(verify)
lineage.command("ratings")(lineage_ratings)
app.add_typer(lineage, name="lineage")
app.add_typer(labels, name="labels")
app.add_typer(export, name="export")
app.add_typer(database, name="db")
app.command()(gc)
app.command()(estimate)

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="An experiment's YAML file.")]
EXIT_STOPPED, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 1, 2, 130


class Interrupted(Exception):
    """Ctrl-C, said so that it can be explained."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end a run with a word on what was kept."""
    from workers.interrupting import asked_to_stop, heard

    try:
        with heard():
            yield
    except KeyboardInterrupt:
        raise Interrupted from None
    except (RuntimeError, OSError):
        # A terminal sends Ctrl-C to the servers beside us too, and they may be gone before us.
        if asked_to_stop():
            raise Interrupted from None
        raise


@app.command()
def run(
    config: ConfigPath,
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and reused; do nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run an experiment, or go on with it after any interruption.

    What the record holds is reused: the same command again calls no model. A config that differs
    from the one on record is refused, unless it only adds generations, seeds, arms or evaluations.
    """
    if dry_run:
        from flows.planning import plan, print_plan

        planned = plan(load(config, overrides or []))
        print_json(planned) if as_json else print_plan(planned)
        return
    execute(config, overrides or [], as_json)


def execute(config: Path, overrides: list[str], as_json: bool) -> None:
    """Run the flow and print what came of it."""
    with interruptible():
        from flows.bootstrap import bootstrap
        from flows.results import print_results

        outcome = bootstrap(str(config), overrides)
    print_results(outcome, as_json)


@app.command()
def extend(
    config: ConfigPath,
    generations: Annotated[
        int | None, typer.Option(help="Total number of generations to reach.", min=1)
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Seeds to have in the end, such as 0,1,2.")
    ] = None,
    arms: Annotated[
        str | None, typer.Option(help="Arms to have in the end, such as control,filter,revise.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add generations, seeds or arms to an experiment and run what is new.

    The same as `run` with `--set`; the config file itself is left as it is.
    """
    overrides = [f"generations={generations}"] if generations else []
    overrides += [f"{k}=[{v}]" for k, v in (("seeds", seeds), ("arms", arms)) if v]
    if not overrides:
        raise InputProblem("extend: give at least one of --generations, --seeds and --arms")
    execute(config, overrides, as_json)


@app.command()
def sweep(
    config: ConfigPath,
    grid: Annotated[
        list[str],
        typer.Option(
            "--grid", metavar="A.B=V,V", help="A field and its values; may be given again."
        ),
    ],
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and list the points; run nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run an experiment for every combination of values, each under a name of its own.

    What two points share, such as generation 0 and the control, is done once. The same command goes
    on after an interruption. Ends with 1 when a point failed; the others are run all the same.
    """
    from flows.sweeping import grid_of
    from flows.sweeping import sweep as run_points

    points = grid_of(config, grid, overrides or [])
    if dry_run:
        rows = [{"name": each.name, "settings": each.overrides[:-1]} for each in points]
    else:
        with interruptible():
            from flows.bootstrap import bootstrap

            ended = run_points(config, points, lambda said: typer.echo(said, err=True), bootstrap)
        rows = [asdict(each) for each in ended]
    if as_json:
        print_json(rows)
    else:
        print_rows(list(rows[0]), [[short(value) for value in row.values()] for row in rows])
    if any(row.get("outcome") == "failed" for row in rows):
        raise typer.Exit(EXIT_STOPPED)


@app.command()
def preview(
    config: ConfigPath,
    count: Annotated[int, typer.Option("--documents", "-n", help="How many documents.")] = 5,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Rate and revise a few documents; show before, after, score and reason. Records nothing."""
    with interruptible():
        from flows.previewing import preview_documents, print_preview

        rows = preview_documents(load(config, overrides or []), count)
    print_json(rows) if as_json else print_preview(rows)


def main() -> None:
    """Run the command line; bad input exits with 2, a run that had to stop with 1."""
    try:
        app()
    except (Interrupted, KeyboardInterrupt):
        explain("interrupted. Finished stages and shards are kept; the same command goes on.")
        sys.exit(EXIT_INTERRUPTED)
    except (ConfigProblem, InputProblem) as problem:
        explain(str(problem))
        sys.exit(EXIT_BAD_INPUT)
    except (WorkProblem, DatabaseProblem) as problem:
        explain(str(problem))
        sys.exit(EXIT_STOPPED)
