"""`flips` and `verify` in a process of their own: what they return, how long, and peak memory.

python -m benchmarks.streamed URL flips|verify
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

from benchmarks.made_record import ARM, EXPERIMENT, GENERATIONS
from db.sessions import open_database


def consume(url: str, question: str) -> dict[str, Any]:
    """Read the answer to its end, and keep nothing of it."""
    from db.lineage import flips
    from db.lineage.consistency import inconsistencies

    database = open_database(url)
    with database.readers() as session:
        answers = (
            flips(session, EXPERIMENT, ARM, GENERATIONS // 2)
            if question == "flips"
            else inconsistencies(session)
        )
        before, began = _peak_mib(), time.perf_counter()
        returned = sum(1 for _ in answers)
        seconds = time.perf_counter() - began
    database.dispose()
    peak = _peak_mib()
    return {"returned": returned, "seconds": seconds, "peak_mib": peak, "grown_mib": peak - before}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    print(json.dumps(consume(sys.argv[1], sys.argv[2])))
