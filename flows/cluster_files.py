"""`palimpsest init --cluster`: the environment file and the secrets of a compose cluster."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from workers.storage import whole_file

ENVIRONMENT = "cluster.env"
# Each opens one thing; the roles in docker/roles/ read them.
SECRETS: dict[str, Callable[[], str]] = {
    "palimpsest_database_password": lambda: secrets.token_urlsafe(32),
    "prefect_database_password": lambda: secrets.token_urlsafe(32),
    # User and password of Prefect's API and pages.
    "prefect_auth": lambda: f"palimpsest:{secrets.token_urlsafe(32)}",
    "ray_token": lambda: secrets.token_hex(32),
    # Access key and secret key of an object store, a line each.
    "object_store": lambda: f"{secrets.token_hex(10)}\n{secrets.token_urlsafe(32)}",
}
TEXT = """\
# Settings of the compose cluster; docker/compose.yaml reads them. The secrets are files in
# {secrets}
PALIMPSEST_SECRETS={secrets}
# Your experiments' files. The containers, and so the deployments, see NAME.yaml in it as
# /configs/NAME.yaml.
PALIMPSEST_CONFIGS={configs}

# Ray workers on this machine, and the cores that each gives: an engine takes engine.threads of
# them, training training.threads.
RAY_WORKERS=2
RAY_WORKER_CPUS=1
# Memory limits. An engine needs its weights and engine.memory_gb, training about sixteen bytes a
# parameter.
RAY_WORKER_MEMORY=6g
PREFECT_WORKER_MEMORY=6g
PREFECT_SERVER_MEMORY=2g
RAY_HEAD_MEMORY=3g
DATABASE_MEMORY=1g

# A store that all nodes reach, once there are nodes on other machines: an fsspec URL such as
# s3://bucket/prefix. The keys are the two lines of the secret object_store. The server of this
# compose file (COMPOSE_PROFILES=object-store) is s3://palimpsest/home at http://object-store:8333;
# no endpoint means Amazon's.
PALIMPSEST_STORAGE=
AWS_ENDPOINT_URL=
AWS_REGION=us-east-1
# Told, as JSON with a text, how each run ended. Such an address is a secret: keep this file yours.
PALIMPSEST_WEBHOOK=
"""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written, and what stood already."""

    environment: Path
    made: tuple[str, ...]
    kept: tuple[str, ...]


def write_cluster_files(folder: Path) -> Written:
    """Write what is missing of a cluster's environment file and secrets; nothing is overwritten.

    The folder of the secrets is its owner's alone. The files in it can be read by anyone who gets
    that far, for a container sees them by their own mode and has another user.
    """
    folder = folder.resolve()
    store = folder / "secrets"
    for each in (folder, store, folder / "configs"):
        each.mkdir(parents=True, exist_ok=True)
    store.chmod(0o700)
    (folder / "configs").chmod(0o755)
    made: list[str] = []
    for name, draw in SECRETS.items():
        if not (store / name).exists():
            _write(store / name, draw() + "\n", 0o444)
            made.append(name)
    environment = folder / ENVIRONMENT
    if not environment.exists():
        _write(environment, TEXT.format(secrets=store, configs=folder / "configs"), 0o600)
        made.append(ENVIRONMENT)
    kept = [name for name in (*SECRETS, ENVIRONMENT) if name not in made]
    return Written(environment, tuple(made), tuple(kept))


def _write(path: Path, text: str, mode: int) -> None:
    with whole_file(path) as fresh:
        fresh.touch(mode=0o600)
        fresh.write_text(text, encoding="utf-8")
        fresh.chmod(mode)
