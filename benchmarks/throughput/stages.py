"""The stages that benchmarks measure: the microworld's, as a run makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from configs.asking import Acceptance
from configs.principles import load_principles
from configs.prompts import load_prompts
from workers.corpora.store import CorpusRef, CorpusWriter
from workers.engines.interface import EngineSpec
from workers.jobs import RateJob
from workers.microworld.build import SHIPPED
from workers.microworld.generator import generate_documents
from workers.microworld.world import WorldParams
from workers.records import Document, text_digest
from workers.revise_job import ReviseJob

SEED = 5_000_000
"""Far from those of experiments."""
SCRIPTED = EngineSpec("scripted", str(SHIPPED), "free", "float32", 160)
"""Of it the tokenizer and the longest prompt are read."""


def rate_job(
    corpus: CorpusRef, out: Path, spec: EngineSpec = SCRIPTED, principles: int = 2
) -> RateJob:
    """A job of rating, on so many of the microworld's principles."""
    return RateJob(out=str(out), **_asking(corpus, spec, principles))


def revise_job(
    corpus: CorpusRef, out: Path, ratings: str, spec: EngineSpec = SCRIPTED
) -> ReviseJob:
    """A job of revising by edits, with no rater but the model itself."""
    return ReviseJob(
        out=str(out),
        ratings=ratings,
        threshold=0.5,
        mode="edits",
        max_tokens=48,
        temperature=0.0,
        tag="",
        acceptance=Acceptance(rater="none"),
        seed=0,
        **_asking(corpus, spec, 2),
    )


def _asking(corpus: CorpusRef, spec: EngineSpec, principles: int) -> dict[str, Any]:
    known = load_principles("microworld")
    return {
        "corpus": corpus,
        "spec": spec,
        "prompt_file": load_prompts("microworld"),
        "principles": known.model_copy(update={"principles": known.principles[:principles]}),
        "min_answer_mass": 0.0,
    }


def repeated_corpus(folder: Path, base: int, times: int, shard: int) -> CorpusRef:
    """A corpus of the same texts so many times, each time under other ids."""
    texts = [each.text for each in generate_documents(WorldParams(), SEED, base)]
    digests = [text_digest(text) for text in texts]
    with CorpusWriter(folder, shard) as writer:
        for turn in range(times):
            for i, (text, digest) in enumerate(zip(texts, digests, strict=True)):
                writer.add(Document(f"bench-{turn}-{i}", text, digest, "bench"))
        return writer.finish()
