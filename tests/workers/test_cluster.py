"""A Ray cluster of several nodes: who is let in, what nodes must share, and what their loss costs.

The nodes are real ones of this machine, each with its own raylet, object store and workers.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pool_demo
import pytest
import ray
from pool_demo import Upper, written
from ray._private.authentication_test_utils import reset_auth_token_state
from ray.cluster_utils import Cluster

from configs.asking import Engine as EngineConfig
from workers.cluster import connect
from workers.node_checks import ClusterNodes, check_nodes
from workers.nodes import NodeReport, report
from workers.pool import EnginePool
from workers.problems import InputProblem, WorkProblem
from workers.remote import run_remote
from workers.storage import UNFINISHED

# Ray's own test cluster leaves processes to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)
TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head without CPUs, on which the driver runs; the tests add nodes."""
    ray.cloudpickle.register_pickle_by_value(pool_demo)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", TOKEN)
        reset_auth_token_state()
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        connect(made.address, 1)
        yield made
        ray.shutdown()
        made.shutdown()
    reset_auth_token_state()


@pytest.fixture
def node(cluster: Cluster) -> Iterator[ray.node.Node]:
    made = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield made
    if made in cluster.worker_nodes:
        cluster.remove_node(made)


@pytest.mark.slow
def test_a_stage_ends_in_the_same_bytes_when_a_node_joins_and_another_is_lost(
    cluster: Cluster, node: ray.node.Node, tmp_path: Path
) -> None:
    corpus = written(tmp_path, 64)
    first = EnginePool(EngineConfig(actors=1))
    plain = {r.shard: r.digest for r in first.run(Upper(corpus, str(tmp_path / "a")), range(8))}
    first.stop()
    # Two engines are asked for, and there is room for one.
    pool = EnginePool(EngineConfig(actors=2, attempts=1))
    found, nodes, joined = {}, set(), None
    job = Upper(corpus, str(tmp_path / "b"), meet=str(tmp_path / "meet"), slow_s=0.5)
    for result in pool.run(job, range(8)):
        found[result.shard] = result.digest
        nodes |= result.nodes
        assert (result.errors, result.attempts) == (0, 1)
        if joined is None:
            joined = cluster.add_node(num_cpus=1)
        elif len(nodes) == 2 and node in cluster.worker_nodes:
            cluster.remove_node(node, allow_graceful=False)
    pool.stop()
    assert found == plain
    assert {name.split("/")[1] for name in nodes} == {each.node_id[:8] for each in (node, joined)}
    cluster.remove_node(joined)


def count(place: str, progress) -> str:
    """Waits for a file to be removed, and says where it runs."""
    Path(place).with_suffix(".pid").write_text(str(os.getpid()))
    progress("count", 1, 2, {})
    while Path(place).exists():
        time.sleep(0.1)
    progress("count", 2, 2, {"figure": 7})
    return ray.get_runtime_context().get_node_id()


def test_a_job_whose_process_is_killed_is_begun_anew(
    cluster: Cluster, node: ray.node.Node, tmp_path: Path
) -> None:
    wait, seen, said = tmp_path / "wait", [], []
    wait.touch()

    def show(what: str, done: int, total: int, figures: dict) -> None:
        seen.append((done, figures))
        if wait.exists():
            os.kill(int(wait.with_suffix(".pid").read_text()), 9)
            wait.unlink()

    where = run_remote(count, str(wait), cpus=1, gpus=0, progress=show, say=said.append)
    assert where == node.node_id
    assert seen[0] == (1, {})
    assert seen[-1] == (2, {"figure": 7})
    assert [line.split(":")[0] for line in said if "waiting" not in line] == ["  count"]


def fail(place: str, progress) -> None:
    raise ValueError(f"no {place}")


def test_a_job_that_fails_by_itself_is_not_begun_anew(cluster: Cluster, node) -> None:
    said = []
    with pytest.raises(WorkProblem, match="fail failed: ValueError: no luck"):
        run_remote(fail, "luck", cpus=1, gpus=0, progress=lambda *_: None, say=said.append)
    assert not any("lost" in line for line in said)
    with pytest.raises(WorkProblem, match=r"no node with 9 CPUs free .* nodes? alive"):
        run_remote(fail, "", cpus=9, gpus=0, progress=lambda *_: None, wait_s=1.0)


def test_nodes_are_asked_what_they_have_and_whether_they_see_the_home(
    cluster: Cluster, node, tmp_path: Path
) -> None:
    engine = EngineConfig(kind="transformers", threads=1)
    nodes = ClusterNodes(engine, tmp_path, shared=True, say=print)
    here = report(None)
    assert node.node_id in [each.node_id for each in nodes.nodes]
    assert nodes.versions == here.versions
    assert nodes.device.startswith("cpu") or nodes.device
    # Where a later run sweeps up what a killed one left.
    assert list(tmp_path.glob(f"*/{UNFINISHED}*"))
    older = {**here.versions, "torch": "1.0"}
    late = replace(here, node_id="b", host="late", versions=older)
    with pytest.raises(InputProblem, match=r"the cluster's nodes differ in torch: 1\.0 on late"):
        nodes.check(late)
    first = [each for each in nodes.nodes if each.node_id == node.node_id]
    nodes._devices = frozenset({"another"})
    nodes.check(first[0])
    nodes.nodes = [replace(here, node_id="gone", versions=older)]
    with pytest.raises(InputProblem, match=r"another kind of processor, .* recorded, another:"):
        nodes.check(first[0])
    nodes._devices = frozenset({first[0].device})
    nodes.check(first[0])
    assert nodes.nodes == first
    nodes.close()
    assert list((tmp_path / "stages").iterdir()) == []


def test_nodes_that_do_not_fit_are_refused_by_name() -> None:
    versions = {"python": "3.11.7", "ray": "2.60.0", "vllm": "0.33.0", "torch": "2.14"}
    here = NodeReport("h", "head", {k: v for k, v in versions.items() if k != "vllm"})
    good = NodeReport("a", "good", versions)

    def refused(**changed: object) -> str:
        with pytest.raises(InputProblem) as caught:
            check_nodes(
                here, [good, replace(good, node_id="b", host="bad", **changed)], "vllm", Path("/h")
            )
        return str(caught.value)

    check_nodes(here, [good], "vllm", Path("/h"))
    assert "node bad has python 3.11.9" in refused(versions={**versions, "python": "3.11.9"})
    assert "node bad has ray not installed" in refused(versions={**versions, "ray": None})
    assert "vllm is not installed on bad" in refused(versions=dict(here.versions))
    assert "differ in vllm: 0.29.0 on bad; 0.33.0 on good" in refused(
        versions={**versions, "vllm": "0.29.0"}
    )
    assert "node bad does not see placement.home, /h" in refused(home_fault="does not see")
    # A node without room for an engine needs none.
    small = replace(good, host="small", versions=here.versions, takes_engines=False)
    check_nodes(here, [good, small], "vllm", Path("/h"))


def test_an_address_where_nothing_listens_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.cluster.ANSWER_S", 0.1)
    if ray.is_initialized():
        ray.shutdown()
    with pytest.raises(InputProblem, match=r"placement\.ray_address: no Ray cluster answers at"):
        connect("127.0.0.1:9", 1)
    monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:10001")
    with pytest.raises(InputProblem, match=r"RAY_ADDRESS: 'ray://.* is no address"):
        connect("ray://127.0.0.1:10001", 1)


def test_a_machine_that_leaves_ray_no_time_to_start_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def late(**_: object) -> None:
        raise Exception("The current node timed out during startup.")

    if ray.is_initialized():
        ray.shutdown()
    monkeypatch.setattr(ray, "init", late)
    with pytest.raises(WorkProblem, match=r"timed out during startup.*run the same command again"):
        connect(None, 1)


def joining(address: str, **environment: str) -> str:
    code = f"""
from workers.cluster import connect
from workers.problems import InputProblem
try:
    connect({address!r}, 1)
except InputProblem as problem:
    print("refused:", problem)
else:
    print("joined")
"""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


@pytest.mark.slow
def test_a_cluster_asks_for_its_token_and_for_its_versions(cluster: Cluster, tmp_path) -> None:
    assert joining(cluster.address, RAY_AUTH_TOKEN=TOKEN) == "joined\n"
    wrong = joining(cluster.address, RAY_AUTH_TOKEN="f" * 32)
    assert "the token in RAY_AUTH_TOKEN is another one" in wrong
    missing = joining(cluster.address, HOME=str(tmp_path))
    assert "no token is given" in missing
    assert "RAY_AUTH_TOKEN_PATH" in missing
