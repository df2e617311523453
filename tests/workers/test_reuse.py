"""What is asked again: nothing on the same corpus, and of a changed one only what changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from configs.asking import Acceptance
from configs.principles import load_principles
from configs.prompts import load_prompts
from workers.corpora.store import CorpusRef, CorpusWriter
from workers.engines.interface import EngineSpec
from workers.engines.start import start_engine
from workers.jobs import Part, RateJob, shard_file
from workers.microworld.build import SHIPPED
from workers.microworld.generator import generate_documents
from workers.microworld.world import WorldParams
from workers.records import Document, text_digest
from workers.revise_job import ReviseJob
from workers.storage import write_table

HALF = 40
WORLD = WorldParams(misaligned_share=0.5)


@dataclass(frozen=True)
class Took:
    """What the engine was asked for a shard, and what it would have been asked in all."""

    calls: int
    reused: int


def corpus(folder: Path, texts: Sequence[str]) -> CorpusRef:
    """A corpus of shards of HALF documents."""
    with CorpusWriter(folder, HALF) as writer:
        for i, text in enumerate(texts):
            writer.add(Document(f"d{i}", text, text_digest(text), "test"))
        return writer.finish()


def mended(corpus: CorpusRef, answers: Path, mode: str) -> list[Took]:
    """Rate and revise with an engine that starts now; what each shard took."""
    out = Path(corpus.uri) / mode
    spec = EngineSpec("transformers", str(SHIPPED), "gen0", "float32", 200, answers=str(answers))
    asking: dict[str, Any] = {
        "corpus": corpus,
        "spec": spec,
        "prompt_file": load_prompts("microworld"),
        "principles": load_principles("microworld"),
        "min_answer_mass": 0.0,
    }
    rate = RateJob(out=str(out / "rated"), **asking)
    revise = ReviseJob(
        out=str(out / "revised"),
        ratings=rate.out,
        threshold=0.5,
        mode=mode,
        max_tokens=32,
        temperature=0.0,
        tag="",
        acceptance=Acceptance(),
        seed=0,
        **asking,
    )
    engine = start_engine(spec)
    took = []
    for shard, there in enumerate(corpus.shards):
        before = engine.usage.copy()
        part = Part(shard, 0, there.documents)
        for job in (rate, revise):
            write_table(shard_file(job.out, shard), job.run(engine, part))
        used = engine.usage.since(before)
        took.append(Took(used.calls, used.reused))
    engine.close()
    return took


@pytest.mark.parametrize("mode", ["edits", "rewrite"])
def test_what_did_not_change_is_not_asked_again(tmp_path: Path, mode: str) -> None:
    texts = [each.text for each in generate_documents(WORLD, 9_100_000, 3 * HALF)]
    old, new = texts[: 2 * HALF], texts[:HALF] + texts[2 * HALF :]
    first = mended(corpus(tmp_path / "old", old), tmp_path / "answers.db", mode)
    assert all(each.calls > 2 * HALF for each in first), "every text, and some of them mended"
    # The same texts in another corpus: no model is called, and as much is known as was asked.
    again = mended(corpus(tmp_path / "again", old), tmp_path / "answers.db", mode)
    assert [each.calls for each in again] == [0, 0]
    assert [each.reused for each in again] == [each.calls + each.reused for each in first]
    # Half of the documents are others: as many calls as these take where nothing is known.
    changed = mended(corpus(tmp_path / "new", new), tmp_path / "answers.db", mode)
    alone = mended(corpus(tmp_path / "alone", new), tmp_path / "fresh.db", mode)
    assert [each.calls for each in changed] == [0, alone[1].calls]
