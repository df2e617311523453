"""`palimpsest labels` and `palimpsest lineage ratings`: what people and raters say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli_options import (
    DEFAULT_HOME,
    AsJson,
    Home,
    Limit,
    print_first,
    print_json,
    print_lines,
    print_rows,
    record,
    short,
)

if TYPE_CHECKING:
    from flows.ratings import Wanted

labels = typer.Typer(
    no_args_is_help=True,
    help="Hold what people say of documents against what the rater says of them.",
)
Arm = Annotated[str | None, typer.Option(help="Only this arm.")]
Seed = Annotated[int | None, typer.Option(help="Only this seed.")]
Generation = Annotated[
    int | None, typer.Option(help="Only the ratings that this generation acted on.", min=0)
]
SHORT = 12


@labels.command("import")
def labels_import(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="Labels in UTF-8 CSV.")],
    annotator: Annotated[
        str, typer.Option(help="Who labelled, where the file has no such column.")
    ] = "",
    principle: Annotated[
        str, typer.Option(help="Principle that was judged, where the file has no such column.")
    ] = "",
    corpus: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Corpus whose texts were labelled; corpus 0 without it."),
    ] = None,
    allow_unknown: Annotated[
        bool, typer.Option("--allow-unknown", help="Take documents that are in no corpus, too.")
    ] = False,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Attach human labels to documents.

    The columns are doc_id and label (1, true or desirable; 0, false or undesirable) and, if need
    be, principle (empty: the whole document), annotator, and text_sha256 (of the text that was
    labelled; the one at import without it). A file is taken in whole or not at all, and taken in
    again it adds nothing.

    Example: palimpsest labels import judged.csv --annotator ada
    """
    from flows.labelling import import_labels

    with record(home) as database:
        found = import_labels(
            database,
            file,
            annotator=annotator,
            principle=principle,
            corpus=corpus,
            allow_unknown=allow_unknown,
        )
    if as_json:
        print_json(asdict(found))
        return
    verb = "recorded" if found.new else "on record already:"
    typer.echo(
        f"{verb} {found.labels:,} labels of {found.documents:,} documents, {found.desirable:,} "
        f"desirable, as {found.id[:SHORT]}"
    )
    if found.unknown:
        typer.echo(f"{found.unknown:,} documents are in no corpus on record")


@labels.command("list")
def labels_list(as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """Every file of labels on record."""
    from db.lineage.labels import label_sets

    with record(home) as database, database.readers() as session:
        found = label_sets(session)
    if as_json:
        print_json(found)
        return
    names = ("id", "file", "labels", "documents", "desirable", "principles", "annotators")
    rows = ({**row, "id": row["id"][:SHORT]} for row in found)
    print_rows(names, [tuple(short(row[name]) for name in names) for row in rows])


@labels.command("report")
def labels_report(
    experiment: Annotated[
        str | None, typer.Argument(help="Name of an experiment; all without it.")
    ] = None,
    arm: Arm = None,
    seed: Seed = None,
    generation: Generation = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--labels", metavar="ID", help="Only this set; may be given again."),
    ] = None,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """How well a rater ranks and is calibrated, by human labels, and a threshold to suggest.

    A label counts where the very text that was labelled was rated. A label of a whole document is
    held against its lowest score over principles, which is what the threshold acts on. The figures
    are recorded on the checkpoint that rated: `palimpsest lineage show` has them.

    Example: palimpsest labels report microworld --arm revise --generation 1
    """
    from flows.label_reports import report
    from flows.label_tables import print_report

    with record(home) as database:
        found = report(
            database,
            home.resolve(),
            experiment,
            arm=arm,
            seed=seed,
            generation=generation,
            labels=only or (),
        )
    print_json(found) if as_json else print_report(found)


def lineage_ratings(
    experiment: Annotated[str, typer.Argument(help="Name of the experiment.")],
    arm: Arm = None,
    seed: Seed = None,
    generation: Generation = None,
    doc: Annotated[str | None, typer.Option(help="Only this document.")] = None,
    principle: Annotated[str | None, typer.Option(help="Only this principle.")] = None,
    below: Annotated[float | None, typer.Option(help="Only lower scores than this.")] = None,
    above: Annotated[float | None, typer.Option(help="Only higher scores than this.")] = None,
    status: Annotated[
        str | None, typer.Option(help="Only ok, unparsed, over_length, engine_error or settled.")
    ] = None,
    limit: Limit = None,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Ratings of every document, changed or not, by every principle.

    Generation n's are the ratings that it acted on: of corpus n-1, by model n-1. With --json each
    row is a line, written as it is read.

    Example: palimpsest lineage ratings microworld --generation 2 --principle honesty --below 0.5

    They stand as Parquet in HOME/ratings/experiment=/arm=/seed=/generation=/, which DuckDB, pandas
    and Polars read as one table, for instance:
    duckdb.read_parquet(".palimpsest/ratings/*/*/*/*/*.parquet", hive_partitioning=True)
    """
    wanted: Wanted = {
        "experiment": experiment,
        "arm": arm,
        "seed": seed,
        "generation": generation,
        "doc_id": doc,
        "principle": principle,
        "below": below,
        "above": above,
        "status": status,
    }
    _publish(home, experiment, arm, seed, generation)
    rows = _found(home.resolve(), wanted)
    if as_json:
        print_lines(rows, limit)
        return
    names = ("arm", "seed", "generation", "doc_id", "principle", "score", "status", "rater")
    cut = ({**row, "rater": row["rater"][:SHORT]} for row in rows)
    print_first(names, (tuple(short(row[name]) for name in names) for row in cut), limit)


def _publish(
    home: Path, experiment: str, arm: str | None, seed: int | None, generation: int | None
) -> None:
    """Put into the tree what it lacks of the ratings that are asked for."""
    from db.lineage.labels import rated_generations
    from db.records import require_experiment
    from flows.ratings import publish_recorded
    from workers.problems import InputProblem

    with record(home) as database, database.readers() as session:
        require_experiment(session, experiment)
        rated = rated_generations(session, experiment, arm=arm, seed=seed, generation=generation)
    if not rated:
        raise InputProblem(
            f"no finished ratings of {experiment!r} match; `palimpsest status {experiment}` shows "
            "its arms and generations, and the control and generation 0 rate nothing"
        )
    if len(publish_recorded(home.resolve(), rated)) == len(rated):
        raise InputProblem(
            f"{home}: the files of these ratings are gone; run the experiment again to make them"
        )


def _found(home: Path, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """Yield ratings; where there is none, say why if a name is likely mistyped."""
    from flows.ratings import explain_nothing, ratings_of, rows_of

    empty = True
    for row in rows_of(ratings_of(home, **wanted)):
        empty = False
        yield row
    if empty:
        explain_nothing(home, **wanted)
