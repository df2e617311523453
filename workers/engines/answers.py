"""Answers kept by content: what weights have been asked once they are not asked again.

A key is made of everything that an answer depends on: the weights' hash, the engine and its
arithmetic, what was asked for, and the prompt as token ids, in which tokenizer, template, principle
and text have become one. So the same text in another corpus, shard or experiment is answered once,
and never by other weights that bear the same name.
"""

from __future__ import annotations

import hashlib
import sqlite3
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from workers.engines.interface import Engine, Reply, Sampling, Usage
from workers.problems import WorkProblem

VERSION = 1
"""Of what keys are made of and values hold; another one finds nothing of the former."""
WAIT_S = 60.0
ASKED_AT_ONCE = 500
TRIMMED = 0.25
"""Share of the answers, the oldest, that go when the file is full."""
A = TypeVar("A")


class Answers:
    """A file of answers on this node's disk, which several processes read and write."""

    def __init__(self, file: Path, limit_bytes: int) -> None:
        """Open the file, or begin one.

        Args:
            file: an SQLite database; nothing in it is run or unpickled.
            limit_bytes: size at which the oldest answers go.

        Raises:
            WorkProblem: the file cannot be read or written.
        """
        self._file = file
        self._limit = limit_bytes
        with self._explained():
            file.parent.mkdir(parents=True, exist_ok=True)
            self._open = sqlite3.connect(file, timeout=WAIT_S, isolation_level=None)
            self._open.execute("PRAGMA journal_mode = WAL")
            # Answers can be had again, so that a power cut may cost the last of them.
            self._open.execute("PRAGMA synchronous = NORMAL")
            self._open.execute(
                "CREATE TABLE IF NOT EXISTS answers "
                "(number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, value BLOB NOT NULL)"
            )

    def known(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values of those keys that have one."""
        found: dict[bytes, bytes] = {}
        with self._explained():
            for start in range(0, len(keys), ASKED_AT_ONCE):
                some = keys[start : start + ASKED_AT_ONCE]
                places = ",".join("?" * len(some))
                rows = self._open.execute(
                    f"SELECT key, value FROM answers WHERE key IN ({places})", some
                )
                found.update(rows.fetchall())
        return found

    def keep(self, values: Mapping[bytes, bytes]) -> None:
        """Keep values; what another process has kept meanwhile stays."""
        with self._explained(), self._open:
            self._open.execute("BEGIN IMMEDIATE")
            self._open.executemany(
                "INSERT OR IGNORE INTO answers (key, value) VALUES (?, ?)", values.items()
            )
            if self._used() > self._limit:
                (oldest, newest) = self._open.execute(
                    "SELECT MIN(number), MAX(number) FROM answers"
                ).fetchone()
                last = oldest + int(TRIMMED * (newest - oldest))
                self._open.execute("DELETE FROM answers WHERE number <= ?", (last,))

    def close(self) -> None:
        """Close the file."""
        self._open.close()

    def _used(self) -> int:
        """Bytes of the file that hold something."""
        pages, free, size = (
            self._open.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise WorkProblem(
                f"the kept answers in {self._file} cannot be used ({error}). They can be had "
                "again: look at the disk, delete the file, and run the same command; or set "
                "engine.answers_gb to 0."
            ) from error


class RememberingEngine:
    """An engine that is asked only what was not answered before."""

    def __init__(self, engine: Engine, answers: Answers, identity: Sequence[object]) -> None:
        """Take over an engine.

        Args:
            engine: asked what is not known.
            answers: what is known.
            identity: what the engine's answers depend on beside the question, its weights first.
        """
        self.name = engine.name
        self.version = engine.version
        self.note = engine.note
        self.usage: Usage = engine.usage
        self._engine = engine
        self._answers = answers
        self._identity = hashlib.sha256(repr((VERSION, *identity)).encode()).digest()

    def choices(
        self, prompts: Sequence[Sequence[int]], answer_ids: Sequence[int]
    ) -> list[list[float]]:
        """Log-probabilities of each answer token as the next token, a row for each prompt."""
        asked = ("choices", *answer_ids)
        return self._known_or(
            [self._key(asked, prompt) for prompt in prompts],
            lambda missing: self._engine.choices([prompts[i] for i in missing], answer_ids),
            lambda row: array("d", row).tobytes(),
            lambda value: array("d", value).tolist(),
        )

    def generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Reply]:
        """Replies in the prompts' order."""
        asked = ("generate", sampling.max_tokens, sampling.temperature, *sampling.stop_ids)
        seeds = sampling.seeds or (None,) * len(prompts)
        return self._known_or(
            [self._key((*asked, seed), p) for p, seed in zip(prompts, seeds, strict=True)],
            lambda missing: self._engine.generate(
                [prompts[i] for i in missing], _of(sampling, missing)
            ),
            lambda reply: bytes([reply.finished]) + array("i", reply.token_ids).tobytes(),
            lambda value: Reply(tuple(array("i", value[1:])), bool(value[0])),
        )

    def close(self) -> None:
        """Give back the memory."""
        self._engine.close()
        self._answers.close()

    def _key(self, asked: Sequence[object], prompt: Sequence[int]) -> bytes:
        key = hashlib.sha256(self._identity)
        key.update(repr(tuple(asked)).encode())
        key.update(array("q", prompt).tobytes())
        return key.digest()

    def _known_or(
        self,
        keys: Sequence[bytes],
        ask: Callable[[Sequence[int]], list[A]],
        pack: Callable[[A], bytes],
        unpack: Callable[[bytes], A],
    ) -> list[A]:
        """Answers to questions, of which each that is not known is asked once."""
        known = self._answers.known(list(dict.fromkeys(keys)))
        first = {key: i for i, key in reversed(list(enumerate(keys)))}
        missing = sorted(i for key, i in first.items() if key not in known)
        if missing:
            fresh = zip(missing, ask(missing), strict=True)
            made = {keys[i]: pack(answer) for i, answer in fresh}
            self._answers.keep(made)
            known |= made
        self.usage.reused += len(keys) - len(missing)
        return [unpack(known[key]) for key in keys]


def _of(sampling: Sampling, chosen: Sequence[int]) -> Sampling:
    """The same for some of the prompts."""
    return replace(
        sampling,
        seeds=tuple(sampling.seeds[i] for i in chosen) if sampling.seeds else (),
        sources=tuple(sampling.sources[i] for i in chosen) if sampling.sources else (),
    )
