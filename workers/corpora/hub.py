"""Rows through the `datasets` library, from the hub or from a local folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

from configs.loading import expand_path
from workers.problems import InputProblem
from workers.storage import explain_full_disk

LOCAL = "local dataset"
COMMIT = re.compile(r"[0-9a-f]{40}")
# A broken connection reaches us as an error of the hub's HTTP library, which differs between
# versions of the hub and is the first base of its own error.
TRANSPORT: tuple[type[BaseException], ...] = HfHubHTTPError.__bases__


def local_path(name: str) -> Path | None:
    """Folder or file that a dataset's name means; None for a name on the hub.

    Raises:
        ConfigProblem: a variable in the name is not set.
        InputProblem: the name is a path, and nothing stands there.
    """
    path = expand_path(name, "corpus.name")
    if path.exists():
        return path
    if path.is_absolute() or name.startswith((".", "~", "$")):
        raise InputProblem(
            f"corpus.name: {name!r} is a path, and there is no such folder. Check the spelling, "
            "or give the dataset's name on the hub."
        )
    return None


def loading_errors() -> tuple[type[BaseException], ...]:
    """What `datasets.load_dataset` raises for a set that cannot be found, reached or read."""
    # Imported when asked for, because it takes seconds.
    from datasets.exceptions import DatasetsError

    return (
        DatasetsError,
        ImportError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
        pa.ArrowException,
        *TRANSPORT,
    )


def load_rows(name: str, config_name: str | None, **options: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of a dataset; no code that comes with it is ever run.

    Args:
        name: hub id or local folder.
        config_name: the dataset's configuration, if it has several.
        options: passed to `datasets.load_dataset`, such as `split` and `streaming`.

    Raises:
        InputProblem: the dataset cannot be found, reached or read.
        WorkProblem: the disk with the `datasets` cache is full.
    """
    from datasets import config, load_dataset

    try:
        with explain_full_disk(Path(config.HF_DATASETS_CACHE)):
            yield from load_dataset(name, config_name, **options)
    except loading_errors() as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputProblem(
            f"corpus.name: {name!r} could not be read ({first[:300]}). Check the spelling, the "
            "configuration, the split and the network, or read a local copy instead: a folder in "
            "corpus.path (kind: files or dialogues) or in corpus.name (kind: datasets)."
        ) from error


def resolved_commit(name: str, revision: str | None) -> str:
    """Commit that a hub dataset stands at; a revision that is a commit already needs no network.

    Raises:
        InputProblem: the hub does not know the dataset or cannot be reached.
    """
    from huggingface_hub import HfApi

    if revision is not None and COMMIT.fullmatch(revision):
        return revision
    try:
        return str(HfApi().dataset_info(name, revision=revision).sha)
    except (HFValidationError, OfflineModeIsEnabled, *TRANSPORT) as error:
        raise InputProblem(
            f"corpus.name: {name!r} could not be found on the hub ({type(error).__name__}). Check "
            "the spelling, corpus.revision and the network, or read a local copy instead: a folder "
            "in corpus.path (kind: files or dialogues) or in corpus.name (kind: datasets)."
        ) from error
