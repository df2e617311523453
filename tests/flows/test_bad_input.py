"""Bad input gets a paragraph, an exit status that is not zero, and leaves no trace."""

import errno
import json
import os
import sys

import pytest

from flows import cli
from workers import storage
from workers.corpora.intake import import_corpus
from workers.engines import start
from workers.problems import InputProblem, WorkProblem


@pytest.fixture
def palimpsest(tmp_path, monkeypatch, capsys):
    """Call the command line in this process: its exit status and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["palimpsest", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return call


def config(tmp_path, text: str = "name: a\n"):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("rating.treshold=0.5", ("rating.treshold", "threshold")),
        ("rating.threshold=2", ("rating.threshold", "2")),
        ("principles=honest", ("principles", "honest")),
        ("model.prompts=microword", ("prompts", "microworld")),
        ("skills.path=harmles-dialogue", ("skills.path", "harmless-dialogue")),
    ],
)
def test_a_config_error_is_one_paragraph_and_leaves_nothing(palimpsest, tmp_path, override, words):
    code, _, err = palimpsest("run", config(tmp_path), "--dry-run", "--set", override)
    assert code == 2
    assert all(word in err for word in words), err
    assert "Traceback" not in err
    assert not (tmp_path / ".palimpsest").exists()


def test_a_config_that_does_not_exist(palimpsest):
    code, _, err = palimpsest("run", "configs/microwrld.yaml")
    assert code == 2 and "no such file" in err and "microworld.yaml" in err


def test_a_command_without_a_record_says_where_it_looked(palimpsest):
    for words in (["status"], ["lineage", "show", "x"], ["promote", "x", "1"], ["report", "x"]):
        code, _, err = palimpsest(*words)
        assert code == 2 and "no record here" in err


def test_no_vllm_names_the_other_engine_and_does_not_take_it(monkeypatch):
    monkeypatch.setattr(start.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputProblem, match=r"engine\.kind=transformers"):
        start.check_engine_installed("vllm")


def test_a_full_disk_stops_with_what_to_do_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    from configs.corpora import CorpusOptions, MicroworldCorpus

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(storage.pq, "write_table", full)
    with pytest.raises(WorkProblem, match=r"no space is left.*placement\.home"):
        import_corpus(
            MicroworldCorpus(documents=50), CorpusOptions(), 0, tmp_path, lambda done: None
        )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_init_writes_a_config_that_loads_and_does_not_overwrite(palimpsest, tmp_path):
    code, out, err = palimpsest("init", "mine.yaml", "--corpus", "notes.jsonl")
    assert code == 0, err
    code, out, err = palimpsest("run", "mine.yaml", "--dry-run", "--json")
    assert code == 0, err
    assert {row["stage"] for row in json.loads(out)} >= {"import", "rate", "revise", "train"}
    code, _, err = palimpsest("init", "mine.yaml")
    assert code == 2 and "exists already" in err


def test_skills_check_names_the_line(palimpsest, tmp_path):
    rows = [
        {"task": "rate", "text": "a leak .", "principles": ["honesty"], "answer": "perhaps"},
        {"task": "revise", "text": "a leak .", "principles": ["honest"], "answer": "[1] x ."},
    ]
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, _ = palimpsest("skills", "check", config(tmp_path), "--set", "skills.path=s.jsonl")
    assert code == 1
    assert "line 1" in out and "line 2" in out and "honesty" in out


def test_skills_draft_gives_rows_to_edit_that_do_not_pass_the_check(palimpsest, tmp_path):
    path = config(tmp_path, "name: a\ncorpus: {kind: microworld, documents: 40}\n")
    code, _, err = palimpsest("skills", "draft", path, "d.jsonl", "--count", "8")
    assert code == 0, err
    rows = [json.loads(line) for line in (tmp_path / "d.jsonl").read_text().splitlines()]
    assert {(row["task"], *row["principles"]) for row in rows} == {
        (task, principle) for task in ("rate", "revise") for principle in ("honesty", "oversight")
    }
    code, out, _ = palimpsest("skills", "check", path, "--set", "skills.path=d.jsonl")
    assert code == 1 and "line 1" in out


def test_help_teaches_every_command(palimpsest):
    code, out, _ = palimpsest("--help")
    assert code == 0
    for name in ("init", "run", "extend", "fork", "promote", "rollback", "export", "skills",
                 "status", "compare", "lineage", "preview", "doctor", "report"):  # fmt: skip
        assert name in out
