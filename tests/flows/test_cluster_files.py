"""`palimpsest init --cluster`: an environment file, and secrets that nobody had before."""

from __future__ import annotations

import re
import stat

import yaml
from loop_tools import ROOT, run

from flows.cluster_files import SECRETS, write_cluster_files


def contents(folder):
    return {file.name: file.read_text() for file in (folder / "secrets").iterdir()}


def test_every_secret_is_fresh_and_long(tmp_path):
    for name in ("one", "two"):
        write_cluster_files(tmp_path / name)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert set(one) == set(SECRETS)
    for name in SECRETS:
        assert one[name] != two[name] and len(one[name].strip()) >= 40


def test_only_the_owner_comes_to_the_secrets(tmp_path):
    write_cluster_files(tmp_path)
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    # A container's user is another one, and sees the file itself.
    for file in (tmp_path / "secrets").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o444


def test_the_environment_file_holds_no_secret_and_names_what_compose_reads(tmp_path):
    written = write_cluster_files(tmp_path)
    text = written.environment.read_text()
    assert not any(line in text for each in contents(tmp_path).values() for line in each.split())
    settings = dict(re.findall(r"(?m)^(\w+)=(.*)$", text))
    assert settings["PALIMPSEST_SECRETS"] == str(tmp_path / "secrets")
    compose = (ROOT / "docker" / "compose.yaml").read_text()
    assert all("${" + name in compose for name in settings)


def test_compose_and_init_know_the_same_secrets():
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    assert set(compose["secrets"]) == set(SECRETS)


def test_again_nothing_is_overwritten_and_what_was_removed_is_drawn_anew(tmp_path):
    code, out, err = run(tmp_path, "init", "--cluster", "here")
    assert code == 0 and "ray_token: written" in out, err
    before = contents(tmp_path / "here")
    (tmp_path / "here" / "secrets" / "ray_token").unlink()
    code, out, _ = run(tmp_path, "init", "--cluster", "here")
    after = contents(tmp_path / "here")
    assert code == 0 and "kept as they are" in out
    assert {name for name in after if after[name] != before[name]} == {"ray_token"}


def test_init_without_a_file_says_what_to_give(tmp_path):
    code, _, err = run(tmp_path, "init")
    assert code == 2 and "--cluster" in err
