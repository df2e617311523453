"""What a run says of its own command."""

import pytest

from flows.provenance import command_line


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hush@h/db",
        "postgresql://u:hu/hush@h:5/db",
        "postgresql://u:hush@hush@h/db",
        "postgresql://u:h hush@h/db",
        "postgresql:///db?user=u&password=hush",
        "postgresql://h/db?sslpassword=hush&user=u",
        "https://u:hush@h/rows.parquet?access_token=hush",
    ],
)
@pytest.mark.parametrize("before", ["", "placement.database="])
def test_no_password_is_on_record(monkeypatch, before, url):
    monkeypatch.setattr("sys.argv", ["/bin/palimpsest", "run", "a.yaml", "--set", before + url])
    said = command_line()
    assert said.startswith("palimpsest run a.yaml --set ")
    assert "hush" not in said and "***" in said


def test_what_holds_no_password_is_kept_as_it_was(monkeypatch):
    words = ["run", "a b.yaml", "--set", "corpus.path=s3://bucket/c?region=x"]
    monkeypatch.setattr("sys.argv", ["/bin/palimpsest", *words])
    assert command_line() == "palimpsest run 'a b.yaml' --set 'corpus.path=s3://bucket/c?region=x'"
