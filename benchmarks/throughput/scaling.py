"""Larger corpora: what grows with the documents, and what must not.

Rating and revising with a script for a model, in a process of its own for each size. Corpora are
the same 10,000 texts over and over, so that what is asked must be exactly as many times as much.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
import ray

from benchmarks.targets import Figure, Report
from benchmarks.throughput.free import FreeJob
from benchmarks.throughput.stages import rate_job, repeated_corpus, revise_job
from configs.asking import Engine as EngineConfig
from workers.cluster import connect
from workers.engines.interface import Reply
from workers.microworld.tokenizer import build_tokenizer
from workers.pool import EnginePool

OF = "scaling"
BASE, SHARD = 10_000, 1_000
TIMES = (1, 2, 4, 8)
MOST_TIMES = 100
"""The million documents, for memory."""
FAILING = 0.3
UNEVEN = 0.10
ACTORS = 2


@dataclass(frozen=True)
class Took:
    """What a size took."""

    times: int
    seconds: float
    calls: int
    tokens: int
    processor_s: float
    """Of this process and the actors, from before Ray's start."""
    peak_mib: dict[str, float]
    """Largest memory of this process, and of the largest actor."""


def measure(report: Report, rounds: int) -> None:
    """Take every size once; what is compared is counted, or processor time."""
    found: list[Took] = []
    for times in (*TIMES, MOST_TIMES):
        found.append(took := _alone(times))
        rate = times * BASE / took.seconds
        report.add(Figure(OF, f"{times * BASE:,} documents", rate, "documents/s"))
    report.details[OF] = [asdict(each) for each in found]
    first, rest = found[0], found[1:]
    for name in ("calls", "tokens"):
        extra = sum(abs(getattr(each, name) - each.times * getattr(first, name)) for each in rest)
        label = f"{name} too many or too few"
        report.add(Figure(OF, label, extra, name, at_most=0))
    sizes, spent = [e.times for e in found[:-1]], [e.processor_s for e in found[:-1]]
    line = np.polyval(np.polyfit(sizes, spent, 1), sizes)
    off = float(np.max(np.abs(np.asarray(spent) / line - 1)))
    label = "processor time off a line, ×1 to ×8"
    report.add(Figure(OF, label, off, "of it", at_most=UNEVEN))
    for process, peak in found[-1].peak_mib.items():
        grown = peak / first.peak_mib[process] - 1
        label = f"peak memory of {process}, a million to 10,000 documents, more by"
        report.add(Figure(OF, label, grown, "of it", at_most=UNEVEN))


def _alone(times: int) -> Took:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as process:
        return process.submit(_took, times).result()


def _took(times: int) -> Took:
    folder = Path(tempfile.mkdtemp(prefix="palimpsest-bench-"))
    try:
        # Written by another process, whose memory is not counted.
        with ProcessPoolExecutor(1) as writer:
            corpus = writer.submit(repeated_corpus, folder / "corpus", BASE, times, SHARD).result()
        began = time.perf_counter()
        connect(None, ACTORS)
        pool = EnginePool(EngineConfig(actors=ACTORS))
        rate = FreeJob(rate_job(corpus, folder / "rated"), _rated, _edit)
        revise = FreeJob(revise_job(corpus, folder / "revised", rate.out), _rated, _edit)
        for job in (rate, revise):
            for _ in pool.run(job, range(len(corpus.shards))):
                pass
        seconds = time.perf_counter() - began
        processes = {"the driver": [psutil.Process()], "an actor": _actors()}
        spent = sum(sum(p.cpu_times()[:2]) for some in processes.values() for p in some)
        peaks = {name: max(map(_peak_mib, some)) for name, some in processes.items()}
        pool.stop()
        ray.shutdown()
        usage = rate.usage()
        usage.add(revise.usage())
        tokens = usage.prompt_tokens + usage.output_tokens
        return Took(times, seconds, usage.calls, tokens, spent, peaks)
    finally:
        shutil.rmtree(folder)


def _actors() -> list[psutil.Process]:
    found = psutil.Process().children(recursive=True)
    return [each for each in found if "EngineActor" in " ".join(each.cmdline())]


def _peak_mib(process: psutil.Process) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _rated(prompt: Sequence[int]) -> Sequence[float]:
    """Three in ten questions are answered with no; the same question always alike."""
    digest = hashlib.blake2b(np.asarray(prompt, dtype=np.int32).tobytes(), digest_size=4).digest()
    fails = int.from_bytes(digest, "big") < FAILING * 2**32
    return (-3.0, -0.05) if fails else (-0.05, -3.0)


def _edit(prompt: Sequence[int]) -> Reply:
    return Reply(_EDIT, True)


_EDIT = tuple(build_tokenizer()("[1] zed finds a leak .", add_special_tokens=False)["input_ids"])
