"""Who has no token or password is refused, from this host and from another container."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import IO

from compose import Cluster, check, run

# Runs on its own, with nothing but Ray, httpx and psycopg; it is sent to a container's Python as
# text, with the keys on its standard input: what each try came to is printed.
IMAGES = ("orchestrator", "engine", "database", "object-store")
PROBE = r"""
import json, os, subprocess, sys
import httpx, psycopg

head, server, database, keys = *sys.argv[1:4], json.load(sys.stdin)
token, (user, password), roles = keys["ray"], keys["prefect"], keys["database"]
came_in = {}

def ask(what, method, url, **more):
    status = httpx.request(method, url, timeout=20, trust_env=False, **more).status_code
    came_in[what] = status not in (401, 403)

headers = {"Authorization": f"Bearer {token}"} if token else {}
ray = f"http://{head}:8265"
ask("Ray's jobs", "GET", f"{ray}/api/jobs/", headers=headers)
ask("a job for Ray", "POST", f"{ray}/api/jobs/", headers=headers, json={"entrypoint": "true"})
ask("Ray's nodes", "GET", f"{ray}/nodes?view=summary", headers=headers)
ask("Ray's version", "GET", f"{ray}/api/version", headers=headers)
auth = (user, password) if password else None
prefect = f"http://{server}:4200/api"
ask("Prefect's flows", "POST", f"{prefect}/flows/filter", auth=auth, json={})
ask("Prefect's runs", "POST", f"{prefect}/flow_runs/filter", auth=auth, json={})
ask("Prefect's variables", "POST", f"{prefect}/variables/filter", auth=auth, json={})
if keys["client"]:
    join = (
        "import ray, sys; ray.init(sys.argv[1], logging_level=50, log_to_driver=False); "
        "print('IN', len(ray.nodes()))"
    )
    given = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token else {}
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    try:
        done = subprocess.run(
            [sys.executable, "-c", join, f"ray://{head}:10001"],
            env=clean | (given or {"RAY_AUTH_MODE": "disabled"}),
            capture_output=True, text=True, timeout=60,
        )
        came_in["Ray's client"] = "IN" in done.stdout
    except subprocess.TimeoutExpired:
        came_in["Ray's client"] = False
for role, secret in roles.items():
    try:
        psycopg.connect(
            host=database, user=role, password=secret, dbname=role, connect_timeout=10
        ).close()
        came_in[f"PostgreSQL as {role}"] = True
    except psycopg.OperationalError as error:
        # Anything else, such as a refused connection, would say nothing about the password.
        assert "password" in str(error) or "pg_hba" in str(error), error
        came_in[f"PostgreSQL as {role}"] = False
print(json.dumps(came_in))
"""


def check_refusals(cluster: Cluster) -> int:
    """Try every door without a key, with a wrong one and with the right one; tries refused."""
    user, _, password = cluster.secret("prefect_auth").partition(":")
    roles = ("palimpsest", "prefect")
    right = {
        "ray": cluster.secret("ray_token"),
        "prefect": (user, password),
        "database": {role: cluster.secret(f"{role}_database_password") for role in roles},
    }
    wrong = {
        "ray": "0" * 64,
        "prefect": (user, "wrong"),
        "database": {**dict.fromkeys(roles, "wrong"), "postgres": "wrong"},
    }
    none = {
        "ray": "",
        "prefect": ("", ""),
        "database": {**dict.fromkeys(roles), "postgres": None},
    }
    refused = 0
    for where in ("this host", "another container"):
        opened = _tries(cluster, where, right)
        shut = [door for door, came_in in opened.items() if not came_in]
        check(not shut, f"from {where} the right key does not open: {shut}")
        for said, keys in (("no key", none), ("a wrong key", wrong)):
            tried = _tries(cluster, where, keys)
            let_in = [door for door, came_in in tried.items() if came_in]
            check(not let_in, f"from {where} {said} opens: {let_in}")
            refused += len(tried)
    return refused


def _tries(cluster: Cluster, where: str, keys: dict[str, object]) -> dict[str, bool]:
    names = ["ray-head", "prefect-server", "database"]
    # Ray's client wants the very Python of its server: only the image has it.
    inside = where == "another container"
    if inside:
        network = f"{cluster.project}_cluster"
        words = ["docker", "run", "--rm", "--interactive", "--network", network]
        words += ["--entrypoint", "python", "palimpsest-engine:latest"]
    else:
        words = [sys.executable]
        names = [_address(cluster, name) for name in names]
    done = subprocess.run(
        [*words, "-c", PROBE, *names],
        input=json.dumps({**keys, "client": inside}),
        capture_output=True,
        text=True,
        check=False,
    )
    check(done.returncode == 0, f"the tries from {where} failed: {done.stderr[-1500:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _address(cluster: Cluster, service: str) -> str:
    network = f"{cluster.project}_cluster"
    form = '{{(index .NetworkSettings.Networks "' + network + '").IPAddress}}'
    return run("docker", "inspect", "--format", form, cluster.containers(service)[0]).strip()


def check_listening(cluster: Cluster) -> list[str]:
    """Every published port is this host's loopback's, and nothing else answers; the ports."""
    services = ("database", "prefect-server", "ray-head", "ray-worker", "prefect-worker")
    names = [name for service in services for name in cluster.containers(service)]
    published = [line for name in names for line in run("docker", "port", name).splitlines()]
    outside = [line for line in published if "-> 127.0.0.1:" not in line]
    check(not outside, f"published outside 127.0.0.1: {outside}")
    for own in run("hostname", "-I").split():
        for port in (cluster.prefect_port, cluster.dashboard_port, 5432, 6379, 10001):
            if ":" not in own:
                with socket.socket() as door:
                    door.settimeout(3)
                    check(door.connect_ex((own, port)) != 0, f"port {port} answers on {own}")
    return published


def check_images(cluster: Cluster) -> int:
    """No image holds a compiler or a secret; how many were searched."""
    images = [f"palimpsest-{name}:latest" for name in IMAGES]
    compilers = "command -v cc gcc g++ c++ clang clang++ tcc ld as rustc go || true"
    secrets = [
        line
        for name in ("palimpsest_database_password", "prefect_database_password", "prefect_auth")
        for line in cluster.secret(name).splitlines()
    ]
    secrets += [cluster.secret("ray_token"), *cluster.secret("object_store").splitlines()]
    for image in images:
        words = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "sh", image]
        found = run(*words, "-c", compilers).split()
        check(not found, f"{image} holds {found}")
        check(not _holds(image, secrets), f"{image} holds a secret")
    return len(images)


def _holds(image: str, secrets: list[str]) -> bool:
    """Whether a file of an image, or its history, has one of the texts."""
    wanted = [secret.encode() for secret in secrets]
    history = run("docker", "history", "--no-trunc", image) + run("docker", "inspect", image)
    if any(secret in history for secret in secrets):
        return True
    container = run("docker", "create", image).strip()
    try:
        with subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as files:
            assert files.stdout is not None
            found = _found(files.stdout, wanted)
        check(files.returncode == 0 or found, f"{image}: docker export failed")
        return found
    finally:
        run("docker", "rm", container)


def _found(stream: IO[bytes], wanted: list[bytes]) -> bool:
    longest = max(map(len, wanted))
    before, found = b"", False
    while block := stream.read(1 << 22):
        block = before + block
        # Read to the end in any case: who writes would fail at a closed pipe.
        found = found or any(each in block for each in wanted)
        before = block[-longest:]
    return found
