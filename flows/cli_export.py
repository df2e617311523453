"""`palimpsest export`: artifacts and their lineage, in the forms that other tools read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli_options import DEFAULT_HOME, Home, record

export = typer.Typer(
    no_args_is_help=True, help="Copy a corpus version or a checkpoint out of the home folder."
)
Digest = Annotated[str, typer.Argument(metavar="ID", help="Digest or its first characters.")]


@export.command("corpus")
def export_corpus(
    digest: Digest,
    destination: Annotated[str, typer.Argument(help="Folder, or with --hub a dataset id.")],
    hub: Annotated[bool, typer.Option("--hub", help="Push to the Hugging Face hub.")] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Copy a corpus version as Parquet, to a folder or to the hub."""
    from flows.exporting import export_corpus_version

    with record(home) as database:
        typer.echo(export_corpus_version(database, digest, destination, hub))


@export.command("checkpoint")
def export_checkpoint(
    digest: Digest,
    destination: Annotated[Path, typer.Argument(help="Folder to make.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Copy a checkpoint as a folder that transformers and vLLM load."""
    from flows.exporting import export_checkpoint_folder

    with record(home) as database:
        typer.echo(export_checkpoint_folder(database, digest, destination))
