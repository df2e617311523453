"""The compose files: every hardening, read from the files themselves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

DOCKER = Path(__file__).parents[2] / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
GPU = yaml.safe_load((DOCKER / "compose.gpu.yaml").read_text())
SERVICES = COMPOSE["services"]
EVERY = pytest.mark.parametrize("name", sorted(SERVICES))
ASKS_RAY = ("ray-head", "ray-worker", "prefect-worker", "prefect-server")


def test_the_cluster_has_every_part():
    parts = {"database", "prefect-server", "prefect-worker", "ray-head", "ray-worker"}
    assert set(SERVICES) == parts | {"object-store"}
    assert SERVICES["object-store"]["profiles"] == ["object-store"]


@EVERY
def test_a_service_has_no_rights_that_it_does_not_need(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"] and "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service and "user" not in service
    assert any(mount.startswith("/tmp") for mount in service["tmpfs"])


@EVERY
def test_a_service_is_bounded_watched_and_started_again(name):
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["mem_limit"] and service["pids_limit"]
    assert service["healthcheck"]["test"] and service["healthcheck"]["interval"]
    assert service["logging"]["options"]["max-size"]
    for needed in service.get("depends_on", {}).values():
        assert needed == {"condition": "service_healthy"}


@pytest.mark.parametrize("name", ["database", "ray-head", "ray-worker", "prefect-worker"])
def test_shared_memory_has_a_size(name):
    assert SERVICES[name]["shm_size"]


@EVERY
def test_ports_are_this_hosts_own(name):
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{\w+:-\d+\}:\d+", port)


def test_only_prefect_and_rays_dashboard_are_published():
    published = {name for name, service in SERVICES.items() if service.get("ports")}
    assert published == {"prefect-server", "ray-head"}


@pytest.mark.parametrize("name", ASKS_RAY)
def test_ray_asks_for_the_token_and_nothing_phones_home(name):
    settings = SERVICES[name]["environment"]
    assert settings["RAY_AUTH_MODE"] == "token"
    assert settings["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_token"
    assert "ray_token" in SERVICES[name]["secrets"]
    assert settings["RAY_USAGE_STATS_ENABLED"] == "0"
    assert settings["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert settings["DO_NOT_TRACK"] == "1" and settings["VLLM_NO_USAGE_STATS"] == "1"


def test_prefect_asks_for_the_password():
    assert "prefect_auth" in SERVICES["prefect-server"]["secrets"]
    role = (DOCKER / "roles" / "prefect-server").read_text()
    assert "PREFECT_SERVER_API_AUTH_STRING=$(cat /run/secrets/prefect_auth)" in role


def test_secrets_are_files_and_nothing_has_a_default_password():
    for secret in COMPOSE["secrets"].values():
        assert secret["file"].startswith("${PALIMPSEST_SECRETS")
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            named = re.search(r"PASSWORD|TOKEN|SECRET|AUTH_STRING", name)
            assert not named or name.endswith(("_FILE", "_PATH")), f"{name}: {value}"
            assert not re.search(r"://[^/\s]*:[^/\s]*@", str(value)), f"{name} holds a password"


def test_data_are_in_named_volumes():
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source, *_, last = mount.rsplit(":", 2)
            assert source in COMPOSE["volumes"] or last == "ro"


def test_images_run_as_users_of_their_own():
    stages = re.split(r"(?m)^FROM ", (DOCKER / "Dockerfile").read_text())
    final = {stage.split(" AS ")[1].split()[0]: stage for stage in stages if " AS " in stage}
    for image in ("orchestrator", "engine", "database", "object-store"):
        users = re.findall(r"(?m)^USER (\w+)", final[image])
        assert users and users[-1] != "root"
    assert "FROM ${BASE_IMAGE} AS python" in (DOCKER / "Dockerfile").read_text()


def test_a_gpu_machine_reserves_its_gpus():
    worker = GPU["services"]["ray-worker"]
    [device] = worker["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}


@pytest.mark.parametrize("file", ["compose.yaml", "compose.gpu.yaml"])
def test_the_files_are_what_compose_v2_reads(file):
    words = ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(DOCKER / file)]
    program = Path(sys.executable).with_name(words[0])
    done = subprocess.run([program, *words[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not shutil.which("docker-compose"), reason="docker-compose is not installed")
@pytest.mark.parametrize("more", [[], ["-f", "docker/compose.gpu.yaml"]])
def test_compose_accepts_the_files_and_names_what_is_missing(tmp_path, more):
    words = ["docker-compose", "-f", "docker/compose.yaml", *more, "config", "--quiet"]
    there = {"PALIMPSEST_SECRETS": str(tmp_path), "PALIMPSEST_CONFIGS": str(tmp_path)}
    settings = os.environ | there | {"RAY_WORKER_GPUS": "2"}
    told = {"capture_output": True, "text": True, "cwd": DOCKER.parent, "check": False}
    assert subprocess.run(words, env=settings, **told).returncode == 0
    del settings["PALIMPSEST_SECRETS"], settings["PALIMPSEST_CONFIGS"]
    refused = subprocess.run(words, env=settings, **told)
    assert refused.returncode and "palimpsest init --cluster" in refused.stderr
