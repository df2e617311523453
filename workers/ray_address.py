"""Which Ray a run uses: a cluster's, or its own on this machine. Nothing of Ray is loaded here."""

from __future__ import annotations

import os

ADDRESS_VARIABLE = "RAY_ADDRESS"
"""Ray's own; it wins over `placement.ray_address`."""
TOKEN_VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


def cluster_address(configured: str | None) -> str | None:
    """Address of the cluster to join: the environment's, else the config's; None: Ray runs here."""
    address = os.environ.get(ADDRESS_VARIABLE) or configured
    return None if address in (None, "", "local") else address


def expect_token() -> None:
    """Have Ray send its token where one is given.

    To a cluster that was named, Ray sends it only when it is told to, and it reads whether it is
    to once, when it is imported; so that this must have been called by then.
    """
    if any(os.environ.get(name) for name in TOKEN_VARIABLES):
        os.environ.setdefault("RAY_AUTH_MODE", "token")
