"""Mixing: exactly the tokens that a model's corpus stage will see, in order, on disk."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from workers.mix_drawing import MixRow, drawn_in_order
from workers.mix_specs import MixSpec, pool_name
from workers.problems import InputProblem
from workers.records import from_table, to_table
from workers.shuffling import order_key
from workers.storage import (
    MANIFEST,
    file_digest,
    read_json,
    read_table,
    whole_folder,
    write_json,
    write_table,
)

SHARD_ROWS = 5_000
Progress = Callable[[str, int, int, dict[str, Any]], None]

MIX_ROWS = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("real", pa.bool_(), nullable=False),
        pa.field("back", pa.int32(), nullable=False),
        pa.field("epoch", pa.int32(), nullable=False),
        pa.field("input_ids", pa.list_(pa.int32()), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class MixRef:
    """A mix on disk."""

    uri: str
    digest: str
    """SHA-256 over the rows, in order."""
    documents: int
    """Distinct document ids."""
    tokens: int
    unique_tokens: int
    """Tokens of distinct texts."""
    epochs: float
    """Tokens over unique tokens."""
    late_tokens: int = 0
    """Tokens after those of corpus 0 that come before all the rest; 0 where none do."""


def build_mix(spec: MixSpec, progress: Progress) -> MixRef:
    """Write a mix, or take the one that stands: another run may be training from it just now.

    `round(real_floor * tokens)` tokens come from corpus 0 and the rest in equal parts from the
    corpus and the earlier ones, each in freshly shuffled epochs until its share is spent, the last
    document cut to fit. They are interleaved in proportion. Within each, arms of one seed see the
    same documents in the same order, whatever their texts are; texts of other lengths move only
    where an epoch ends. What comes before (`real_before`) is drawn apart, and an `order` moves the
    same rows.

    Raises:
        WorkProblem: nothing is left to draw from, or the disk is full.
    """
    out = Path(spec.out)
    if _stands(spec):
        return open_mix(out)
    tally = _Tally()
    with whole_folder(out) as fresh:
        rows: list[MixRow] = []
        shards: dict[str, str] = {}

        def write() -> None:
            name = f"mix-{len(shards):05d}.parquet"
            shards[name] = write_table(fresh / name, to_table(rows, MIX_ROWS))
            rows.clear()
            progress("mix", tally.tokens, spec.tokens, {})

        with tempfile.TemporaryDirectory(prefix="spill-", dir=fresh) as spill:
            for row, text_sha256 in drawn_in_order(spec, Path(spill)):
                rows.append(row)
                tally.add(row, text_sha256)
                if len(rows) == SHARD_ROWS:
                    write()
            if rows:
                write()
        late = tally.tokens - spec.real_before if spec.real_before else 0
        about = {**tally.figures(), "late_tokens": late, "made_of": spec.digest}
        write_json(fresh / MANIFEST, {**about, "shards": list(shards), "files": shards})
        if not _stands(spec):
            shutil.rmtree(out, ignore_errors=True)
    return open_mix(out)


def _stands(spec: MixSpec) -> bool:
    """Whether this mix is there, with the bytes that were written."""
    folder = Path(spec.out)
    try:
        manifest = read_json(folder / MANIFEST)
        return manifest["made_of"] == spec.digest and all(
            file_digest(folder / name) == digest for name, digest in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False  # None, or half of one, or one that was altered.


def open_mix(uri: str | Path) -> MixRef:
    """Read a mix's manifest.

    Raises:
        InputProblem: there is no finished mix.
    """
    manifest = _manifest(Path(uri))
    names = ("digest", "documents", "tokens", "unique_tokens", "epochs", "late_tokens")
    # Mixes that were made before anything entered late do not say how much did.
    told = {"late_tokens": 0, **manifest}
    return MixRef(str(Path(uri).resolve()), **{name: told[name] for name in names})


def iterate_mix(mix: MixRef) -> Iterator[MixRow]:
    """Yield the rows in the order of training, a shard at a time."""
    for name in _manifest(Path(mix.uri))["shards"]:
        yield from from_table(read_table(Path(mix.uri) / name), MixRow)


def hash_shard(path: Path, digest: Any) -> None:
    """Add a shard's rows to a hash, which after all shards, in order, is the mix's digest."""
    table = read_table(path)
    names, reals, backs, epochs = (
        table.column(each).to_pylist() for each in ("doc_id", "real", "back", "epoch")
    )
    # Tokens go on as they lie in Arrow's buffer; each as a number of Python's would be slow.
    tokens = table.column("input_ids").combine_chunks()
    starts, ids = tokens.offsets.to_numpy(), tokens.values.to_numpy(zero_copy_only=False)
    columns = zip(names, reals, backs, epochs, strict=True)
    for index, (doc_id, real, back, epoch) in enumerate(columns):
        row = ids[starts[index] : starts[index + 1]].astype(np.intc)
        _hash_row(digest, doc_id, pool_name(real, back), epoch, len(row), row.tobytes())


def _hash_row(digest: Any, doc_id: str, pool: str, epoch: int, length: int, tokens: bytes) -> None:
    digest.update(f"{doc_id}|{pool}|{epoch}|{length}|".encode())
    digest.update(tokens)


def _manifest(folder: Path) -> dict[str, Any]:
    if not (folder / MANIFEST).is_file():
        raise InputProblem(
            f"{folder}: no finished mix stands here ({MANIFEST} is missing). Run the experiment "
            "again: it makes what is missing."
        )
    return read_json(folder / MANIFEST)


@dataclass
class _Tally:
    """Counts rows as they pass, in 20 bytes a document, and hashes them."""

    tokens: int = 0
    rows: Any = field(default_factory=hashlib.sha256)
    documents: array[int] = field(default_factory=lambda: array("Q"))
    texts: array[int] = field(default_factory=lambda: array("Q"))
    lengths: array[int] = field(default_factory=lambda: array("L"))
    last: tuple[str, str, int] = ("", "", -1)

    def add(self, row: MixRow, text_sha256: str) -> None:
        """Count a row; later epochs hold nothing new."""
        self.tokens += len(row.input_ids)
        tokens = array("i", row.input_ids).tobytes()
        pool = pool_name(row.real, row.back)
        _hash_row(self.rows, row.doc_id, pool, row.epoch, len(row.input_ids), tokens)
        whose = (row.doc_id, pool, row.epoch)
        if row.epoch == 0:
            if whose != self.last:
                self.documents.append(order_key(row.doc_id))
                self.texts.append(int(text_sha256[:16], 16))
                self.lengths.append(0)
            self.lengths[-1] += len(row.input_ids)
        self.last = whose

    def figures(self) -> dict[str, Any]:
        """What the manifest says."""
        texts = np.frombuffer(self.texts, dtype=np.uint64)
        lengths = np.asarray(self.lengths, dtype=np.int64)
        order = np.argsort(texts, kind="stable")
        _, first = np.unique(texts[order], return_index=True)
        # A text that was cut to fit may have been drawn whole from the other pool.
        unique = int(np.maximum.reduceat(lengths[order], first).sum())
        return {
            "digest": self.rows.hexdigest(),
            "documents": len(set(self.documents)),
            "tokens": self.tokens,
            "unique_tokens": unique,
            "epochs": self.tokens / unique,
        }
