"""`make cluster-faults`: what breaks while an experiment runs, and what it comes to.

A cluster of its own is started, with a small home folder. Each fault hits one run, and then all of
them hit a longer one; each time the experiment must end in the digests that it has on this machine.
One line of figures at the end; exit 1 with a sentence at the first thing that does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from compose import (
    ROOT,
    CheckFailed,
    Cluster,
    check,
    counts_add_up,
    digests,
    run,
    stop_on_sigterm,
)

BIN = Path(sys.executable).parent
CONFIG = "microworld-tiny"
# Placement, no part of identity: both Ray workers have an engine.
BOTH = "engine.actors=2"
FILLER = "/var/lib/palimpsest/filler"
ALL_GENERATIONS = 4


def kill_ray_worker(cluster: Cluster) -> None:
    """A machine with an engine at work is lost, and comes back."""
    _killed(cluster, "ray-worker")


def restart_database(cluster: Cluster) -> None:
    """PostgreSQL goes away and comes back."""
    run("docker", "restart", cluster.containers("database")[0])


def restart_prefect_server(cluster: Cluster) -> None:
    """Prefect's API goes away and comes back."""
    run("docker", "restart", cluster.containers("prefect-server")[0])


def kill_prefect_worker(cluster: Cluster) -> None:
    """The process of the run is lost."""
    _killed(cluster, "prefect-worker")


def fill_volume(cluster: Cluster) -> None:
    """No space is left where corpora and checkpoints are written."""
    cluster.inside("ray-worker", "sh", "-c", f"cat /dev/zero > {FILLER} || true", ok=False)


def _killed(cluster: Cluster, service: str) -> None:
    name = cluster.containers(service)[0]
    run("docker", "kill", name)
    time.sleep(5)
    run("docker", "start", name)


# Each with the stage in which it hits.
FAULTS: dict[str, tuple[Callable[[Cluster], None], str]] = {
    "ray-worker": (kill_ray_worker, "rate"),
    "database": (restart_database, "train"),
    "prefect-server": (restart_prefect_server, "train"),
    "prefect-worker": (kill_prefect_worker, "train"),
    "volume": (fill_volume, "rate"),
}


def main() -> None:
    """Do the drills that were asked for, in order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faults", nargs="*", help=f"of {', '.join(FAULTS)}, all; every one without")
    parser.add_argument("--cluster", type=Path, default=ROOT / "docker/cluster")
    parser.add_argument("--keep", action="store_true", help="Leave the cluster running.")
    chosen = parser.parse_args()
    stop_on_sigterm()
    cluster = Cluster(
        chosen.cluster.resolve(),
        project="palimpsest-faults",
        files=("docker/compose.yaml", "tests/cluster/small-home.yaml"),
        prefect_port=4201,
        dashboard_port=8266,
    )
    figures: list[str] = []
    try:
        cluster.compose("up", "-d")
        figures.append(f"healthy in {cluster.wait_healthy():.0f} s")
        for seed, name in enumerate(chosen.faults or [*FAULTS, "all"], start=101):
            print(f"{name}:", flush=True)
            figures.append(drill(cluster, name, seed))
    except CheckFailed as failed:
        print(f"FAILED: {failed}", file=sys.stderr)
        print("; ".join([*figures, "FAILED"]))
        sys.exit(1)
    finally:
        if not chosen.keep:
            cluster.compose("down", "--volumes")
    print("cluster-faults: " + "; ".join(figures))


def drill(cluster: Cluster, name: str, seed: int) -> str:
    """One run that is hit by one fault or by all of them; what it came to."""
    generations = ALL_GENERATIONS if name == "all" else 2
    overrides = [f"name=fault-{name}", f"seeds=[{seed}]", f"generations={generations}"]
    ours = _digests_here(f"fault-{name}", overrides)
    began = time.monotonic()
    parameters = {"config": f"{CONFIG}.yaml", "overrides": [*overrides, BOTH]}
    flow_run = cluster.submit("bootstrap", **parameters)
    for each in FAULTS if name == "all" else [name]:
        fault, stage = FAULTS[each]
        _wait_for_stage(cluster, f"fault-{name}", stage)
        print(f"    {each}", flush=True)
        fault(cluster)
    if name in ("volume", "all"):
        flow_run = _make_room(cluster, flow_run, parameters)
    cluster.finish(flow_run, 900)
    there = cluster.palimpsest("status", f"fault-{name}")[0]
    check(digests(there) == ours, f"{name}: other digests than on this machine")
    check(counts_add_up(there), f"{name}: the actions of a generation do not add up")
    cluster.wait_healthy()
    return f"{name} same digests after {time.monotonic() - began:.0f} s"


def _digests_here(name: str, overrides: list[str]) -> dict[str, list[str]]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PALIMPSEST", "PREFECT"))}
    words = [word for each in overrides for word in ("--set", each)]
    with tempfile.TemporaryDirectory(prefix="palimpsest-drill-") as home:
        words += ["--set", f"placement.home={home}", "--json"]
        command = [str(BIN / "palimpsest"), "run", f"configs/{CONFIG}.yaml", *words]
        return digests(json.loads(run(*command, env=clean)))


def _wait_for_stage(cluster: Cluster, experiment: str, stage: str) -> None:
    """Wait until a stage of this kind is at work."""
    asked = (
        "SELECT st.stage FROM stages st JOIN runs r ON r.id = st.run_id JOIN experiments e "
        f"ON e.id = r.experiment_id WHERE e.name = '{experiment}' AND st.status = 'running' "
        f"AND st.stage = '{stage}'"
    )
    for _ in range(150):
        if cluster.sql(asked):
            return
        time.sleep(1)
    raise CheckFailed(f"{experiment}: no {stage} stage was seen at work")


def _make_room(cluster: Cluster, flow_run: str, parameters: dict[str, object]) -> str:
    """The run must end with the reason; with room again, the same run is started again."""
    state = cluster.wait(flow_run, 600)
    full = "no space is left on the disk" in state["message"]
    check(full, f"a full volume ended the run as {state['name']}: {state['message']}")
    cluster.inside("ray-worker", "rm", FILLER)
    return cluster.submit("bootstrap", **parameters)


if __name__ == "__main__":
    main()
