"""A large record copied there and back: memory stays flat. `-s` shows the rows a second.

make's other tests leave this out; run it with
`.venv/bin/python -m pytest -m slow -s tests/db/test_db_copy_large.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from copy_demo import filled, many_documents, new_sqlite

FEW, MANY = 50_000, 1_000_000
# A child process copies, so that its peak is its own.
MEASURED = """
import json, pathlib, re, sys
from copy_demo import copy
copied = copy(*sys.argv[1:])
# Not ru_maxrss, which the process that started this one has a part in.
said = pathlib.Path("/proc/self/status").read_text()
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", said).group(1)) / 1024
print(json.dumps({"rows": copied.rows, "seconds": copied.seconds, "peak_mib": peak}))
"""


def measured(source: str, target: str) -> dict[str, Any]:
    folders = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    said = subprocess.run(
        [sys.executable, "-c", MEASURED, source, target],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": folders},
    )
    found: dict[str, Any] = json.loads(said.stdout)
    found["rows_per_s"] = round(found["rows"] / found["seconds"])
    return found


@pytest.mark.slow
def test_a_million_documents_are_copied_in_the_memory_of_fifty_thousand(
    migrated_sqlite: Path, new_postgres: Callable[[], str], tmp_path: Path
) -> None:
    peaks: dict[str, list[float]] = {}
    for count in (FEW, MANY):
        url = new_sqlite(migrated_sqlite, tmp_path / str(count), "p.db")
        filled(filled(url), lambda session, count=count: many_documents(session, count))
        server = new_postgres()
        for way, source, target in (
            ("sqlite to postgresql", url, server),
            ("postgresql to sqlite", server, f"sqlite:///{tmp_path}/{count}/back.db"),
        ):
            found = measured(source, target)
            print(f"\n{way}: {found}")
            peaks.setdefault(way, []).append(found["peak_mib"])
    for way, (few, many) in peaks.items():
        assert many < few + 32, f"{way}: {few:.0f} MiB at {FEW:,} documents, {many:.0f} at {MANY:,}"
