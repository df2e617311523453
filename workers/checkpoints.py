"""Checkpoints: immutable, content-addressed folders of safetensors weights with their tokenizer."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.fingerprint import digest_of
from workers.checkpoint_files import (
    FOREIGN_KEYS,
    check_loads,
    checked_files,
    find_source,
    quieten,
)
from workers.problems import InputProblem
from workers.storage import (
    MANIFEST,
    UNFINISHED,
    explain_full_disk,
    file_digest,
    put_in_place,
    read_json,
    sync,
    whole_folder,
    write_json,
)


@dataclass(frozen=True, slots=True)
class CheckpointRef:
    """A checkpoint: what it is called, and where it stands."""

    id: str
    """SHA-256 over the names and hashes of weights, config, tokenizer and template files."""
    uri: str
    """Absolute folder."""


def checkpoint_id(files: Mapping[str, str]) -> str:
    """Content id of files given as name and SHA-256."""
    return digest_of(dict(files))


def admit(path: str, revision: str | None, home: Path) -> CheckpointRef:
    """Check a model and copy it into `home`, where it is called by its content.

    Args:
        path: `microworld`, a folder (`~` and `${VAR}` allowed), or an id of the hub.
        revision: commit, tag or branch on the hub.
        home: folder that holds `checkpoints/`; what it has already is not copied again.

    Raises:
        InputProblem: the model is not there, or is not a whole safetensors checkpoint.
        ConfigProblem: the path needs an environment variable that is not set.
    """
    source, about = find_source(path, revision)
    manifest = _own_manifest(source)
    if manifest is not None:
        _verify(source, manifest)
    digests = {file.name: file_digest(file) for file in checked_files(source)}
    identity = checkpoint_id(digests)
    target = _folder(home, identity)
    if not target.exists():
        check_loads(source)
        with whole_folder(target) as fresh:
            for name in digests:
                shutil.copyfile(source / name, fresh / name)
            about = about if manifest is None else manifest["about"]
            _write_manifest(fresh, identity, digests, about)
    return open_checkpoint(target)


def open_checkpoint(uri: str | Path) -> CheckpointRef:
    """Return a checkpoint of this program after hashing its files again.

    Raises:
        InputProblem: there is none, or a file is missing or was altered.
    """
    folder = Path(uri)
    manifest = _own_manifest(folder)
    if manifest is None:
        raise InputProblem(
            f"{folder}: no checkpoint of this program stands here ({MANIFEST} is missing). Run the "
            "experiment again: it makes what is missing."
        )
    _verify(folder, manifest)
    return CheckpointRef(manifest["id"], str(folder.resolve()))


def load_model(checkpoint: CheckpointRef, dtype: str = "float32") -> Any:
    """Load a checkpoint's weights, on the CPU, in evaluation mode."""
    # Imported here and below: what only names checkpoints does not wait for torch.
    import torch
    from transformers import AutoModelForCausalLM

    quieten()
    return AutoModelForCausalLM.from_pretrained(
        checkpoint.uri,
        dtype=getattr(torch, dtype),
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
    )


def load_tokenizer(checkpoint: CheckpointRef) -> Any:
    """Load a checkpoint's tokenizer with its chat template."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(
        checkpoint.uri, local_files_only=True, trust_remote_code=False
    )


def publish_model(
    model: Any, tokenizer: Any, home: Path, about: Mapping[str, Any]
) -> CheckpointRef:
    """Write a model and its tokenizer as a checkpoint of `home`.

    Args:
        model: a transformers model.
        tokenizer: its tokenizer.
        home: folder that holds `checkpoints/`.
        about: what the manifest says of it; no part of the id.

    Raises:
        InputProblem: a checkpoint of this content stands already and was altered.
        WorkProblem: the disk is full.
    """
    checkpoints = home.resolve() / "checkpoints"
    fresh = checkpoints / f"{UNFINISHED}model-{uuid.uuid4().hex[:8]}"
    with explain_full_disk(checkpoints):
        fresh.mkdir(parents=True)
        try:
            write_model(model, tokenizer, fresh)
            digests = {file.name: file_digest(file) for file in checked_files(fresh)}
            identity = checkpoint_id(digests)
            target = _folder(home, identity)
            _write_manifest(fresh, identity, digests, about)
            for file in fresh.iterdir():
                sync(file)
            sync(fresh)
            put_in_place(fresh, target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return open_checkpoint(target)


def write_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write a model and its tokenizer as files that say nothing of where they were made."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for name in ("config.json", "tokenizer_config.json"):
        file = folder / name
        fields = json.loads(file.read_text(encoding="utf-8"))
        kept = {key: value for key, value in fields.items() if key not in FOREIGN_KEYS}
        text = json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False)
        file.write_text(text + "\n", encoding="utf-8")
    for file in folder.iterdir():
        # Weights are saved readable by their owner only, which a copy in a container would keep.
        file.chmod(0o644)


def _folder(home: Path, identity: str) -> Path:
    return home.resolve() / "checkpoints" / identity


def _write_manifest(
    folder: Path, identity: str, digests: Mapping[str, str], about: Mapping[str, Any]
) -> None:
    manifest = {"id": identity, "files": dict(digests), "about": dict(about)}
    write_json(folder / MANIFEST, manifest)


def _own_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a checkpoint of this program; None where there is none or another's."""
    file = folder / MANIFEST
    if not file.is_file():
        return None
    try:
        manifest = read_json(file)
    except ValueError as error:
        raise InputProblem(
            f"{file}: not valid JSON ({error}). The manifest was damaged; remove it to have the "
            "folder taken as a new model, or restore it from a copy."
        ) from error
    return manifest if {"id", "files", "about"} <= manifest.keys() else None


def _verify(folder: Path, manifest: Mapping[str, Any]) -> None:
    mend = (
        "Restore it from a copy, or remove the folder and run the experiment again to make it "
        f"anew; to use an altered model knowingly, remove {MANIFEST} from it and admit it as a new "
        "one."
    )
    for name, digest in manifest["files"].items():
        if not (folder / name).is_file():
            raise InputProblem(f"{folder / name}: this file of the checkpoint is missing. {mend}")
        if file_digest(folder / name) != digest:
            raise InputProblem(
                f"{folder / name}: this file was altered after the checkpoint was made. {mend}"
            )
    if checkpoint_id(manifest["files"]) != manifest["id"]:
        raise InputProblem(f"{folder / MANIFEST}: the manifest was altered. {mend}")
