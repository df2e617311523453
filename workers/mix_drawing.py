"""The rows of a mix, drawn from its corpora in their order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workers.checkpoints import load_tokenizer
from workers.corpora.store import CorpusRef, iterate
from workers.framing import frame_ids
from workers.microworld.world import ASSISTANTS
from workers.mix_specs import MixSpec, Pool
from workers.problems import InputProblem, WorkProblem
from workers.prompts import Prompts
from workers.records import Document
from workers.shuffling import shuffled


@dataclass(frozen=True, slots=True)
class MixRow:
    """A document, or a part of a long one, as training shows it."""

    doc_id: str
    real: bool
    """Whether it came from corpus 0 as it was."""
    back: int
    """How many corpora behind the newest it comes from; 0 for the newest, and for corpus 0."""
    epoch: int
    """How many times its pool has been used up before."""
    input_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A document's rows."""

    rows: list[MixRow]
    text_sha256: str
    about_alignment: bool


def check_order(corpus: CorpusRef, spec: MixSpec) -> None:
    """Check that the order asked for is one.

    Raises:
        InputProblem: the corpus holds no document about alignment, or nothing else.
    """
    if spec.order == "mixed":
        return
    seen: set[bool] = set()
    for document in iterate(corpus):
        seen.add(_about_alignment(document, spec))
        if len(seen) == 2:
            return
    said = "every document" if True in seen else "no document"
    raise InputProblem(
        f"training.order: {spec.order!r}, and {said} of corpus 0 is about alignment, as told by "
        f"its {spec.told_by}. Label some and leave the rest null, or set `mixed`."
    )


def _about_alignment(document: Document, spec: MixSpec) -> bool:
    """Told by the text or the label, and both stay when a document is revised."""
    if spec.told_by == "label":
        return document.label is not None
    return any(word in ASSISTANTS for word in document.text.split())


def drawn_in_order(spec: MixSpec, spill: Path) -> Iterator[tuple[MixRow, str]]:
    """All rows with their texts' hashes: phase by phase, and in each in the order asked for."""
    for phase, pools in enumerate(spec.phases):
        # Later phases do not begin with the documents that the first one began with.
        salt = f"{spec.seed}" if phase == len(spec.phases) - 1 else f"{spec.seed}|before"
        wanted = {
            "mixed": [{True, False}],
            "alignment_first": [{True}, {False}],
            "alignment_last": [{False}, {True}],
        }[spec.order]
        # Drawn anew for each part, so that nothing is held, and all orders have the same rows.
        for part in wanted:
            for drawn in _interleaved(spec, pools, salt, spill):
                if drawn.about_alignment in part:
                    yield from ((row, drawn.text_sha256) for row in drawn.rows)


def _interleaved(spec: MixSpec, pools: list[Pool], salt: str, spill: Path) -> Iterator[Drawn]:
    """Documents of all pools; the pool that lags behind its share is next."""
    by_name = {pool.name: pool for pool in pools}
    places = {name: place for place, name in enumerate(by_name)}
    draws = {name: _drawn(spec, pool, salt, spill) for name, pool in by_name.items()}
    spent = dict.fromkeys(by_name, 0)
    while draws:
        name = min(draws, key=lambda each: (spent[each] / by_name[each].tokens, places[each]))
        drawn = next(draws[name], None)
        if drawn is None:
            del draws[name]
            continue
        spent[name] += sum(len(row.input_ids) for row in drawn.rows)
        yield drawn


def _drawn(spec: MixSpec, pool: Pool, salt: str, spill: Path) -> Iterator[Drawn]:
    """Documents of one pool as rows, as many tokens as are its share."""
    prompts = Prompts(spec.prompt_file, spec.principles, load_tokenizer(spec.checkpoint))
    longest = spec.window - len(frame_ids(prompts, spec.frame, spec.window))
    left, epoch = pool.tokens, 0
    while left:
        before = left
        # The pools are shuffled apart: else the few documents of a small real share would be the
        # first ones of the corpus too, and seen twice as often as the rest.
        order = f"{salt}|{pool.name}|{epoch}"
        for document in shuffled(pool.corpus, order, spec.excluded, spill):
            ids = prompts.document(document.text)[:left]
            pieces = [ids[at : at + longest] for at in range(0, len(ids), longest)]
            left -= len(ids)
            rows = [
                MixRow(document.doc_id, pool.real, pool.back, epoch, tuple(piece))
                for piece in pieces
            ]
            yield Drawn(rows, document.text_sha256, _about_alignment(document, spec))
            if not left:
                return
        if left == before:
            raise WorkProblem(
                f"nothing is left to train on: all {pool.corpus.documents} documents of the "
                f"{'original ' if pool.real else ''}corpus are quarantined. Finished stages are "
                "kept; look at the engine with `palimpsest doctor`, then fork the experiment."
            )
        epoch += 1
