"""Who has no token or password is refused, from this host and from another container."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

from compose import Cluster, check, run

# Runs on its own, with nothing but Ray, httpx and psycopg; it is sent to a container's Python as
# text. It prints what got in.
PROBE = r"""
import json, os, subprocess, sys
import httpx, psycopg

head, server, database = sys.argv[1:4]
let_in = []

def ask(what, method, url, **more):
    answer = httpx.request(method, url, timeout=20, trust_env=False, **more)
    if answer.status_code not in (401, 403):
        let_in.append(f"{what}: {answer.status_code}")

job = {"entrypoint": "id"}
for said, headers in (("no token", {}), ("a wrong token", {"Authorization": "Bearer " + "0" * 64})):
    ray = f"http://{head}:8265"
    ask(f"Ray's jobs, {said}", "GET", f"{ray}/api/jobs/", headers=headers)
    ask(f"a job for Ray, {said}", "POST", f"{ray}/api/jobs/", headers=headers, json=job)
    ask(f"Ray's nodes, {said}", "GET", f"{ray}/nodes?view=summary", headers=headers)
    ask(f"Ray's version, {said}", "GET", f"{ray}/api/version", headers=headers)
for said, auth in (("no password", None), ("a wrong password", ("palimpsest", "wrong"))):
    prefect = f"http://{server}:4200/api"
    ask(f"Prefect's flows, {said}", "POST", f"{prefect}/flows/filter", auth=auth, json={})
    ask(f"Prefect's runs, {said}", "POST", f"{prefect}/flow_runs/filter", auth=auth, json={})
    ask(f"a Prefect variable, {said}", "POST", f"{prefect}/variables/", auth=auth,
        json={"name": "x", "value": "1"})

JOIN = (
    "import ray, sys; ray.init(sys.argv[1], logging_level=50, log_to_driver=False); "
    "print('IN', ray.get(ray.remote(lambda: 1).remote(), timeout=20))"
)
tokens = {"no token": {"RAY_AUTH_MODE": "disabled"},
          "a wrong token": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}}
for said, auth in tokens.items():
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    for address in (f"ray://{head}:10001", f"{head}:6379"):
        try:
            done = subprocess.run([sys.executable, "-c", JOIN, address], env=clean | auth,
                                  capture_output=True, text=True, timeout=45)
            if "IN" in done.stdout:
                let_in.append(f"Ray at {address}, {said}")
        except subprocess.TimeoutExpired:
            pass
for said, password in (("no password", None), ("a wrong password", "wrong")):
    for user in ("palimpsest", "prefect", "postgres"):
        try:
            psycopg.connect(host=database, user=user, password=password, dbname="postgres"
                            if user == "postgres" else user, connect_timeout=10).close()
            let_in.append(f"PostgreSQL as {user}, {said}")
        except psycopg.OperationalError:
            pass
print(json.dumps(let_in))
"""


def check_refusals(cluster: Cluster) -> int:
    """Try every door without the key; how many tries there were."""
    addresses = [_address(cluster, name) for name in ("ray-head", "prefect-server", "database")]
    names = ["ray-head", "prefect-server", "database"]
    image = "palimpsest-engine:latest"
    network = f"{cluster.project}_cluster"
    words = ["docker", "run", "--rm", "--network", network, "--entrypoint", "python", image]
    for where, found in (
        ("from this host", run(sys.executable, "-c", PROBE, *addresses)),
        ("from another container", run(*words, "-c", PROBE, *names)),
    ):
        let_in = json.loads(found.strip().splitlines()[-1])
        check(not let_in, f"let in {where}: {'; '.join(let_in)}")
    # Eight of Ray's dashboard, six of Prefect's API, four of Ray's nodes, six of PostgreSQL.
    return 2 * (8 + 6 + 4 + 6)


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
    own = socket.gethostbyname(socket.gethostname())
    for port in (cluster.prefect_port, cluster.dashboard_port, 5432, 6379, 10001):
        if own.startswith("127."):
            break
        with socket.socket() as door:
            door.settimeout(3)
            check(door.connect_ex((own, port)) != 0, f"port {port} answers on {own}")
    return published


def check_images(cluster: Cluster) -> int:
    """No image holds a compiler or a secret; how many were searched."""
    images = [f"palimpsest-{name}:latest" for name in ("orchestrator", "engine", "database")]
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
    """Whether any layer, or the image's own description, has one of the texts."""
    wanted = [secret.encode() for secret in secrets]
    longest = max(map(len, wanted))
    with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
        assert saved.stdout is not None
        before = b""
        while block := saved.stdout.read(1 << 22):
            block = before + block
            if any(each in block for each in wanted):
                saved.kill()
                return True
            before = block[-longest:]
    check(saved.returncode == 0, f"{image}: docker save failed")
    return False
