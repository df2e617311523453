"""The compose cluster as the drills see it: commands in its containers, and its Prefect API."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


class CheckFailed(Exception):
    """Something about the cluster is not as it must be."""


def stop_on_sigterm() -> None:
    """Let a time limit from outside end in the same clean-up as an error."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def check(holds: object, what: str) -> None:
    """Fail with a sentence unless something holds."""
    if not holds:
        raise CheckFailed(what)


def run(*words: str, env: dict[str, str] | None = None, ok: bool = True) -> str:
    """Run a command and return what it printed."""
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=ROOT, env=os.environ | (env or {}), check=False
    )
    if ok and done.returncode:
        raise CheckFailed(f"{' '.join(words)}: exit {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout if ok else done.stdout + done.stderr


def compose_command() -> list[str]:
    """`docker compose` where there is one, else `docker-compose`."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]


@dataclass
class Cluster:
    """One compose project."""

    folder: Path
    """Of its environment file and secrets."""
    project: str = "palimpsest"
    files: tuple[str, ...] = ("docker/compose.yaml",)
    settings: dict[str, str] = field(default_factory=dict)
    prefect_port: int = 4200
    dashboard_port: int = 8265

    def secret(self, name: str) -> str:
        """A secret's text."""
        return (self.folder / "secrets" / name).read_text(encoding="utf-8").strip()

    def compose(self, *words: str) -> str:
        """A compose command for this project."""
        files = [word for file in self.files for word in ("-f", file)]
        head = [*compose_command(), "-p", self.project]
        environment = {
            "PREFECT_PORT": str(self.prefect_port),
            "DASHBOARD_PORT": str(self.dashboard_port),
        } | self.settings
        env_file = ["--env-file", str(self.folder / "cluster.env")]
        return run(*head, *env_file, *files, *words, env=environment)

    def containers(self, service: str, *, running: bool = True) -> list[str]:
        """Names of a service's containers."""
        labels = [f"com.docker.compose.project={self.project}"]
        labels.append(f"com.docker.compose.service={service}")
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        words = ["docker", "ps", *filters, "--format", "{{.Names}}"]
        return sorted(run(*words, *([] if running else ["--all"])).split())

    def inside(self, service: str, *words: str, ok: bool = True) -> str:
        """What a command prints in a service's first container."""
        return run("docker", "exec", self.containers(service)[0], *words, ok=ok)

    def palimpsest(self, *words: str) -> Any:
        """What a `palimpsest … --json` command says in the Prefect worker."""
        return json.loads(self.inside("prefect-worker", "palimpsest", *words, "--json"))

    def sql(self, question: str) -> list[dict[str, Any]]:
        """Rows of the record, by `palimpsest lineage sql`."""
        said = self.inside("prefect-worker", "palimpsest", "lineage", "sql", question, "--json")
        return [json.loads(line) for line in said.splitlines()]

    def wait_healthy(self, limit_s: int = 420) -> float:
        """Wait until every service is healthy; seconds it took."""
        began = time.monotonic()
        run("docker/wait-healthy", self.project, env={"LIMIT_S": str(limit_s)})
        return time.monotonic() - began

    # ---- Prefect -------------------------------------------------------------------------------

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Ask Prefect's API, as a user with the password; a server that starts is waited for."""
        user, _, password = self.secret("prefect_auth").partition(":")
        url = f"http://127.0.0.1:{self.prefect_port}/api{path}"
        for attempt in range(60):
            try:
                answer = httpx.request(
                    method, url, json=body, auth=(user, password), timeout=30, trust_env=False
                )
                if answer.status_code < 500:
                    answer.raise_for_status()
                    return answer.json() if answer.content else None
            except httpx.TransportError:
                if attempt == 59:
                    raise
            time.sleep(2)
        raise CheckFailed(f"{method} {path}: Prefect's server answers {answer.status_code}")

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment by its name."""
        found = self.api("POST", "/deployments/filter", {"deployments": {"name": {"any_": [name]}}})
        check(found, f"there is no deployment {name}")
        return found[0]

    def submit(self, name: str, **parameters: Any) -> str:
        """Start a run of a deployment; its id."""
        identity = self.deployment(name)["id"]
        made = self.api(
            "POST", f"/deployments/{identity}/create_flow_run", {"parameters": parameters}
        )
        return made["id"]

    def state(self, flow_run: str) -> dict[str, Any]:
        """A run's state."""
        return self.api("GET", f"/flow_runs/{flow_run}")["state"]

    def wait(self, flow_run: str, limit_s: float = 1800) -> dict[str, Any]:
        """Wait until a run has ended; its last state."""
        began = time.monotonic()
        said = ""
        while time.monotonic() - began < limit_s:
            state = self.state(flow_run)
            if state["type"] in ENDED:
                return state
            if state["name"] != said:
                said = state["name"]
                print(f"    {time.monotonic() - began:5.0f}s {said}", flush=True)
            time.sleep(2)
        raise CheckFailed(f"run {flow_run} has not ended after {limit_s:.0f} s: {said}")

    def finish(self, flow_run: str, limit_s: float = 1800) -> dict[str, Any]:
        """Wait until a run has completed, its automatic restarts included."""
        began = time.monotonic()
        while True:
            state = self.wait(flow_run, limit_s - (time.monotonic() - began))
            if state["type"] == "COMPLETED":
                return state
            # A crashed run is started again by the automation, a moment later.
            check(state["type"] == "CRASHED", f"the run ended as {state['name']}: {state}")
            time.sleep(5)


def digests(standing: dict[str, Any]) -> dict[str, list[str]]:
    """Corpus and checkpoint of every arm, seed and generation, by `status --json`."""
    return {
        f"{arm['arm']}:{arm['seed']}:{row['generation']}": [row["corpus"], row["checkpoint"]]
        for arm in standing["arms"]
        for row in arm["generations"]
    }


def counts_add_up(standing: dict[str, Any]) -> bool:
    """Whether every document of every generation had exactly one action."""
    actions = ("keep", "revise", "drop", "tag", "quarantine")
    rows = [row for arm in standing["arms"] for row in arm["generations"]]
    return bool(rows) and all(
        row["documents_in"] == sum(row[action] for action in actions) for row in rows
    )
