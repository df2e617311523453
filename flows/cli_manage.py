"""Commands that make or move something: init, fork, promote, rollback, skills, import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli_options import DEFAULT_HOME, AsJson, Home, Overrides, print_json, record
from workers.problems import InputProblem

CLUSTER_FOLDER = Path("docker/cluster")
skills = typer.Typer(
    no_args_is_help=True, help="Make and check the exemplars that a model learns the work from."
)
ExperimentName = Annotated[str, typer.Argument(help="Name of the experiment.")]
ArmOption = Annotated[str, typer.Option(help="Arm.")]
SeedOption = Annotated[int, typer.Option(help="Seed.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the application."""
    app.command()(init)
    app.command()(fork)
    app.command()(promote)
    app.command()(rollback)
    app.command()(deploy)
    app.command("import-gguf")(import_gguf)
    app.add_typer(skills, name="skills")


def init(
    path: Annotated[
        Path | None,
        typer.Argument(
            help=f"Config file to write; with --cluster a folder, {CLUSTER_FOLDER} without it."
        ),
    ] = None,
    corpus: Annotated[
        str | None, typer.Option(help="File, folder, glob or hub id; the microworld without it.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Folder or hub id; a small model that fits the corpus without it."),
    ] = None,
    principles: Annotated[str, typer.Option(help="Shipped principle file or a path.")] = "",
    name: Annotated[str, typer.Option(help="Name of the experiment; the file's without it.")] = "",
    cluster: Annotated[
        bool,
        typer.Option(
            "--cluster",
            help="Write a compose cluster's environment file and fresh secrets instead.",
        ),
    ] = False,
) -> None:
    """Write a commented config to start from, or what a cluster needs to start.

    With --cluster nothing is overwritten: a secret whose file you removed is drawn anew, and takes
    effect when the cluster is started again.
    """
    if cluster:
        _init_cluster(path or CLUSTER_FOLDER)
        return
    if path is None:
        raise InputProblem(
            "init: name the config file to write, or give --cluster for a cluster's environment "
            "file and secrets"
        )
    from flows.starting import write_config

    chosen = principles or ("microworld" if corpus is None else "honesty-and-oversight")
    written = write_config(
        path, corpus=corpus, model=model, principles=chosen, name=name or path.stem
    )
    typer.echo(f"{written}: written. Look it over, then: palimpsest run {written}")


def _init_cluster(folder: Path) -> None:
    from flows.cluster_files import write_cluster_files

    written = write_cluster_files(folder)
    for name in written.made:
        typer.echo(f"{name}: written")
    if written.kept:
        typer.echo(f"kept as they are: {', '.join(written.kept)}")
    typer.echo(f"Look {written.environment} over, then: make cluster-up CLUSTER={folder}")


def fork(
    experiment: ExperimentName,
    name: Annotated[str, typer.Argument(metavar="NEW", help="Name of the new experiment.")],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Config file to write; NEW.yaml.")] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Make a new experiment out of a recorded one, with changes; equal stages are reused."""
    from flows.forking import fork_experiment

    with record(home) as database:
        written = fork_experiment(
            database, experiment, name, overrides or [], out or Path(f"{name}.yaml")
        )
    typer.echo(f"{written}: written, forked from {experiment}. Next: palimpsest run {written}")


def promote(
    experiment: ExperimentName,
    generation: Annotated[int, typer.Argument(help="Generation to promote.", min=0)],
    arm: ArmOption = "revise",
    seed: SeedOption = 0,
    home: Home = DEFAULT_HOME,
) -> None:
    """Point an arm at one of its generations, whatever its gates said."""
    from flows.promoting import promote_generation

    with record(home) as database:
        typer.echo(promote_generation(database, experiment, arm, seed, generation))


def rollback(
    experiment: ExperimentName,
    arm: ArmOption = "revise",
    seed: SeedOption = 0,
    home: Home = DEFAULT_HOME,
) -> None:
    """Point an arm back at the newest earlier generation that passed all its gates."""
    from flows.promoting import roll_back

    with record(home) as database:
        typer.echo(roll_back(database, experiment, arm, seed))


@skills.command("draft")
def skills_draft(
    config: Annotated[Path, typer.Argument(help="An experiment's YAML file.")],
    out: Annotated[Path, typer.Argument(help="JSONL file to write.")],
    count: Annotated[int, typer.Option(help="Exemplars to draft.", min=1)] = 40,
    overrides: Overrides = None,
) -> None:
    """Turn principles and documents of the corpus into exemplars whose answers you fill in."""
    from configs.loading import load
    from flows.exemplars import write_draft

    written = write_draft(load(config, overrides or []), out, count)
    typer.echo(f"{out}: {written} exemplars. Edit every answer, then: palimpsest skills check")


@skills.command("check")
def skills_check(
    config: Annotated[Path, typer.Argument(help="An experiment's YAML file.")],
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with an experiment's skills set, line by line."""
    from configs.loading import load
    from flows.exemplars import check

    problems, size = check(load(config, overrides or []))
    if as_json:
        print_json({"exemplars": size, "problems": problems})
    else:
        for problem in problems:
            typer.echo(f"line {problem['line']}: {problem['message']}")
        typer.echo(f"{size} exemplars, {len(problems)} problems")
    if problems:
        raise typer.Exit(1)


def import_gguf(
    source: Annotated[Path, typer.Argument(help="A GGUF file.")],
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    chat_template: Annotated[
        Path | None, typer.Option(help="Jinja file, for a GGUF that holds no chat template.")
    ] = None,
) -> None:
    """Turn a GGUF file into a checked safetensors checkpoint."""
    from workers.gguf_import import import_gguf as convert

    typer.echo(f"{convert(source, out, chat_template)}: written and checked")


def deploy(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A prefect.yaml.")] = Path(
        "prefect.yaml"
    ),
    webhook: Annotated[
        str | None,
        typer.Option(
            envvar="PALIMPSEST_WEBHOOK",
            help="URL that is told, as JSON with a text, how each run ended.",
        ),
    ] = None,
) -> None:
    """Register deployments and automations with the Prefect server of PREFECT_API_URL.

    Doing it again changes nothing but what differs. The work pool is made if there is none; a
    worker then runs what is due: prefect worker start --pool palimpsest --type process.
    """
    from flows.deploying import deploy as register

    for line in register(file, webhook or None):
        typer.echo(line)
