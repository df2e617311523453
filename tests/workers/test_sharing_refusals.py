"""Stores that cannot be used: each is refused with the remedy, and secrets are kept secret."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from object_store import READER, ObjectStore, forget_clients

from workers.problems import InputProblem, WorkProblem
from workers.remote_files import checked_url
from workers.sharing import SharedStore

SECRETS = (
    "s3://key:hush@bucket/prefix",
    "s3://key@bucket/prefix",
    "sftp://me:hush@host/folder",
    "https://host/folder?sig=hush",
)


@pytest.mark.parametrize("url", SECRETS)
def test_a_url_with_credentials_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(InputProblem, match="holds credentials") as refused:
        checked_url(url)
    assert "hush" not in str(refused.value) and "key" not in str(refused.value).split("(")[0]


@pytest.mark.parametrize("url", ["", "/folder", "bucket", "s3://", "s3:///", "simplecache::s3://b"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InputProblem, match=r"placement\.storage.*such as s3://bucket/prefix"):
        checked_url(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [("s4://bucket", "no file system is known"), ("gs://bucket", r"gcsfs.*on every node")],
)
def test_a_protocol_that_cannot_be_spoken_is_refused(url: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputProblem, match=rf"placement\.storage.*{said}"):
        SharedStore(str(tmp_path), url).probe()


def refused(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str
) -> InputProblem | WorkProblem:
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    forget_clients()
    with pytest.raises((InputProblem, WorkProblem)) as problem:
        SharedStore("", url).probe()
    forget_clients()
    assert "secret" not in str(problem.value) and "placement.storage" in str(problem.value)
    return problem.value


def test_a_store_that_does_not_let_us_in_is_told(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = object_store.environment_of(("nobody", "nobody-secret"))
    assert "refuses the credentials" in str(refused(monkeypatch, wrong, object_store.url))
    forged = object_store.environment_of(("writer", "another-secret"))
    assert "refuses the credentials" in str(refused(monkeypatch, forged, object_store.url))
    reader = object_store.environment_of(READER)
    assert "refuses the credentials" in str(refused(monkeypatch, reader, object_store.url))


def test_a_store_without_credentials_is_told(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = object_store.environment
    nothing = {n: v for n, v in given.items() if n not in ("AWS_ACCESS_KEY_ID",)}
    del nothing["AWS_SECRET_ACCESS_KEY"]
    problem = refused(monkeypatch, nothing, object_store.url)
    assert isinstance(problem, InputProblem)
    assert "no credentials" in str(problem) and "AWS_ACCESS_KEY_ID" in str(problem)


def test_a_bucket_that_is_not_there_is_told(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = refused(monkeypatch, object_store.environment, "s3://no-such-bucket/prefix")
    assert isinstance(problem, InputProblem) and "Make the bucket" in str(problem)


def test_a_server_that_does_not_answer_is_told(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = {**object_store.environment, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    problem = refused(monkeypatch, away | {"AWS_MAX_ATTEMPTS": "1"}, object_store.url)
    assert isinstance(problem, WorkProblem) and "cannot be used now" in str(problem)
