"""The whole loop with its files in an S3 store: fresh nodes, verify and gc."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from loop_tools import TINY, digests, run
from object_store import ObjectStore

from configs.loading import load
from flows.opening import open_run
from workers.problems import InputProblem

STAGES = "30 stages reused, no model was called"


def variables(server: ObjectStore, folder: Path) -> dict[str, str]:
    """The record stands apart from the home, which is only a cache."""
    return {
        **server.environment,
        "PALIMPSEST_STORAGE": f"{server.url}/{folder.name}",
        "PALIMPSEST_DATABASE": f"sqlite:///{folder}/record.db",
    }


def standing(folder: Path, **more: str) -> dict:
    code, out, err = run(folder, "status", "microworld-tiny", "--json", **more)
    assert code == 0, err
    return json.loads(out)[0]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_fresh_node_reuses_what_another_left_in_the_store(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    folder = tmp_path / "node"
    given = variables(object_store, tmp_path)
    code, _, err = run(folder, "run", str(TINY), timeout=900, **given)
    assert code == 0, err
    made = digests(standing(folder, **given))
    # Another node, which has nothing, and whose home has another path.
    other = tmp_path / "other-node"
    code, out, err = run(other, "run", str(TINY), timeout=900, **given)
    assert code == 0, err
    assert STAGES in out
    assert digests(standing(other, **given)) == made
    code, out, err = run(other, "lineage", "verify", **given)
    assert (code, err) == (0, "")
    assert "all as recorded" in out
    # Nothing of verify's stays, and the store has nothing that the record does not name.
    code, out, err = run(other, "gc", **given)
    assert code == 0 and "nothing to do" in out, (out, err)
    same_without_a_store(tmp_path, made)
    what_is_altered_is_found_and_an_orphan_goes(object_store, tmp_path, given)


def same_without_a_store(tmp_path: Path, made: dict) -> None:
    plain = tmp_path / "plain"
    code, _, err = run(plain, "run", str(TINY), timeout=900)
    assert code == 0, err
    assert digests(standing(plain)) == made


def what_is_altered_is_found_and_an_orphan_goes(
    server: ObjectStore, tmp_path: Path, given: dict[str, str]
) -> None:
    files = server.files()
    root = f"tests/{tmp_path.name}"
    shard = sorted(files.glob(f"{root}/corpora/*/shard-00000.parquet"))[0]
    kept = files.cat_file(shard)
    files.pipe_file(shard, kept + b"more")
    orphan = f"{root}/corpora/{'0' * 64}"
    files.pipe_file(f"{orphan}/shard-00000.parquet", b"never finished")
    node = tmp_path / "third-node"
    code, out, err = run(node, "lineage", "verify", **given)
    found = f"altered: corpus {shard.split('/')[-2]} s3://{shard.rpartition('/')[0]}: s3://{shard}:"
    assert code == 1 and found in out, (out, err)
    files.pipe_file(shard, kept)
    code, out, err = run(node, "gc", "--yes", **given)
    assert code == 0 and "1 leftovers" in out, (out, err)
    assert not files.exists(f"{orphan}/shard-00000.parquet")
    code, out, err = run(node, "lineage", "verify", **given)
    assert code == 0, (out, err)
    # Another record's files in the same store are not ours to remove.
    files.pipe_file(f"{root}/records/{'1' * 32}", b"")
    files.pipe_file(f"{orphan}/shard-00000.parquet", b"another record's")
    code, out, err = run(node, "gc", "--yes", **given)
    assert code != 0 and "1 other records have files in this store" in err, (out, err)
    assert files.exists(f"{orphan}/shard-00000.parquet")
    shutil.rmtree(node)


@pytest.mark.parametrize(
    ("url", "said"),
    [("s3://no-such-bucket/p", "Make the bucket"), ("s3://key:hush@tests/p", "holds credentials")],
)
def test_a_store_that_cannot_be_used_is_told_before_anything_is_recorded(
    object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    for name, value in (variables(object_store, tmp_path) | {"PALIMPSEST_STORAGE": url}).items():
        monkeypatch.setenv(name, value)
    experiment = load(TINY, [f"placement.home={tmp_path}/home"])
    with (
        pytest.raises(InputProblem, match=rf"placement\.storage.*{said}") as refused,
        open_run(experiment, experiment.generations),
    ):
        pass
    assert "hush" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []
