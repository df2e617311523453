"""`palimpsest estimate`: tokens, hours and money before a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from configs.loading import load
from flows.cli_options import AsJson, Overrides, print_json, print_rows


def estimate(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="An experiment's YAML file.")],
    sample: Annotated[
        int, typer.Option(help="Documents that are rated and revised to measure it.", min=1)
    ] = 100,
    documents: Annotated[
        int | None,
        typer.Option(help="Size of the corpus, where reading all of it takes too long.", min=1),
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Say what an experiment will ask, train on and take, stage by stage; nothing is recorded.

    A pilot measures on this machine: a sample is rated and revised, a model trained for a few steps
    and evaluated once. Money comes from budget.cost_per_hour. After the run, `palimpsest run` says
    how far off the estimate was.
    """
    from flows.estimates import keep
    from flows.estimating import as_rows
    from flows.estimating import estimate as ask
    from flows.opening import home_of
    from flows.piloting import pilot

    experiment = load(config, overrides or [])
    measured = pilot(
        experiment, sample, documents, lambda what: typer.echo(f"pilot: {what}", err=True)
    )
    rows = as_rows(ask(experiment, measured))
    keep(home_of(experiment), experiment.name, rows)
    per_hour = experiment.budget.cost_per_hour
    found = {
        "experiment": experiment.name,
        "documents": measured.documents,
        "sample": measured.sample,
        "failing": measured.failing,
        "accepted": measured.accepted,
        "stages": rows,
        "hours": rows[-1]["seconds"] / 3600,
        "cost": None if per_hour is None else per_hour * rows[-1]["seconds"] / 3600,
    }
    print_json(found) if as_json else _print(found)
    if experiment.rating.cascade is not None:
        typer.echo(
            "rating.cascade: not counted, for what it lets pass is known in the run alone; rating "
            "will take less",
            err=True,
        )
    _warn(experiment.budget, found)


def _print(found: dict[str, Any]) -> None:
    names = ("stages", "model_calls", "prompt_tokens", "output_tokens", "trained_tokens")
    heads = ["stage", *(name.replace("_", " ") for name in names), "minutes"]
    print_rows(
        heads,
        [
            [row["stage"], *(f"{row[name]:,}" for name in names), f"{row['seconds'] / 60:.1f}"]
            for row in found["stages"]
        ],
    )
    cost = "" if found["cost"] is None else f", {found['cost']:,.2f} at budget.cost_per_hour"
    typer.echo(
        f"{found['hours']:.2f} hours{cost}. Of {found['sample']} sampled documents "
        f"{found['failing']:.0%} fell short, and of those {found['accepted']:.0%} were revised."
    )


def _warn(budget: Any, found: dict[str, Any]) -> None:
    """Say which limits of the budget would stop the run."""
    asked = sum(found["stages"][-1][name] for name in ("prompt_tokens", "output_tokens"))
    for name, value in (("hours", found["hours"]), ("tokens", asked), ("cost", found["cost"])):
        limit = getattr(budget, name)
        if limit is not None and value is not None and value > limit:
            typer.echo(
                f"budget.{name}: {limit:,} would stop this run, which is estimated at {value:,.4g}",
                err=True,
            )
