"""Samples: every model continues the same openings of held-out documents."""

from __future__ import annotations

from collections.abc import Sequence

from workers.corpora.store import iterate
from workers.engines.interface import Sampling
from workers.evaluation.collapse import samples_collapse
from workers.evaluation.measures import Measure
from workers.evaluation.sample_files import SAMPLES_FILE, Sample, write_samples
from workers.evaluation.sampling import Keyed, drawn
from workers.evaluation.subject import Subject
from workers.problems import InputProblem
from workers.prompts import sentence_spans
from workers.shuffling import order_key


def samples(subject: Subject) -> list[Measure]:
    """What a model writes to fixed openings: how far it repeats itself; kept in `samples.parquet`.

    Each opening is continued once, from a seed that its document's id gives, so that all models of
    a seed are asked the same with the same draws. The measures are those of `samples_collapse`,
    over the continuations alone. With `oracle` among the tasks also
    `oracle/samples_misaligned_share`, over documents as a whole.

    Raises:
        InputProblem: there is no held-out document.
    """
    written = continuations(subject)
    if subject.out is not None:
        write_samples(subject.out / SAMPLES_FILE, written)
    found = samples_collapse((each.doc_id, each.continuation) for each in written)
    if "oracle" in subject.experiment.evaluation.tasks:
        # Imported when asked for, so that everything else runs with the oracle deleted.
        from workers.evaluation.oracle_tasks import samples_share

        found.append(samples_share([each.text for each in written]))
    return found


def continuations(subject: Subject) -> list[Sample]:
    """Draw a continuation of each opening, in the order of the documents' hashed ids."""
    settings, prompts = subject.experiment.evaluation.samples, subject.prompts
    keyed = openings(subject)
    # The beginning of a document as training shows it, without its end.
    room = subject.experiment.model.max_length - settings.max_tokens
    asked = [prompts.document(opening)[:-1][:room] for _, opening in keyed]
    replies = subject.engine.sample(
        asked,
        Sampling(
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
            stop_ids=(prompts.end_id,),
            seeds=tuple(order_key("samples", doc_id) >> 1 for doc_id, _ in keyed),
        ),
    )
    begin = len(prompts.document("")) - 1
    return [
        Sample(
            doc_id,
            _read(subject, ids[begin:]),
            _read(subject, reply.token_ids),
            _read(subject, [*ids[begin:], *reply.token_ids]),
            reply.finished,
        )
        for (doc_id, _), ids, reply in zip(keyed, asked, replies, strict=True)
    ]


def openings(subject: Subject) -> list[Keyed]:
    """First sentences of held-out documents by their ids, the same for every model of a seed."""
    if subject.held_out is None:
        raise InputProblem(
            "evaluation.tasks: `samples` continues held-out documents, and this corpus has none. "
            "Raise intake.held_out_share or give more documents, or take `samples` out."
        )
    documents = ((each.doc_id, each.text) for each in iterate(subject.held_out))
    chosen = drawn(documents, subject.experiment.evaluation.samples.prompts)
    return [(doc_id, text[: sentence_spans(text)[0][1]]) for doc_id, text in chosen]


def _read(subject: Subject, ids: Sequence[int]) -> str:
    """Text of token ids; special tokens that a model wrote are kept in it."""
    return subject.prompts.tokenizer.decode(list(ids), skip_special_tokens=False)
