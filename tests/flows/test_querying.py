"""What commands print of rows and of errors, and that `db upgrade` makes no record by mistake."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import pytest
from typer.testing import CliRunner

from db.sessions import open_database
from flows.cli_database import database as db_commands
from flows.cli_options import TABLE_ROWS, print_first, print_lines
from flows.console import Reporter, explain
from flows.querying import print_answer
from workers.problems import InputProblem


def lines_of(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def test_columns_of_one_name_are_all_in_the_answer(capsys):
    print_answer(["id", "id_2"], iter([[1, 2]]), as_json=True, limit=None)
    assert capsys.readouterr().out == '{"id": 1, "id_2": 2}\n'
    print_answer(["id", "id_2"], iter([[1, 2]]), as_json=False, limit=None)
    head, _, row = lines_of(capsys.readouterr().out)
    assert (head.split(), row.split()) == (["id", "id_2"], ["1", "2"])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (-0.0002, "-0.0002"),
        (0.123456, "0.1235"),
        (0.0, "0"),
        (1234567.89, "1234567.9"),
        (2.5e300, "2.5e+300"),
        ("Infinity", "Infinity"),
        (123456789, "123456789"),
        (None, ""),
    ],
)
def test_a_number_in_a_table_keeps_four_digits_and_its_whole_part(capsys, value, shown):
    print_answer(["x", "n"], iter([["row", value]]), as_json=False, limit=None)
    assert lines_of(capsys.readouterr().out)[-1].split() == ["row", *shown.split()]


def test_an_answer_without_rows_still_has_its_columns(capsys):
    print_answer(["experiment", "[bold]"], iter([]), as_json=False, limit=None)
    assert lines_of(capsys.readouterr().out)[0].split() == ["experiment", "[bold]"]
    print_answer(["experiment"], iter([]), as_json=True, limit=None)
    assert capsys.readouterr().out == ""


def test_only_a_table_has_a_limit_of_its_own(capsys):
    most = TABLE_ROWS + 50
    print_lines(({"n": n} for n in range(most)), None)
    assert len(capsys.readouterr().out.splitlines()) == most
    print_first(["n"], ([n] for n in range(most)), None)
    said = capsys.readouterr().out
    assert f"the first {TABLE_ROWS} rows; --limit 0 shows all" in said
    assert len(lines_of(said)) == 2 + TABLE_ROWS + 1
    print_first(["n"], ([n] for n in range(most)), 0)
    assert len(lines_of(capsys.readouterr().out)) == 2 + most


def test_a_limit_that_is_given_holds_for_lines_too_and_reads_no_further(capsys):
    read = count()
    print_lines(({"n": n} for n in read), 3)
    assert [json.loads(line)["n"] for line in capsys.readouterr().out.splitlines()] == [0, 1, 2]
    assert next(read) == 3


def test_an_error_is_printed_as_it_is(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    message = "no document ':bomb:' in [bold] " + "/a/long/path" * 30 + "; nearest: a[0]"
    explain(message)
    assert capsys.readouterr().err == f"error {message}\n"


def test_a_step_shows_no_pictures_for_names(capsys):
    Reporter().step("document :bomb: kept")
    assert "document :bomb: kept" in capsys.readouterr().err


@pytest.fixture
def without_database(monkeypatch) -> None:
    monkeypatch.delenv("PALIMPSEST_DATABASE", raising=False)


def upgrade(*words: str) -> str:
    result = CliRunner().invoke(db_commands, ["upgrade", *words])
    if result.exception is not None:
        raise result.exception
    return result.output


@pytest.mark.usefixtures("without_database")
def test_an_upgrade_makes_no_record_in_a_mistyped_home(tmp_path):
    with pytest.raises(InputProblem, match="no record here"):
        upgrade("--home", str(tmp_path / "typo"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("without_database")
def test_an_upgrade_finds_the_record_of_a_home_and_of_a_url_with_options(tmp_path, monkeypatch):
    file = Path(tmp_path) / "palimpsest.db"
    open_database(f"sqlite:///{file}").dispose()
    assert "the schema is current" in upgrade("--home", str(tmp_path))
    monkeypatch.setenv("PALIMPSEST_DATABASE", f"sqlite:///{file}?timeout=5")
    assert "the schema is current" in upgrade("--home", str(tmp_path / "elsewhere"))
