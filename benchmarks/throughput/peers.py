"""Other tools, from PyPI, each in an environment of its own that the benchmark makes once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

PEERS = {"datatrove": ["datatrove[io]==0.10.1"], "distilabel": ["distilabel==1.5.3", "requests"]}
"""What pip installs for each."""
ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".bench"


def peer_environment(name: str) -> Path:
    """The Python of a peer's environment; a few minutes the first time.

    Raises:
        CalledProcessError: it cannot be installed.
    """
    folder = ENVIRONMENTS / name
    python = folder / "bin" / "python"
    ready = folder / ".installed"
    if not ready.exists():
        print(f"{name}: installing it into {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        command = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
        subprocess.run([*command, *PEERS[name]], check=True)
        ready.touch()
    return python


def run_peer(python: Path, name: str, texts: Path, out: Path) -> None:
    """Let a peer rate the texts of a Parquet file, from the start of its process to its end.

    Raises:
        RuntimeError: it failed; its last words are in the message.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    script = ROOT / "benchmarks" / "peers" / f"{name}_rate.py"
    done = subprocess.run(
        [str(python), str(script), str(texts), str(out)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    if done.returncode or not any(out.rglob("*.parquet")):
        raise RuntimeError(f"{name} failed: {done.stderr[-2000:]}")
