"""A job for the pool that writes texts in capitals, and fails in the ways that a test asks for."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from workers.corpora.store import CorpusRef, CorpusWriter
from workers.jobs import Part
from workers.problems import WorkProblem
from workers.records import Document, from_table, text_digest
from workers.sharing import MOUNTED, SharedStore
from workers.storage import read_table

SHARD = 8


def written(folder: Path, documents: int) -> CorpusRef:
    """A corpus of numbered texts in shards of eight."""
    with CorpusWriter(folder, SHARD) as writer:
        for i in range(documents):
            writer.add(Document(f"d{i}", f"text {i}", text_digest(f"text {i}"), "test"))
        return writer.finish()


@dataclass(frozen=True)
class Upper:
    """Writes texts in capitals."""

    corpus: CorpusRef
    out: str
    spec: None = None
    store: SharedStore = MOUNTED
    poison: str = ""
    """A document on which it always fails."""
    deadly: str = ""
    """A document that always brings the process down."""
    once: str = ""
    """A file whose absence makes it fail once for each shard."""
    die: str = ""
    """A file whose absence makes its process die once for each shard."""
    meet: str = ""
    """A folder in which two processes must have shown themselves before the second part ends."""
    slow_s: float = 0.0
    full: bool = False

    def documents(self, part: Part) -> list[Document]:
        table = read_table(self.corpus.shard_path(part.shard)).slice(part.start, part.documents)
        return list(from_table(table, Document))

    def run(self, engine, part: Part) -> pa.Table:
        time.sleep(self.slow_s)
        if self.meet:
            self._meet(Path(self.meet))
        if self.full:
            raise WorkProblem("no space is left on the disk")
        documents = self.documents(part)
        if any(each.doc_id == self.poison for each in documents):
            raise RuntimeError("poisoned")
        if any(each.doc_id == self.deadly for each in documents):
            os.kill(os.getpid(), signal.SIGKILL)
        for mark in filter(None, (self.once, self.die)):
            path = Path(f"{mark}-{part.shard}")
            if not path.exists():
                path.touch()
                if self.die:
                    os.kill(os.getpid(), signal.SIGKILL)
                raise RuntimeError("a fault that comes and goes")
        return pa.table({"text": [each.text.upper() for each in documents]})

    def _meet(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        alone = not any(folder.iterdir())
        (folder / str(os.getpid())).touch()
        while not alone and len(list(folder.iterdir())) < 2:
            time.sleep(0.1)

    def give_up(self, part: Part, why: str) -> pa.Table:
        return pa.table({"text": ["GIVEN UP" for _ in self.documents(part)]})
