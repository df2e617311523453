"""Running the real program in a process of its own, and killing it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
TINY = ROOT / "configs" / "microworld-tiny.yaml"
PROGRAM = Path(sys.executable).with_name("palimpsest")


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "200", **more}


def start(folder: Path, *words: str, **more: str) -> subprocess.Popen[bytes]:
    """Start the program; its output goes to files, since its servers inherit the handles."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "out.log").open("ab") as out, (folder / "err.log").open("ab") as err:
        return subprocess.Popen(
            [str(PROGRAM), *words],
            cwd=folder,
            env=environment(**more),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )


def run(folder: Path, *words: str, timeout: float = 400, **more: str) -> tuple[int, str, str]:
    """Run the program to its end; its exit status and what this run printed."""
    folder.mkdir(parents=True, exist_ok=True)
    logs = [folder / "out.log", folder / "err.log"]
    sizes = [log.stat().st_size if log.exists() else 0 for log in logs]
    process = start(folder, *words, **more)
    try:
        status = process.wait(timeout)
    finally:
        kill_tree(process)
    out, err = (log.read_bytes()[size:].decode() for log, size in zip(logs, sizes, strict=True))
    return status, out, err


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it started, as a machine that goes down would."""
    try:
        root = psutil.Process(process.pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family[1:], timeout=20)
    process.wait(20)


def status(folder: Path, name: str = "microworld-tiny") -> dict:
    code, out, err = run(folder, "status", name, "--json")
    assert code == 0, err
    return json.loads(out)[0]


def digests(standing: dict) -> dict[tuple[str, int, int], tuple[str, str]]:
    """Corpus and checkpoint of every arm, seed and generation."""
    return {
        (arm["arm"], arm["seed"], row["generation"]): (row["corpus"], row["checkpoint"])
        for arm in standing["arms"]
        for row in arm["generations"]
    }
