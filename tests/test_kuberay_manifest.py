"""The KubeRay manifest: what KubeRay's schema asks for, and like the compose file, as hardened."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parent.parent
MANIFEST = yaml.safe_load((ROOT / "docker/kuberay/raycluster.yaml").read_text())
# Without the defaults of its variables, which are what the manifest has.
COMPOSE_TEXT = re.sub(
    r"\$\{\w+(?::[-?]([^}]*))?\}", r"\1", (ROOT / "docker/compose.yaml").read_text()
)
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
SETTINGS: dict[str, str] = COMPOSE["x-settings"]
SPEC = MANIFEST["spec"]
GROUPS = {group["groupName"]: group for group in SPEC["workerGroupSpecs"]}
PODS = {"head": SPEC["headGroupSpec"]["template"]["spec"]} | {
    name: group["template"]["spec"] for name, group in GROUPS.items()
}
ROLES = {"head": "ray-head", "prefect-worker": "prefect-worker", "cpu": "ray-worker"} | {
    "gpu": "ray-worker"
}
# What is another value on Kubernetes; docs/cluster.md has a line on each.
OTHER_VALUES = {"PALIMPSEST_STORAGE", "RAY_ADDRESS", "AWS_ENDPOINT_URL"}


def of(required: str, properties: dict[str, Any]) -> dict[str, Any]:
    """Schema of an object that has these fields and no others."""
    return {
        "type": "object",
        "required": required.split(),
        "properties": properties,
        "additionalProperties": False,
    }


# The fields of ray.io/v1 that are used here, by KubeRay's API reference (1.6): an operator drops a
# field that it does not know, so a misspelt one would be lost without a word.
TEXT, COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
START = {"type": "object", "additionalProperties": TEXT}
TEMPLATE = of("spec", {"spec": {"type": "object", "required": ["containers"]}})
HEAD = of("template", {"rayStartParams": START, "template": TEMPLATE})
GROUP = of(
    "groupName template minReplicas maxReplicas",
    {
        "groupName": TEXT,
        "replicas": COUNT,
        "minReplicas": COUNT,
        "maxReplicas": COUNT,
        "rayStartParams": START,
        "template": TEMPLATE,
    },
)
AUTOSCALER = of(
    "version securityContext resources",
    {
        "version": {"enum": ["v1", "v2"]},
        "upscalingMode": {"enum": ["Default", "Aggressive", "Conservative"]},
        "idleTimeoutSeconds": COUNT,
        "imagePullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
        "securityContext": {"type": "object"},
        "resources": {"type": "object"},
        "volumeMounts": {"type": "array"},
    },
)
RAY_CLUSTER = of(
    "apiVersion kind metadata spec",
    {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayCluster"},
        "metadata": of("name", {"name": TEXT, "annotations": START}),
        "spec": of(
            "headGroupSpec workerGroupSpecs rayVersion authOptions",
            {
                "rayVersion": TEXT,
                "authOptions": of("mode", {"mode": {"const": "token"}, "secretName": TEXT}),
                "enableInTreeAutoscaling": {"type": "boolean"},
                "autoscalerOptions": AUTOSCALER,
                "headGroupSpec": HEAD,
                "workerGroupSpecs": {"type": "array", "items": GROUP, "minItems": 1},
            },
        ),
    },
)


def container(pod: dict[str, Any]) -> dict[str, Any]:
    [only] = pod["containers"]
    return only


def environment(pod: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(pod)["env"]}


def test_it_has_the_fields_of_a_ray_cluster_and_no_others() -> None:
    jsonschema.validate(MANIFEST, RAY_CLUSTER)


@pytest.mark.parametrize("name", PODS)
def test_every_pod_is_hardened(name: str) -> None:
    pod = PODS[name]
    user = int(re.findall(r"useradd --uid (\d+)", (ROOT / "docker/Dockerfile").read_text())[0])
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for security in (
        container(pod)["securityContext"],
        SPEC["autoscalerOptions"]["securityContext"],
    ):
        assert security == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        }
    # The head's autoscaler alone has business with Kubernetes.
    assert name == "head" or pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert not any("hostPath" in volume for volume in pod["volumes"])


@pytest.mark.parametrize("name", PODS)
def test_every_pod_is_bounded_and_writes_to_memory_and_its_home_alone(name: str) -> None:
    pod = PODS[name]
    assert container(pod)["resources"]["limits"].keys() >= {"cpu", "memory"}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["name"]: mount for mount in container(pod)["volumeMounts"]}
    assert volumes.keys() == mounts.keys()
    for scratch, path in (("tmp", "/tmp"), ("shm", "/dev/shm")):
        assert mounts[scratch]["mountPath"] == path
        assert volumes[scratch]["emptyDir"]["medium"] == "Memory"
        assert volumes[scratch]["emptyDir"]["sizeLimit"]
    written = {mount["name"] for mount in mounts.values() if not mount.get("readOnly")}
    assert written <= {"tmp", "shm", "home"}


def test_the_cluster_asks_for_a_token_and_the_head_works_on_nothing() -> None:
    assert SPEC["authOptions"] == {"mode": "token", "secretName": "palimpsest"}
    for idle in (SPEC["headGroupSpec"], GROUPS["prefect-worker"]):
        assert idle["rayStartParams"]["num-cpus"] == idle["rayStartParams"]["num-gpus"] == "0"


def test_workers_come_and_go_and_the_prefect_worker_stays() -> None:
    assert SPEC["enableInTreeAutoscaling"] is True
    for name in ("cpu", "gpu"):
        assert GROUPS[name]["minReplicas"] == 0 < GROUPS[name]["maxReplicas"]
    stays = GROUPS["prefect-worker"]
    assert stays["minReplicas"] == stays["maxReplicas"] == stays["replicas"] == 1
    gpus = {n: "nvidia.com/gpu" in container(p)["resources"]["limits"] for n, p in PODS.items()}
    assert gpus == {"head": False, "prefect-worker": False, "cpu": False, "gpu": True}
    assert PODS["gpu"]["tolerations"]


@pytest.mark.parametrize("name", PODS)
def test_images_and_commands_are_those_of_compose(name: str) -> None:
    service = COMPOSE["services"][ROLES[name]]
    assert container(PODS[name])["image"] == service["image"]
    command = container(PODS[name])["command"]
    if name == "prefect-worker":
        assert command == ["with-secrets", *service["command"]]
        assert (ROOT / "docker/roles/prefect-worker").is_file()
    else:
        assert "exec $KUBERAY_GEN_RAY_START_CMD" in container(PODS[name])["args"][0]
        assert name == "head" or command[0] == "with-secrets"
    assert MANIFEST["metadata"]["annotations"]["ray.io/overwrite-container-cmd"] == "true"


def test_ports_are_those_of_compose() -> None:
    ports = {each["containerPort"] for each in container(PODS["head"])["ports"]}
    started = (ROOT / "docker/roles/ray-head").read_text()
    assert ports == {int(each) for each in re.findall(r"port=(\d+)", started)}
    assert (
        environment(PODS["cpu"])["RAY_ADDRESS"].rpartition(":")[2]
        == (SETTINGS["RAY_ADDRESS"].rpartition(":")[2])
    )
    # The operator names the head's service after the cluster.
    assert environment(PODS["cpu"])["RAY_ADDRESS"].startswith(
        f"{MANIFEST['metadata']['name']}-head-svc:"
    )


@pytest.mark.parametrize("name", ["prefect-worker", "cpu", "gpu"])
def test_the_environment_is_that_of_compose(name: str) -> None:
    here = environment(PODS[name])
    assert here.keys() == SETTINGS.keys()
    assert {key for key in SETTINGS if here[key] != (SETTINGS[key] or "")} == OTHER_VALUES
    documented = (ROOT / "docs/cluster.md").read_text()
    assert all(f"`{key}`" in documented for key in OTHER_VALUES)


def test_the_webhooks_address_is_a_secret_of_the_one_pod_that_calls_it() -> None:
    told = {name: container(pod).get("envFrom") for name, pod in PODS.items()}
    secret = {"secretRef": {"name": "palimpsest-webhook", "optional": True}}
    assert {name: each for name, each in told.items() if each} == {"prefect-worker": [secret]}
    assert "PALIMPSEST_WEBHOOK" in COMPOSE["services"]["prefect-worker"]["environment"]
    assert "PALIMPSEST_WEBHOOK" not in SETTINGS


@pytest.mark.parametrize("name", ["prefect-worker", "cpu", "gpu"])
def test_each_pod_reads_the_secrets_that_its_service_reads(name: str) -> None:
    [volume] = [each for each in PODS[name]["volumes"] if each["name"] == "secrets"]
    [mount] = [each for each in container(PODS[name])["volumeMounts"] if each["name"] == "secrets"]
    paths = [item["path"] for item in volume["secret"]["items"]]
    assert sorted(paths) == sorted(COMPOSE["services"][ROLES[name]]["secrets"])
    assert mount == {"name": "secrets", "mountPath": "/run/secrets", "readOnly": True}
    assert volume["secret"]["secretName"] == SPEC["authOptions"]["secretName"]
    assert volume["secret"]["defaultMode"] == 0o440


def test_ray_is_the_one_that_is_pinned() -> None:
    pinned = re.findall(r"^ray==(\S+)", (ROOT / "requirements/cpu.txt").read_text(), re.MULTILINE)
    assert [SPEC["rayVersion"]] == pinned
