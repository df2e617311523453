"""Texts that have nothing to do with alignment, for a training after which models are measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from configs.corpora import CorpusOptions, FileCorpus
from configs.stages import Persistence
from workers.corpora.intake import import_corpus
from workers.corpora.row_files import find_files, signature
from workers.corpora.store import CorpusRef, CorpusWriter, iterate
from workers.microworld.generator import fact_stories
from workers.problems import InputProblem
from workers.records import Document, text_digest

FIELD = "evaluation.persistence.path"
SHARD_DOCUMENTS = 1_000
FEWEST_TOKENS = 15
"""No story of facts has fewer, so that so many stories last for a budget."""


def texts_signature(settings: Persistence) -> dict[str, object]:
    """Content identity of the texts, and never a path.

    Raises:
        InputProblem: the file is missing or cannot be read.
    """
    if settings.path is None:
        return {"facts": settings.seed, "stories": _stories(settings)}
    return {"files": signature(find_files(settings.path, FIELD))}


def write_texts(
    settings: Persistence, home: Path, apart_from: Iterable[CorpusRef]
) -> tuple[CorpusRef, int]:
    """Write the texts as a corpus version; return it with the number that could not be used.

    Args:
        settings: says which texts.
        home: gets the version in `corpora/`.
        apart_from: corpora that must hold none of the texts.

    Raises:
        InputProblem: there is no text, or one stands in a corpus that is trained or measured on.
    """
    if settings.path is None:
        with CorpusWriter(home, SHARD_DOCUMENTS) as writer:
            for number, text in enumerate(fact_stories(settings.seed, _stories(settings))):
                name = f"mw-facts-{settings.seed}-{number}"
                writer.add(Document(name, text, text_digest(text), "microworld"))
            made, unused = writer.finish(), 0
    else:
        intake = CorpusOptions(shard_documents=SHARD_DOCUMENTS, held_out_share=0.0)
        corpus = FileCorpus(path=settings.path)
        found = import_corpus(corpus, intake, settings.seed, home, lambda done: None)
        made, unused = found.corpus, len(found.quarantined)
    _refuse_known(made, apart_from)
    return made, unused


def _stories(settings: Persistence) -> int:
    return -(-settings.tokens // FEWEST_TOKENS)


def _refuse_known(texts: CorpusRef, apart_from: Iterable[CorpusRef]) -> None:
    """A text that is known from elsewhere would not be unrelated. The texts are few."""
    own = {document.text_sha256 for document in iterate(texts)}
    known = sum(digest in own for digest in _digests(apart_from))
    if known:
        raise InputProblem(
            f"{FIELD}: {known} of its texts stand in the corpus or among its held-out documents, "
            "and a training that repeats those is not unrelated. Take them out of the file."
        )


def _digests(corpora: Iterable[CorpusRef]) -> Iterator[str]:
    for corpus in corpora:
        yield from (document.text_sha256 for document in iterate(corpus))
