"""`make cluster-demo`: the demo as a deployment's run on the cluster, checked against this machine.

One line of figures at the end; exit 1 with a sentence at the first thing that does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

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
from refusals import check_images, check_listening, check_refusals

BIN = Path(sys.executable).parent
SPEED_ROUNDS = 2
SPEED_DOCUMENTS = 12_000
EVERY_MINUTE = "* * * * *"


def main() -> None:
    """Do the parts that were asked for, in order."""
    parts = {
        "loop": loop,
        "schedule": schedule,
        "manners": manners,
        "refusals": refusals,
        "speed": speed,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(parts)}; all without")
    parser.add_argument("--cluster", type=Path, default=ROOT / "docker/cluster")
    parser.add_argument("--config", default="microworld")
    parser.add_argument("--project", default="palimpsest", help="Name of the compose project.")
    chosen = parser.parse_args()
    stop_on_sigterm()
    cluster = Cluster(chosen.cluster.resolve(), project=chosen.project)
    figures: list[str] = []
    try:
        figures.append(f"healthy in {cluster.wait_healthy():.0f} s")
        for name in chosen.parts or parts:
            print(f"{name}:", flush=True)
            figures += parts[name](cluster, chosen.config)
    except CheckFailed as failed:
        print(f"FAILED: {failed}", file=sys.stderr)
        print("; ".join([*figures, "FAILED"]))
        sys.exit(1)
    print("cluster-demo: " + "; ".join(figures))


def loop(cluster: Cluster, config: str) -> list[str]:
    """The experiment here and there: equal digests, two containers at work, counts add up."""
    here = _standing_here(config)
    began = time.monotonic()
    state = cluster.finish(cluster.submit("bootstrap", config=f"{config}.yaml"))
    took = time.monotonic() - began
    there = cluster.palimpsest("status", config)[0]
    check(there["status"] == "finished", f"{config} is {there['status']}")
    ours, theirs = digests(here), digests(there)
    differing = [name for name in ours if ours[name] != theirs.get(name)]
    check(not differing and len(ours) == len(theirs), f"digests differ: {differing}")
    check(counts_add_up(there), "the actions of a generation do not add up")
    nodes = _nodes(cluster, config)
    check(len(nodes) >= 2, f"engines worked in {len(nodes)} containers: {nodes}")
    shown = _artifacts(cluster, config, there)
    return [
        f"{config} in {took:.0f} s ({state['message']})",
        f"{len(ours)} corpora and {len(ours)} checkpoints as on this machine",
        f"shards by container {sorted(nodes.values())}",
        f"{shown} artifacts",
    ]


def _standing_here(config: str) -> dict[str, Any]:
    """The same experiment on this machine, run first where it has not been run."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PALIMPSEST", "PREFECT"))}
    print("  the same run on this machine", flush=True)
    run(str(BIN / "palimpsest"), "run", f"configs/{config}.yaml", "--json", env=clean)
    return json.loads(run(str(BIN / "palimpsest"), "status", config, "--json", env=clean))[0]


def _nodes(cluster: Cluster, experiment: str) -> dict[str, int]:
    """An experiment's finished shards by the container that worked on them."""
    rows = cluster.sql(
        "SELECT l.meta FROM shard_ledger l JOIN stages s ON s.id = l.stage_id JOIN runs r "
        "ON r.id = s.run_id JOIN experiments e ON e.id = r.experiment_id "
        f"WHERE e.name = '{experiment}'"
    )
    found: dict[str, int] = {}
    for row in rows:
        meta = row["meta"] if isinstance(row["meta"], dict) else json.loads(row["meta"])
        for node in meta["nodes"]:
            host = node.partition("/")[0]
            found[host] = found.get(host, 0) + 1
    return found


def _artifacts(cluster: Cluster, config: str, standing: dict[str, Any]) -> int:
    """Each generation left a table, a summary, a link and its progress."""
    generations = max(len(arm["generations"]) for arm in standing["arms"]) - 1
    total = 0
    for what in ("metrics", "summary", "report", "progress"):
        asked = {"artifacts": {"key": {"any_": [f"{config}-{what}"]}}}
        found = cluster.api("POST", "/artifacts/filter", asked)
        check(
            len(found) >= generations, f"{len(found)} {what} artifacts, {generations} generations"
        )
        total += len(found)
    return total


def schedule(cluster: Cluster, config: str) -> list[str]:
    """A cron schedule fires a real run; the forms show each field with its help."""
    fields = _form_fields(cluster)
    identity = cluster.deployment("nightly-generation")["id"]
    parameters = {"experiments": ["microworld-tiny.yaml"], "beyond": True}
    _forget_schedules(cluster, identity)
    made = cluster.api(
        "POST",
        f"/deployments/{identity}/schedules",
        [{"schedule": {"cron": EVERY_MINUTE}, "active": True, "parameters": parameters}],
    )[0]
    try:
        fired = _scheduled_run(cluster, identity, made["created"])
    finally:
        cluster.api("DELETE", f"/deployments/{identity}/schedules/{made['id']}")
    state = cluster.finish(fired, 900)
    tiny = cluster.palimpsest("status", "microworld-tiny")[0]
    check(counts_add_up(tiny), "the actions of a generation do not add up")
    return [f"cron fired a run ({state['message']})", f"{fields} form fields with help"]


def _forget_schedules(cluster: Cluster, deployment: str) -> None:
    """Remove what a demo that was cut off has left."""
    for each in cluster.api("GET", f"/deployments/{deployment}/schedules"):
        if each["schedule"].get("cron") == EVERY_MINUTE:
            cluster.api("DELETE", f"/deployments/{deployment}/schedules/{each['id']}")


def _form_fields(cluster: Cluster) -> int:
    total = 0
    for name in ("nightly-generation", "bootstrap", "evaluate", "lineage-verify", "gc"):
        fields = cluster.deployment(name)["parameter_openapi_schema"]["properties"]
        bare = [field for field, about in fields.items() if not about.get("description")]
        check(not bare, f"deployment {name}: no help for {bare}")
        total += len(fields)
    return total


def _scheduled_run(cluster: Cluster, deployment: str, since: str) -> str:
    """The run that a schedule made at `since` starts, once it is under way."""
    asked = {
        "flow_runs": {"state": {"type": {"any_": ["RUNNING", "COMPLETED", "FAILED"]}}},
        "deployments": {"id": {"any_": [deployment]}},
        "sort": "START_TIME_DESC",
    }
    for _ in range(120):
        found = cluster.api("POST", "/flow_runs/filter", asked)
        # Times are ISO 8601 in UTC, so that they sort as texts.
        fired = [run for run in found if run["auto_scheduled"] and run["created"] >= since]
        if fired:
            return fired[0]["id"]
        time.sleep(2)
    raise CheckFailed("the cron schedule fired no run in four minutes")


def manners(cluster: Cluster, config: str) -> list[str]:
    """A cancelled run can be gone on with, and one that overlaps another changes nothing."""
    name = f"manners-{int(time.time())}"
    overrides = [f"name={name}", "seeds=[7]", "generations=2"]
    asked = {"config": f"{config}.yaml", "overrides": overrides}
    first = cluster.submit("bootstrap", **asked)
    _wait_for_work(cluster, name)
    second = cluster.wait(cluster.submit("bootstrap", **asked), 300)
    check(second["name"] == "Overlapping", f"the second run ended as {second}")
    cancelling = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    cluster.api("POST", f"/flow_runs/{first}/set_state", cancelling)
    state = cluster.wait(first, 180)
    check(state["type"] == "CANCELLED", f"the cancelled run ended as {state}")
    [run_row] = cluster.sql(
        "SELECT r.outcome FROM runs r JOIN experiments e ON e.id = r.experiment_id "
        f"WHERE e.name = '{name}'"
    )
    check(run_row["outcome"] == "interrupted", f"on record the run is {run_row['outcome']}")
    cluster.finish(cluster.submit("bootstrap", **asked))
    return ["an overlapping run changed nothing", "a cancelled run went on"]


def _wait_for_work(cluster: Cluster, name: str) -> None:
    asked = (
        "SELECT s.id FROM stages s JOIN runs r ON r.id = s.run_id JOIN experiments e "
        f"ON e.id = r.experiment_id WHERE e.name = '{name}' AND s.stage = 'rate'"
    )
    for _ in range(120):
        if cluster.sql(asked):
            return
        time.sleep(1)
    raise CheckFailed(f"{name}: nothing was rated in two minutes")


def refusals(cluster: Cluster, config: str) -> list[str]:
    """No door opens without its key."""
    tries = check_refusals(cluster)
    ports = check_listening(cluster)
    images = check_images(cluster)
    return [
        f"{tries} tries without a key refused",
        f"{len(ports)} ports, all on 127.0.0.1",
        f"{images} images without compiler or secret",
    ]


def speed(cluster: Cluster, config: str) -> list[str]:
    """Two workers against one on rate and revise, in turn; a seed has a corpus of its own."""
    took: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(SPEED_ROUNDS):
        for workers in (2, 1):
            cluster.compose("up", "-d", "--scale", f"ray-worker={workers}", "--no-recreate")
            cluster.wait_healthy()
            _wait_for_nodes(cluster, workers)
            took[workers].append(_rate_and_revise(cluster, config, workers, turn))
    cluster.compose("up", "-d", "--no-recreate")
    cluster.wait_healthy()
    ratios = [one / two for one, two in zip(took[1], took[2], strict=True)]
    return [
        f"rate and revise with one worker {statistics.median(took[1]):.1f} s, with two "
        f"{statistics.median(took[2]):.1f} s: {statistics.median(ratios):.2f} times "
        f"({min(ratios):.2f} to {max(ratios):.2f}, {SPEED_ROUNDS} rounds, "
        f"{os.cpu_count()} cores here)"
    ]


def _wait_for_nodes(cluster: Cluster, workers: int) -> None:
    """A node that was taken away is noticed by Ray a little later."""
    ask = "import ray; ray.init(logging_level=50); print(ray.cluster_resources().get('CPU', 0))"
    for _ in range(30):
        cores = cluster.inside("prefect-worker", "python", "-c", ask).split()[-1]
        if float(cores) == workers:
            return
        time.sleep(2)
    raise CheckFailed(f"Ray has {cores} cores, not those of {workers} workers")


def _rate_and_revise(cluster: Cluster, config: str, workers: int, turn: int) -> float:
    name = f"speed-{workers}-{turn}-{int(time.time())}"
    seed = 1000 + 2 * turn + workers
    overrides = [f"name={name}", f"seeds=[{seed}]", "generations=1"]
    # Long enough beside the start of the second engine, for which the first does not wait.
    overrides.append(f"corpus.documents={SPEED_DOCUMENTS}")
    # Nothing after the stages that are timed is looked at.
    overrides += ["training.corpus.tokens=4096", "training.skills.tokens=4096"]
    overrides += ["evaluation.items=60", "evaluation.facts_items=120", "gate.record_only=true"]
    cluster.finish(cluster.submit("bootstrap", config=f"{config}.yaml", overrides=overrides))
    asked = (
        "SELECT st.stage, st.seconds - COALESCE(st.engine_start_s, 0) AS s FROM stages st "
        "JOIN runs r ON r.id = st.run_id JOIN experiments e ON e.id = r.experiment_id "
        f"WHERE e.name = '{name}' AND st.stage IN ('rate', 'revise')"
    )
    rows = cluster.sql(asked)
    check({row["stage"] for row in rows} == {"rate", "revise"}, f"{name}: stages {rows}")
    return sum(float(row["s"]) for row in rows)


if __name__ == "__main__":
    main()
