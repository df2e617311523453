"""Deployments and automations on a real Prefect server, with its password on."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from loop_tools import PROGRAM, ROOT, environment, kill_tree, run, status

AUTH = "palimpsest:a-secret-of-the-tests"
NAMES = {"nightly-generation", "bootstrap", "evaluate", "lineage-verify", "gc"}
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


@dataclass
class Server:
    """A Prefect server, as its users see it."""

    url: str
    folder: Path

    def settings(self, **more: str) -> dict[str, str]:
        return {
            "PREFECT_API_URL": self.url,
            "PREFECT_API_AUTH_STRING": AUTH,
            "PREFECT_HOME": str(self.folder / "client"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            **more,
        }

    def api(self, method: str, path: str, body: Any = None) -> Any:
        user, _, password = AUTH.partition(":")
        answer = httpx.request(
            method, self.url + path, json=body, auth=(user, password), timeout=60, trust_env=False
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def deployment(self, name: str) -> dict[str, Any]:
        asked = {"deployments": {"name": {"any_": [name]}}}
        return self.api("POST", "/deployments/filter", asked)[0]

    def submit(self, name: str, **parameters: Any) -> str:
        identity = self.deployment(name)["id"]
        path = f"/deployments/{identity}/create_flow_run"
        return self.api("POST", path, {"parameters": parameters})["id"]

    def wait(self, flow_run: str, limit_s: float = 240) -> dict[str, Any]:
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            state = self.api("GET", f"/flow_runs/{flow_run}")["state"]
            if state["type"] in ENDED:
                return state
            time.sleep(1)
        pytest.fail(f"the run has not ended: {state}")


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("prefect")
    port = free_port()
    found = Server(f"http://127.0.0.1:{port}/api", folder)
    settings = found.settings(
        PREFECT_HOME=str(folder / "server"), PREFECT_SERVER_API_AUTH_STRING=AUTH
    )
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
            env=environment(**settings),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        for _ in range(120):
            try:
                httpx.get(f"{found.url}/health", timeout=5, trust_env=False).raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(1)
        yield found
    finally:
        kill_tree(process)


@pytest.fixture(scope="module")
def told() -> Iterator[tuple[str, list[Any]]]:
    """A webhook, and what it was told."""
    heard: list[Any] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    hook = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{hook.server_port}/hook", heard
    hook.shutdown()
    hook.server_close()


@pytest.fixture(scope="module")
def deployed(server, told, tmp_path_factory) -> Server:
    folder = tmp_path_factory.mktemp("deploy")
    words = ("deploy", str(ROOT / "prefect.yaml"), "--webhook", told[0])
    for _ in range(2):  # The second time nothing is made twice.
        code, out, err = run(folder, *words, **server.settings())
        assert code == 0, err
        assert all(f"deployment {name}" in out for name in NAMES)
    return server


def test_every_deployment_is_there_once_with_its_schedule(deployed):
    found = deployed.api("POST", "/deployments/filter", {})
    assert sorted(each["name"] for each in found) == sorted(NAMES)
    crons = {each["name"]: [s["schedule"]["cron"] for s in each["schedules"]] for each in found}
    assert crons["nightly-generation"] == ["0 2 * * *"]
    assert crons["lineage-verify"] == ["0 12 * * 6"]
    assert all(each["tags"] == ["palimpsest"] for each in found)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_form_explains_each_field(deployed, name):
    fields = deployed.deployment(name)["parameter_openapi_schema"]["properties"]
    assert fields
    assert all(about.get("description") for about in fields.values())


def test_bad_parameters_are_refused_by_the_form(deployed):
    with pytest.raises(httpx.HTTPStatusError) as refused:
        deployed.submit("bootstrap", hours=-1)
    assert "hours" in refused.value.response.text


def test_lost_and_crashed_runs_start_again_by_automation(deployed):
    found = deployed.api("POST", "/automations/filter", {})
    again = [each for each in found if "again" in each["name"]]
    assert len(found) == 4 and len(again) == 3
    for each in again:
        [action] = each["actions"]
        assert (action["type"], action["state"]) == ("change-flow-run-state", "SCHEDULED")


def test_a_crashed_run_is_scheduled_again(deployed):
    flow_run = deployed.submit("gc")
    crashed = {"state": {"type": "CRASHED", "name": "Crashed"}, "force": True}
    deployed.api("POST", f"/flow_runs/{flow_run}/set_state", crashed)
    for _ in range(60):
        state = deployed.api("GET", f"/flow_runs/{flow_run}")["state"]
        if state["name"] == "AwaitingRetry":
            break
        time.sleep(0.5)
    assert state["name"] == "AwaitingRetry", state


def test_the_webhook_is_told_how_a_run_ended(deployed, told):
    flow_run = deployed.submit("gc")
    failed = {"type": "FAILED", "name": "Failed", "message": "the disk was full"}
    deployed.api("POST", f"/flow_runs/{flow_run}/set_state", {"state": failed, "force": True})
    for _ in range(60):
        if any("the disk was full" in each["text"] for each in told[1]):
            break
        time.sleep(0.5)
    [text] = [each["text"] for each in told[1] if "the disk was full" in each["text"]]
    assert "gc" in text and "Failed" in text


def test_a_wrong_password_is_said_to_be_one(server, tmp_path):
    settings = server.settings(PREFECT_API_AUTH_STRING="palimpsest:wrong")
    code, _, err = run(tmp_path, "deploy", str(ROOT / "prefect.yaml"), **settings)
    assert code == 2 and "PREFECT_API_AUTH_STRING" in err and "Traceback" not in err


def test_a_server_that_is_away_is_said_to_be(server, tmp_path):
    settings = server.settings(PREFECT_API_URL=f"http://127.0.0.1:{free_port()}/api")
    code, _, err = run(tmp_path, "deploy", str(ROOT / "prefect.yaml"), **settings)
    assert code == 1 and "no Prefect server answers" in err and "Traceback" not in err


def test_deploying_to_nowhere_names_the_setting(tmp_path):
    settings = {"PREFECT_API_URL": "", "PREFECT_HOME": str(tmp_path / "prefect")}
    code, _, err = run(tmp_path, "deploy", str(ROOT / "prefect.yaml"), **settings)
    assert code == 2 and "PREFECT_API_URL is not set" in err


@pytest.fixture
def worker(deployed, tmp_path) -> Iterator[Path]:
    """A worker of the deployments; its home is the returned folder's."""
    settings = deployed.settings(PALIMPSEST_HOME=str(tmp_path / ".palimpsest"))
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [str(PROGRAM.with_name("prefect")), "worker", "start", "--pool", "palimpsest"],
            env=environment(**settings),
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    yield tmp_path
    kill_tree(process)


@pytest.mark.slow
def test_nights_advance_an_experiment_generation_by_generation(deployed, worker):
    first = deployed.submit("nightly-generation", experiments=["microworld-tiny.yaml"])
    assert deployed.wait(first)["message"] == "microworld-tiny is at generation 1"
    assert status(worker)["status"] == "pending"
    second = deployed.submit("nightly-generation")
    assert deployed.wait(second)["message"] == "microworld-tiny is at generation 2"
    assert status(worker)["status"] == "finished"
    third = deployed.submit("nightly-generation")
    assert "nothing to do" in deployed.wait(third)["message"]
    unknown = deployed.wait(deployed.submit("nightly-generation", experiments=["no-such"]))
    assert unknown["type"] == "FAILED" and "not on record" in unknown["message"]
    for name in ("lineage-verify", "gc"):
        assert deployed.wait(deployed.submit(name))["type"] == "COMPLETED"
