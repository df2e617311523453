"""What an actor keeps from one part of a stage to the next."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pool_demo import written

from workers.actor import EngineActor
from workers.corpora.store import CorpusRef
from workers.jobs import Part
from workers.sharing import MOUNTED, SharedStore

LOADED: list[str] = []


@dataclass(frozen=True)
class Loading:
    """Has something to load, as jobs have a tokenizer."""

    corpus: CorpusRef
    out: str
    spec: None = None
    store: SharedStore = MOUNTED

    @cached_property
    def tokenizer(self) -> str:
        LOADED.append(self.out)
        return "loaded"

    def run(self, engine: Any, part: Part) -> pa.Table:
        return pa.table({"said": [self.tokenizer]})


@pytest.fixture
def actor(monkeypatch: pytest.MonkeyPatch) -> EngineActor:
    # A claim ends with its process, and this one goes on.
    monkeypatch.setattr("workers.actor.ClaimedCores", lambda index, threads: None)
    return EngineActor(0, 1)


@pytest.fixture
def corpus(tmp_path: Path) -> CorpusRef:
    return written(tmp_path / "corpus", 16)


def test_what_a_job_loads_is_loaded_once_for_all_its_parts_and_anew_for_another(
    actor: EngineActor, corpus: CorpusRef, tmp_path: Path
) -> None:
    for out in ("a", "b"):
        for shard in (0, 1):
            # Each call gets a copy of its own, as one that came through Ray.
            actor.work(Loading(corpus, out), Part(shard, 0, 8), str(tmp_path / f"{out}{shard}"))
    assert LOADED == ["a", "b"]


@dataclass(frozen=True)
class Breaking(Loading):
    """Fails on everything."""

    def run(self, engine: Any, part: Part) -> pa.Table:
        raise RuntimeError("broken")


def test_an_actor_that_failed_does_nothing_more_with_an_engine_that_may_be_spoiled(
    actor: EngineActor, corpus: CorpusRef, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match="broken"):
        actor.work(Breaking(corpus, "a"), Part(0, 0, 8), str(tmp_path / "a"))
    with pytest.raises(RuntimeError, match="the part before failed here"):
        actor.work(Loading(corpus, "b"), Part(1, 0, 8), str(tmp_path / "b"))
    assert not (tmp_path / "b").exists()
