"""Homes and records that several tests begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.sessions import open_database


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty record, to copy: the migrations take many times as long."""
    path = tmp_path_factory.mktemp("migrated") / "palimpsest.db"
    open_database(f"sqlite:///{path}").dispose()
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"
