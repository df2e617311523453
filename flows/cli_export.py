"""`palimpsest export`: artifacts and their lineage, in the forms that other tools read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.cli_options import DEFAULT_HOME, AsJson, Home, print_json, record

export = typer.Typer(
    no_args_is_help=True,
    help=(
        "Copy a corpus version or a checkpoint out of the home folder with its card, and write "
        "lineage as Hugging Face cards, OpenLineage events, PROV-JSON, a graph, or MLflow runs."
    ),
)
Digest = Annotated[str, typer.Argument(metavar="ID", help="Digest or its first characters.")]
ExperimentName = Annotated[str, typer.Argument(metavar="EXPERIMENT", help="Name of it.")]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE", help="File to write; else printed.")
]


class GraphFormat(StrEnum):
    """How a graph is written."""

    SVG = "svg"
    MERMAID = "mermaid"


@export.command("corpus")
def export_corpus(
    digest: Digest,
    destination: Annotated[str, typer.Argument(help="Folder, or with --hub a dataset id.")],
    hub: Annotated[bool, typer.Option("--hub", help="Push to the Hugging Face hub.")] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Copy a corpus version as Parquet with its dataset card, to a folder or to the hub."""
    from flows.exporting import export_corpus_version

    # What goes wrong on the way to the hub is no matter of a place on this disk.
    explained = nullcontext() if hub else _explain_unwritable(Path(destination))
    with record(home) as database, explained:
        said = export_corpus_version(database, digest, destination, hub, home)
    typer.echo(said)


@export.command("checkpoint")
def export_checkpoint(
    digest: Digest,
    destination: Annotated[Path, typer.Argument(help="Folder to make.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Copy a checkpoint with its model card as a folder that transformers and vLLM load."""
    from flows.exporting import export_checkpoint_folder

    with record(home) as database, _explain_unwritable(destination):
        said = export_checkpoint_folder(database, digest, destination, home)
    typer.echo(said)


@export.command("card")
def export_card(
    digest: Digest,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="File to write; else printed.")
    ] = None,
    base_model: Annotated[
        str | None,
        typer.Option(metavar="HUB_ID", help="The parent's id on the hub, in place of its digest."),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(metavar="HUB_ID", help="A corpus's id on the hub; may be given again."),
    ] = None,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Write the Hugging Face card of a checkpoint or corpus: metrics, lineage, how to remake it.

    With --json its metadata, and for a checkpoint `scope`: the slices on which alignment was
    measured.
    """
    from flows.exports.cards import card, card_json

    with record(home) as database, database.readers() as session:
        made = card(session, digest, base_model=base_model, datasets=dataset or ())
        text = str(made)
        if as_json:
            text = f"{json.dumps(card_json(session, digest, made), indent=2)}\n"
    _put(text, file)


@export.command("openlineage")
def export_openlineage(
    experiment: ExperimentName, out: Out = None, home: Home = DEFAULT_HOME
) -> None:
    """Write OpenLineage events, START and COMPLETE or FAIL, of every run, stage and gate.

    One JSON object a line. Run ids come from the record, so a catalogue that is given the events
    twice holds each once.
    """
    from flows.exports.openlineage import lines
    from flows.exports.reading import read_experiment

    with record(home) as database, database.readers() as session:
        text = "".join(f"{line}\n" for line in lines(read_experiment(session, experiment)))
    _put(text, out)


@export.command("prov")
def export_prov(experiment: ExperimentName, out: Out = None, home: Home = DEFAULT_HOME) -> None:
    """Write W3C PROV-JSON: artifacts as entities, stages and gates as activities."""
    from flows.exports.prov_json import prov_json
    from flows.exports.reading import read_experiment

    with record(home) as database, database.readers() as session:
        text = prov_json(read_experiment(session, experiment))
    _put(f"{text}\n", out)


@export.command("graph")
def export_graph(
    wanted: Annotated[
        str,
        typer.Argument(metavar="ID", help="Name of an experiment, or digest of an artifact."),
    ],
    form: Annotated[
        GraphFormat, typer.Option("--format", help="A picture, or text for Mermaid.")
    ] = GraphFormat.SVG,
    depth: Annotated[
        int | None, typer.Option(help="Most edges to go back; all the way without it.", min=0)
    ] = None,
    out: Out = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Draw the lineage of an experiment, or of an artifact with what it came from.

    Time runs from left to right; an arrow leads back from what was made to what it was made from.
    """
    from flows.exports.graph import lineage_graph, mermaid

    with record(home) as database, database.readers() as session:
        graph = lineage_graph(session, wanted, depth)
    if form is GraphFormat.MERMAID:
        text = mermaid(graph)
    else:
        from flows.exports.svg import svg

        text = svg(graph)
    _put(text, out)


@export.command("mlflow")
def export_mlflow(
    experiment: ExperimentName,
    tracking_uri: Annotated[
        str,
        typer.Option(
            envvar="MLFLOW_TRACKING_URI",
            show_envvar=True,
            help="An MLflow server or database, such as sqlite:///mlflow.db.",
        ),
    ],
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Send an MLflow run for each generation: settings, numbers and digests.

    Needs the package mlflow-skinny. Repeated, it sends what is new.
    """
    from flows.exports.mlflow_sink import send

    with record(home) as database, database.readers() as session:
        sent = send(session, experiment, tracking_uri)
    if as_json:
        print_json({"experiment": experiment, "made": sent.made, "found": sent.found})
        return
    typer.echo(f"{experiment}: {sent.made} runs made, {sent.found} brought up to date")


def _put(text: str, out: Path | None) -> None:
    """Print a text, or write it to a file and say so."""
    if out is None:
        typer.echo(text, nl=False)
        return
    from flows.exporting import write_text

    with _explain_unwritable(out):
        said = write_text(text, out)
    typer.echo(said)


@contextmanager
def _explain_unwritable(destination: Path) -> Iterator[None]:
    """Turn what the disk said into a message.

    Raises:
        InputProblem: says what stands in the way, and where.
    """
    from workers.problems import InputProblem

    try:
        yield
    except OSError as error:
        raise InputProblem(
            f"{destination}: cannot be written ({error.strerror or error}: "
            f"{error.filename or destination}). Name a place in a folder that you may write to."
        ) from error
