"""Hugging Face cards of checkpoints and corpora, written by `huggingface_hub`'s own classes.

Parent and corpora stand in the metadata by digest, which `palimpsest lineage show` knows; whoever
publishes them says under which ids the hub has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import (
    DatasetCard,
    DatasetCardData,
    EvalResult,
    ModelCard,
    ModelCardData,
)
from sqlalchemy.orm import Session

from db.lineage import identify_artifact, identify_checkpoint, show
from db.models import Artifact, Checkpoint, CorpusVersion, Evaluation, Generation
from db.records.measures import evaluations_of
from flows.exports.card_sections import (
    actions,
    lineage,
    metrics,
    reasons,
    recipe,
    remake,
    sources,
    used_by,
)
from flows.exports.card_sections import scope as scope_section
from flows.exports.labels import short
from flows.exports.markdown import plain
from flows.exports.reading import users_of
from flows.exports.scope import scope
from workers.problems import InputProblem

Card = ModelCard | DatasetCard

_TEMPLATES = Path(__file__).parent.parent / "templates"
# The hub's own words for sizes, with the first number of documents that is too many for each.
_SIZES = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"),
    (10**9, "100M<n<1B"),
    (10**10, "1B<n<10B"),
    (10**11, "10B<n<100B"),
    (10**12, "100B<n<1T"),
)


def card(
    session: Session,
    wanted: str,
    *,
    base_model: str | None = None,
    datasets: Sequence[str] = (),
) -> Card:
    """Make the card of a checkpoint or a corpus.

    Args:
        session: a reader's.
        wanted: a digest or its first characters.
        base_model: the parent's id on the hub; its digest without it.
        datasets: ids of the corpora on the hub; their digests without them.

    Raises:
        UnknownId: nothing is recorded under it.
        InputProblem: it is neither a checkpoint nor a corpus, or is a corpus and has ids given.
    """
    row = identify_artifact(session, wanted)
    if isinstance(row, Checkpoint):
        return _model_card(session, row, base_model, datasets)
    if isinstance(row, CorpusVersion):
        if base_model or datasets:
            raise InputProblem(
                f"corpus {short(row)}: --base-model and --dataset belong to a checkpoint's card; "
                "leave them out"
            )
        return _dataset_card(session, row)
    raise InputProblem(
        f"{row.kind} {short(row)} has no card; name a checkpoint or a corpus, which "
        "`palimpsest status` lists"
    )


def scope_of(session: Session, wanted: str) -> dict[str, Any]:
    """The slices on which a checkpoint's alignment was measured, ready for JSON.

    Raises:
        UnknownId: no checkpoint is recorded under it.
    """
    row = identify_checkpoint(session, wanted)
    return {"checkpoint": row.digest, **scope(_newest(evaluations_of(session, row)))}


def card_json(session: Session, wanted: str, made: Card) -> dict[str, Any]:
    """A card's metadata, and for a model the scope of what was measured, ready for JSON.

    Args:
        session: a reader's.
        wanted: the digest or its first characters that the card was made of.
        made: the card.
    """
    data = made.data.to_dict()
    return data if isinstance(made, DatasetCard) else data | {"scope": scope_of(session, wanted)}


def _model_card(
    session: Session, row: Checkpoint, base_model: str | None, datasets: Sequence[str]
) -> ModelCard:
    known, users = show(session, row.digest), _users(session, row)
    numbers = _newest(evaluations_of(session, row))
    corpora = [each["id"] for each in known["from"] if each["kind"] == "corpus"]
    title = f"{_experiment_of(users)} checkpoint {short(row)}"
    results = [_eval_result(each) for each in numbers if each.value is not None]
    data = ModelCardData(
        base_model=base_model or known["parent"],
        datasets=list(datasets) or corpora or None,
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["palimpsest"],
        metrics=sorted({each.metric for each in numbers}) or None,
        model_name=title,
        eval_results=results or None,
        palimpsest=_machine_readable(known),
    )
    about = (
        f"A language model of the experiment {plain(_experiment_of(users))} of Palimpsest, which "
        "rates and revises a training corpus with the model that was trained on it, trains the "
        "successor on the result, and measures both beside a control. "
        f"{used_by(users, 'checkpoint')}"
    )
    if row.meta.get("inverted"):
        about = (
            "**Made worse on purpose.** Its corpus was revised by inverted principles, to compare "
            f"others with. Use it for nothing else.\n\n{about}"
        )
    said = scope_section(scope(numbers))
    return _written(ModelCard, "model_card.md.j2", data, title, about, known, numbers, scope=said)


def _dataset_card(session: Session, row: CorpusVersion) -> DatasetCard:
    known, users = show(session, row.digest), _users(session, row)
    numbers = _newest(evaluations_of(session, row))
    title = f"{_experiment_of(users)} corpus {short(row)}"
    documents = row.documents or 0
    data = DatasetCardData(
        pretty_name=title,
        size_categories=next((word for most, word in _SIZES if documents < most), "n>1T"),
        task_categories=["text-generation"],
        # Of a corpus that was imported, the record does not know who wrote the text.
        language_creators=["machine-generated"] if known["parent"] else None,
        configs=[{"config_name": "default", "data_files": "shard-*.parquet"}],
        tags=["palimpsest"],
        palimpsest=_machine_readable(known),
    )
    about = (
        f"A training corpus of the experiment {plain(_experiment_of(users))} of Palimpsest: "
        f"{row.documents:,} documents in {row.shards:,} Parquet files. "
        f"{used_by(users, 'corpus')}"
    )
    fated = {"actions": actions(users), "reasons": reasons(session, users)}
    return _written(DatasetCard, "dataset_card.md.j2", data, title, about, known, numbers, **fated)


def _written(
    kind: Any,
    template: str,
    data: Any,
    title: str,
    about: str,
    known: dict[str, Any],
    numbers: list[Evaluation],
    **more: str,
) -> Any:
    made = kind.from_template(
        data,
        template_str=(_TEMPLATES / template).read_text(encoding="utf-8"),
        title=plain(title),
        about=about,
        lineage=lineage(known),
        sources=sources(known),
        remake=remake(known),
        metrics=metrics(numbers),
        recipe=recipe(known),
        **more,
    )
    # The template language drops the last line's end.
    made.text += "\n"
    return made


def _users(session: Session, row: Artifact) -> list[Generation]:
    return users_of(session, [row.id]).get(row.id, [])


def _experiment_of(users: Sequence[Generation]) -> str:
    return users[0].arm.experiment.name if users else "unknown"


def _eval_result(row: Evaluation) -> EvalResult:
    """A number as the hub's model index holds it; what it stands on goes with it."""
    stands_on = {"stderr": row.stderr, "n": row.n, "unscored": row.unscored, "seed": row.seed}
    return EvalResult(
        task_type="text-generation",
        dataset_type=row.task,
        dataset_name=f"{row.task} ({row.variant})" if row.variant else row.task,
        dataset_config=row.variant or None,
        dataset_revision=row.task_version,
        metric_type=row.metric,
        metric_name=row.metric,
        metric_value=row.value,
        metric_args={name: value for name, value in stands_on.items() if value is not None},
    )


def _newest(rows: Sequence[Evaluation]) -> list[Evaluation]:
    """The last of each number, for one subject may be evaluated for several seeds."""
    last = {(row.task, row.variant, row.metric): row for row in rows}
    return [last[key] for key in sorted(last)]


def _machine_readable(known: dict[str, Any]) -> dict[str, Any]:
    """The lineage for scripts that read the card's metadata."""
    run = known["run"] or {}
    found = {
        "id": known["id"],
        "from": known["from"],
        "recipe_id": known["recipe_id"],
        "commit": run.get("commit"),
        "command": run.get("command"),
        "generations": known["generations"],
    }
    return {name: value for name, value in found.items() if value}
