"""Questions to filled databases: beside the bare driver, and at three sizes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from random import Random
from statistics import median
from typing import Any

from benchmarks import bare_questions
from benchmarks.bare import Bare
from benchmarks.document_rows import doc_id
from benchmarks.made_record import DEPTH, checkpoint_digest, deep_digest
from benchmarks.targets import Figure, Report
from benchmarks.timing import Timed, in_turn, ratio
from db import lineage
from db.sessions import Database, open_database

TIMES_BARE = 1.5
# At a hundred times the rows a question may take half as long again, and a millisecond of noise.
GROWTH, NOISE_MS = 1.5, 1.0
MEMORY_MIB = 16.0
STREAMED_RUNS = 3

# Milliseconds, at the middle of all calls or at the slowest of a hundred.
_TARGETS = {
    "document_history": ("p99", 5.0),
    "ancestors": ("median", 20.0),
    "taint": ("median", 50.0),
}
_ROUNDS = 10
_CALLS = {"document_history": 200, "taint": 50, "ancestors": 5, "show": 20, "why": 20}


def beside_bare(kind: str, url: str, documents: int, report: Report) -> None:
    """Time history, ancestry and taint, each beside the same by hand-written SQL.

    Absolute targets are for a question from the opening of its session to the closing; ratios are
    of the question alone, for the bare driver has no sessions.
    """
    database, bare = open_database(url), Bare(url)
    bare.read("BEGIN")
    for name, (measure, limit) in _TARGETS.items():
        timed = _beside(kind, database, bare, name, _ids(name, documents))
        _report_beside(kind, name, timed, measure, limit, report)
    bare.close()
    database.dispose()


def _beside(
    kind: str, database: Database, bare: Bare, name: str, next_id: Callable[[], str]
) -> dict[str, Timed]:
    ask, by_hand = getattr(lineage, name), getattr(bare_questions, name)
    with database.readers() as session:
        for _ in range(5):
            wanted = next_id()
            if ask(session, wanted) != by_hand(bare, wanted):
                raise SystemExit(f"{kind}: {name} of {wanted} differs from hand-written SQL")
        jobs = {
            "ours": lambda: ask(session, next_id()),
            "bare": lambda: by_hand(bare, next_id()),
            "with its session": _in_session(database, ask, next_id),
        }
        return in_turn(jobs, rounds=_ROUNDS, calls=_CALLS[name])


def _report_beside(
    kind: str, name: str, timed: Mapping[str, Timed], measure: str, limit: float, report: Report
) -> None:
    whole = timed["with its session"]
    label = f"{name} of depth {DEPTH}" if name == "ancestors" else name
    value = whole.p99_ms if measure == "p99" else whole.median_ms
    spread = (min(whole.medians), max(whole.medians))
    middle, low, high = ratio(timed["ours"].medians, timed["bare"].medians)
    report.add(
        Figure(kind, f"{label}, {measure}", value, "ms", at_most=limit, spread=spread),
        Figure(kind, f"{label}, bare median", timed["bare"].median_ms, "ms"),
        Figure(kind, f"{label}, times bare", middle, "x", at_most=TIMES_BARE, spread=(low, high)),
    )
    details = report.details.setdefault("beside_bare", {}).setdefault(kind, {})
    details[name] = {each: one.figures() for each, one in timed.items()}


def by_size(
    kind: str, urls: Mapping[int, str], documents: Mapping[int, int], report: Report
) -> None:
    """Time the point questions at every size in turn: they may not grow with the documents."""
    databases = {rows: open_database(url) for rows, url in urls.items()}
    for name, calls in _CALLS.items():
        jobs = {
            str(rows): _in_session(database, getattr(lineage, name), _ids(name, documents[rows]))
            for rows, database in databases.items()
        }
        timed = in_turn(jobs, rounds=_ROUNDS, calls=calls)
        medians = [each.median_ms for each in timed.values()]
        said = ", ".join(
            f"{one:.3g} ms at {int(rows):,}" for rows, one in zip(timed, medians, strict=True)
        )
        print(f"{kind:10}  {name}: {said}", flush=True)
        bound = GROWTH * medians[0] + NOISE_MS
        spread = (min(list(timed.values())[-1].medians), max(list(timed.values())[-1].medians))
        label = f"{name} at {max(urls):,} rows"
        report.add(Figure(kind, label, medians[-1], "ms", at_most=bound, spread=spread))
        details = report.details.setdefault("by_size", {}).setdefault(kind, {})
        details[name] = {each: one.figures() for each, one in timed.items()}
    _by_depth(kind, databases[max(urls)], report)
    for database in databases.values():
        database.dispose()


def _by_depth(kind: str, database: Database, report: Report) -> None:
    """What does grow: ancestry with the generations above a checkpoint."""
    jobs = {
        str(depth): _in_session(database, lineage.ancestors, lambda depth=depth: deep_digest(depth))
        for depth in (DEPTH // 100, DEPTH // 10, DEPTH)
    }
    timed = in_turn(jobs, rounds=5, calls=5)
    for depth, each in timed.items():
        report.add(Figure(kind, f"ancestors of depth {depth}", each.median_ms, "ms"))


def streamed(kind: str, urls: Mapping[int, str], report: Report) -> None:
    """Time `flips` and `verify` by what they go through, and their memory: both stay flat."""
    for question in ("flips", "verify"):
        runs = {rows: [] for rows in urls}
        for _ in range(STREAMED_RUNS):
            for rows, url in urls.items():
                runs[rows].append(_consumed(url, question))
        returned = {rows: each[0]["returned"] for rows, each in runs.items()}
        if question == "verify" and any(returned.values()):
            raise SystemExit(f"{kind}: verify finds fault with the record: {returned}")
        of = returned if question == "flips" else {rows: rows for rows in urls}
        each_us = {rows: [run["seconds"] / of[rows] * 1e6 for run in runs[rows]] for rows in urls}
        peak = {rows: median(run["peak_mib"] for run in each) for rows, each in runs.items()}
        _report_streamed(kind, question, each_us, peak, report)
        report.details.setdefault("streamed", {}).setdefault(kind, {})[question] = {
            str(rows): each for rows, each in runs.items()
        }


def _report_streamed(
    kind: str,
    question: str,
    each_us: Mapping[int, list[float]],
    peak: Mapping[int, float],
    report: Report,
) -> None:
    least, most = min(each_us), max(each_us)
    unit = "us/returned row" if question == "flips" else "us/recorded row"
    said = ", ".join(f"{median(each):.3g} {unit} at {rows:,}" for rows, each in each_us.items())
    print(f"{kind:10}  {question}: {said}", flush=True)
    spread = (min(each_us[most]), max(each_us[most]))
    bound = GROWTH * median(each_us[least])
    value = median(each_us[most])
    memory = peak[least] + MEMORY_MIB
    report.add(
        Figure(kind, f"{question} at {most:,} rows", value, unit, at_most=bound, spread=spread),
        Figure(kind, f"{question} at {most:,} rows, peak", peak[most], "MiB", at_most=memory),
    )


def _consumed(url: str, question: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.streamed", url, question]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def _in_session(
    database: Database, ask: Callable[[Any, str], object], next_id: Callable[[], str]
) -> Callable[[], object]:
    def asked() -> object:
        with database.readers() as session:
            return ask(session, next_id())

    return asked


def _ids(name: str, documents: int) -> Callable[[], str]:
    """What to ask a question about: another document each time, and the one checkpoint."""
    if name in ("document_history", "taint"):
        random = Random(documents)
        return lambda: doc_id(random.randrange(documents))
    digest = deep_digest(DEPTH) if name == "ancestors" else checkpoint_digest(7)
    return lambda: digest
