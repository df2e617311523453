"""What tests of several folders share: servers, and how patient hypothesis is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from object_store import ObjectStore

# How long an example takes says how busy the machine is.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A server that speaks S3, once for all tests that ask for it."""
    server = ObjectStore(tmp_path_factory.mktemp("s3"))
    try:
        server.start()
        yield server
    finally:
        server.stop()
