"""Doctor names what fails and how to mend it, and never a password."""

from types import SimpleNamespace

import pytest

from configs.experiment import Experiment
from flows import doctor

URL = "postgresql://someone:s3cret@127.0.0.1:1/none"


def by_name(checks):
    return {check.name: check for check in checks}


@pytest.fixture
def experiment() -> Experiment:
    return Experiment(name="x")


def test_an_installation_that_works_passes(tmp_path, experiment):
    checks = doctor.check_all(experiment, tmp_path, f"sqlite:///{tmp_path}/palimpsest.db")
    assert doctor.worst([c for c in checks if c.name != "memory"]) != "failure", checks
    assert by_name(checks)["database"].found == "SQLite, will be created"


def test_an_old_version_fails_with_the_floor(tmp_path, monkeypatch, experiment):
    monkeypatch.setattr(doctor, "version", lambda name: "0.1")
    found = by_name(doctor.check_all(experiment, tmp_path, f"sqlite:///{tmp_path}/a.db"))
    assert found["prefect"].status == "failure"
    assert "3.6.14" in found["prefect"].found


def test_a_missing_vllm_fails_only_where_it_is_wanted(tmp_path, monkeypatch, experiment):
    real = doctor.version

    def without(name):
        if name.startswith("vllm"):
            raise doctor.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(doctor, "version", without)
    url = f"sqlite:///{tmp_path}/a.db"
    assert by_name(doctor.check_all(experiment, tmp_path, url))["vllm"].status == "failure"
    engine = experiment.engine.model_copy(update={"kind": "transformers"})
    other = experiment.model_copy(update={"engine": engine})
    assert by_name(doctor.check_all(other, tmp_path, url))["vllm"].status == "ok"


def test_an_unreachable_database_fails_without_its_password(tmp_path, experiment):
    found = by_name(doctor.check_all(experiment, tmp_path, URL))["database"]
    assert found.status == "failure"
    assert "s3cret" not in found.found + str(found.fix)


def test_a_full_disk_and_a_network_file_system_fail(tmp_path, monkeypatch, experiment):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=1e6))
    mount = SimpleNamespace(mountpoint="/", fstype="nfs4")
    monkeypatch.setattr(doctor.psutil, "disk_partitions", lambda **_: [mount])
    found = by_name(doctor.check_all(experiment, tmp_path, f"sqlite:///{tmp_path}/a.db"))
    assert found["disk"].status == "failure"
    assert "PostgreSQL" in str(found["file system"].fix)


def test_gpus_that_are_not_there_are_missed(tmp_path, experiment):
    training = experiment.training.model_copy(update={"num_gpus": 64})
    wanting = experiment.model_copy(update={"training": training})
    found = by_name(doctor.check_all(wanting, tmp_path, f"sqlite:///{tmp_path}/a.db"))["gpu"]
    assert found.status == "failure" and "64" in found.found


def test_every_evaluation_says_what_it_measures():
    found = doctor.evaluation_tasks()
    assert {name for name, _, _ in found} == {"bits_per_byte", "rater", "pairs", "oracle"}
    assert all(measures and corpora for _, measures, corpora in found)
