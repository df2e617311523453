"""What a newcomer relies on: the folders, the targets, and docs that name what exists."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_promised_folders_and_files_stand():
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Makefile", "flows",
                 "workers", "db", "configs", "tests", "docker", ".ci/run"):  # fmt: skip
        assert (ROOT / name).exists(), name
    # A package of that name would shadow the Docker SDK, which Prefect imports.
    assert not (ROOT / "docker" / "__init__.py").exists()


def test_make_has_the_targets_that_the_readme_names():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`make ([a-z-]+)`", README)) | {"demo", "test", "check", "bench"}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_file_that_the_readme_names_exists():
    for name in re.findall(r"`?((?:configs|docs|requirements)/[\w./-]*)`?", README):
        assert (ROOT / name).exists(), name


def test_every_command_of_the_readme_is_one():
    from flows.cli import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    known |= {group.name for group in app.registered_groups}
    for name in re.findall(r"(?:^|`)palimpsest ([a-z-]+)", README, re.MULTILINE):
        assert name in known, name


def test_both_requirement_sets_pin_everything_and_leave_out_what_breaks():
    for path in (ROOT / "requirements").glob("*.txt"):
        lines = [line for line in path.read_text().splitlines() if line and line[0] not in "# -"]
        assert all("==" in line for line in lines), path
    cpu = (ROOT / "requirements" / "cpu.txt").read_text()
    assert not re.search(r"^(torchvision|torchaudio|torchcodec|triton)==", cpu, re.MULTILINE)


def test_everything_that_the_program_declares_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "requirements" / "cpu.txt").read_text().splitlines()
        if "==" in line and not line.startswith("#")
    }
    for wanted in [*project["dependencies"], *project["optional-dependencies"]["cpu"]]:
        name = re.split(r"[\[<>=,]", wanted)[0].lower().replace("_", "-")
        assert name in pinned, name


def test_the_shipped_weights_are_small():
    for path in ROOT.glob("workers/**/*.safetensors"):
        assert path.stat().st_size < 8 * 2**20
