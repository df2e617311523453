"""Filling databases, ours and the bare one in turn, a generation of documents at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.bare import Bare, ingest
from benchmarks.databases import Place, settle
from benchmarks.document_rows import DocumentRows
from benchmarks.made_record import GENERATIONS, count_actions, record_chain, record_experiment
from benchmarks.targets import Figure, Report
from benchmarks.timing import ratio
from db.models import Generation
from db.records import record_changed_documents
from db.sessions import Database, open_database

ROWS_A_SECOND = {"sqlite": 25_000, "postgresql": 50_000}
BYTES_A_ROW = {"sqlite": 220}


@dataclass(frozen=True, slots=True)
class _Prepared:
    url: str
    database: Database
    generations: list[int]


def filled(place: Place, documents: int) -> str:
    """The URL of a database with ten generations of so many documents, written by our code."""
    one = _prepare(place, documents)
    for index, generation in enumerate(one.generations, start=1):
        _ours(one.database, generation, DocumentRows(documents, index))
    one.database.dispose()
    settle(one.url)
    return one.url


def filled_in_turn(place: Place, documents: int, report: Report) -> str:
    """The same, with the time that it took beside that of the bare driver in its own database."""
    one, other = _prepare(place, documents), _prepare(place, documents)
    bare = Bare(other.url)
    jobs: dict[str, Callable[[int, DocumentRows], None]] = {
        "ours": lambda at, rows: _ours(one.database, one.generations[at], rows),
        "bare": lambda at, rows: ingest(bare, other.generations[at], rows),
    }
    taken: dict[str, list[float]] = {"ours": [], "bare": []}
    for at in range(GENERATIONS):
        # Each goes first every other time.
        for name in ("ours", "bare") if at % 2 == 0 else ("bare", "ours"):
            rows = DocumentRows(documents, at + 1)
            began = time.perf_counter()
            jobs[name](at, rows)
            taken[name].append(time.perf_counter() - began - rows.seconds)
        said = {name: f"{documents / each[-1]:,.0f}" for name, each in taken.items()}
        print(f"{place.kind:10}  generation {at + 1}: rows a second {said}", flush=True)
    bare.close()
    for each in (one, other):
        each.database.dispose()
    place.drop(other.url)
    _report(place.kind, documents, taken, settle(one.url), report)
    return one.url


def _prepare(place: Place, documents: int) -> _Prepared:
    url = place.new_url()
    database = open_database(url)
    with database.sessions.begin() as session:
        generations = record_experiment(session, documents)
        record_chain(session)
    return _Prepared(url, database, generations)


def _ours(database: Database, generation: int, rows: DocumentRows) -> None:
    with database.sessions.begin() as session:
        row = session.get_one(Generation, generation)
        record_changed_documents(session, row, rows)
        count_actions(session, generation, rows.actions)


def _report(
    kind: str, documents: int, taken: dict[str, list[float]], size: int, report: Report
) -> None:
    rates = {name: sorted(documents / each for each in times) for name, times in taken.items()}
    for name, limit in (("ours", ROWS_A_SECOND[kind]), ("bare", None)):
        whole = documents * GENERATIONS / sum(taken[name])
        spread = (rates[name][0], rates[name][-1])
        report.add(Figure(kind, f"ingest, {name}", whole, "rows/s", at_least=limit, spread=spread))
    middle, low, high = ratio(taken["ours"], taken["bare"])
    rows = documents * GENERATIONS
    report.add(
        Figure(kind, "ingest, times bare", middle, "x", at_most=2.0, spread=(low, high)),
        Figure(kind, "size with indexes", size / rows, "B/row", at_most=BYTES_A_ROW.get(kind)),
    )
    report.details.setdefault("ingest_seconds_by_generation", {})[kind] = taken
