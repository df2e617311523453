"""Other tools, from PyPI, each in an environment of its own that the benchmark makes once."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import Listener
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


def run_peer(
    python: Path, script: str, texts: Path, out: Path, more: Mapping[str, str] | None = None
) -> None:
    """Let a peer work on the texts of a Parquet file, from the start of its process to its end.

    Args:
        python: of the peer's environment.
        script: name of a file in `benchmarks/peers/`.
        texts: the Parquet file.
        out: folder for what it makes, anew.
        more: environment variables beside those of this process.

    Raises:
        RuntimeError: it failed; its last words are in the message.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    file = ROOT / "benchmarks" / "peers" / f"{script}.py"
    done = subprocess.run(
        [str(python), str(file), str(texts), str(out)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1", **(more or {})},
    )
    if done.returncode or not any(out.rglob("*.parquet")):
        raise RuntimeError(f"{script} failed: {done.stderr[-2000:]}")


@contextmanager
def answering(answer: Callable[[list[str]], list[str]]) -> Iterator[dict[str, str]]:
    """Let a peer's process ask a model that lives here; yields where, as environment variables."""
    key = secrets.token_hex(16)
    with Listener(("127.0.0.1", 0), authkey=key.encode()) as listener:

        def serve() -> None:
            # Ended by the peer when it is done, or by the listener's end.
            with suppress(EOFError, OSError), listener.accept() as line:
                while True:
                    line.send(answer(line.recv()))

        threading.Thread(target=serve, daemon=True).start()
        host, port = listener.address
        yield {"PALIMPSEST_BENCH_ADDRESS": f"{host}:{port}", "PALIMPSEST_BENCH_KEY": key}
