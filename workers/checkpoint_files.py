"""What a folder must hold to be taken as a checkpoint, and where a configured model is found."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError, safe_open

from configs.loading import expand_path
from workers.problems import InputProblem

SHIPPED = Path(__file__).parent / "microworld" / "generation0"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
# Everything beside the weights that decides what a model reads and says.
SIDE_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    *TOKENIZER_FILES,
)
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
# What the libraries note about where a model was loaded from: placement, and not content.
FOREIGN_KEYS = frozenset(
    {"name_or_path", "_name_or_path", "_model_name_or_path", "is_local", "local_files_only"}
)
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def find_source(path: str, revision: str | None) -> tuple[Path, dict[str, Any]]:
    """Folder of a configured model, and what a manifest should say of where it came from.

    Raises:
        InputProblem: there is no such folder, or the hub does not give the model.
        ConfigProblem: the path needs an environment variable that is not set.
    """
    if path == "microworld":
        return _existing(SHIPPED, "this installation lacks the shipped model; install it again"), {
            "source": "microworld"
        }
    folder = expand_path(path, "model.path")
    if folder.is_dir():
        return folder, {"source": "folder"}
    if folder.is_file() and folder.suffix == ".gguf":
        raise InputProblem(
            f"model.path: {folder} is a GGUF file. Turn it into a checkpoint folder first with "
            f"`palimpsest import-gguf {folder} FOLDER`, and name the folder."
        )
    if folder.exists():
        raise InputProblem(f"model.path: {folder} is a file; name the folder that it stands in")
    if not _HUB_ID.fullmatch(path) or path.startswith("."):
        raise InputProblem(
            f"model.path: there is no folder {folder}. Give a folder with safetensors weights, an "
            "id of the hub (owner/name), or `microworld` for the shipped model."
        )
    return _from_hub(path, revision)


def _existing(folder: Path, fix: str) -> Path:
    if not folder.is_dir():
        raise InputProblem(f"{folder}: no such folder; {fix}")
    return folder


def _from_hub(name: str, revision: str | None) -> tuple[Path, dict[str, Any]]:
    where = f"model.path: {name!r} is no folder here, and the hub"
    try:
        folder = Path(
            snapshot_download(
                name, revision=revision, allow_patterns=["*.safetensors", INDEX, *SIDE_FILES]
            )
        )
    except GatedRepoError as error:
        raise InputProblem(
            f"{where} asks you to accept its terms first: do so on its page, then log in with "
            "`hf auth login`."
        ) from error
    except RevisionNotFoundError as error:
        raise InputProblem(
            f"{where} has no revision {revision!r} of it; give another model.revision, or none."
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise InputProblem(
            f"{where} does not know it. Check the spelling, log in with `hf auth login` if it is "
            "private, or give a folder with safetensors weights."
        ) from error
    except (OfflineModeIsEnabled, LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise InputProblem(
            f"{where} cannot be reached ({type(error).__name__}) and it is not in the local cache. "
            "Connect and run again, or give a folder with safetensors weights."
        ) from error
    return folder, {"source": "hub", "name": name, "commit": folder.name}


def checked_files(folder: Path) -> list[Path]:
    """The files that make up the checkpoint in a folder, by name; nothing else is ever copied.

    Raises:
        InputProblem: the folder is not a whole safetensors checkpoint.
    """
    if not folder.is_dir():
        raise InputProblem(f"{folder}: no such folder; give one with safetensors weights")
    config = _json(folder / "config.json")
    tokenizer_config = folder / "tokenizer_config.json"
    for fields, name in (
        (config, "config.json"),
        (_json(tokenizer_config) if tokenizer_config.is_file() else {}, "tokenizer_config.json"),
    ):
        if "auto_map" in fields:
            raise InputProblem(
                f"{folder / name}: `auto_map` asks for code that comes with the model, and such "
                "code is never run here. Use a model whose architecture transformers knows, or "
                "convert this one to such an architecture and remove `auto_map`."
            )
    weights = _weights(folder)
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise InputProblem(
            f"{folder}: there is no tokenizer (none of {', '.join(TOKENIZER_FILES)}). Copy the "
            "tokenizer's files of the same model into the folder."
        )
    side = [folder / name for name in SIDE_FILES if (folder / name).is_file()]
    return sorted({*weights, *side})


def _json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise InputProblem(
            f"{file}: no such file. A checkpoint folder holds config.json, safetensors weights and "
            "a tokenizer; give such a folder, or download the model anew."
        )
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputProblem(
            f"{file}: not valid JSON ({error}). Download or copy the file anew."
        ) from error
    if not isinstance(fields, dict):
        raise InputProblem(f"{file}: expected a JSON object. Download or copy the file anew.")
    return fields


def _weights(folder: Path) -> list[Path]:
    """The weights' files, and the index where they are in several."""
    if (folder / WEIGHTS).is_file():
        _tensors(folder / WEIGHTS)
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        return _sharded(folder)
    pickles = sorted(file.name for pattern in PICKLES for file in folder.glob(pattern))
    if pickles:
        raise InputProblem(
            f"{folder / pickles[0]}: the weights are a pickle, which can run code when it is read. "
            "Convert them to safetensors where you trust them (load the model with transformers "
            "and call save_pretrained), then give that folder."
        )
    if (folder / "adapter_model.safetensors").is_file():
        raise InputProblem(
            f"{folder}: only an adapter's weights are here. Merge the adapter into its base model "
            "(peft's merge_and_unload, then save_pretrained) and give that folder."
        )
    raise InputProblem(
        f"{folder}: there are no weights ({WEIGHTS} or {INDEX}). Give a folder with safetensors "
        "weights, or download the model anew."
    )


def _sharded(folder: Path) -> list[Path]:
    index = _json(folder / INDEX)
    wanted: dict[str, str] = index.get("weight_map", {})
    names = sorted(set(wanted.values()))
    if not names or any(Path(name).name != name for name in names):
        raise InputProblem(
            f"{folder / INDEX}: `weight_map` does not name files of this folder. Download the "
            "index anew."
        )
    held: set[str] = set()
    for name in names:
        if not (folder / name).is_file():
            raise InputProblem(
                f"{folder / name}: the index {INDEX} names this file of weights, and it is "
                "missing. Download or copy it anew."
            )
        held |= _tensors(folder / name)
    missing = sorted(wanted.keys() - held)
    if missing:
        raise InputProblem(
            f"{folder}: {len(missing)} tensors that {INDEX} names are in no file (the first is "
            f"{missing[0]}). Download weights and index anew."
        )
    return [folder / INDEX, *(folder / name for name in names)]


def _tensors(file: Path) -> set[str]:
    """Names of the tensors in a file of weights, whose header and length are checked."""
    try:
        with safe_open(file, framework="pt") as held:
            return set(held.keys())
    except SafetensorError as error:
        raise InputProblem(
            f"{file}: not a whole safetensors file ({error}); it was cut off or is damaged. "
            "Download or copy it anew."
        ) from error


def quieten() -> None:
    """Stop transformers from showing a bar a file in the middle of the program's own lines."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def check_loads(folder: Path) -> None:
    """Check that transformers knows the model, has all its weights, and can end a reply.

    Raises:
        InputProblem: it does not.
    """
    # Imported here: a run that reuses everything looks at files alone, and waits for no torch.
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    quieten()
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype="auto",
            device_map=torch.device("meta"),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (ValueError, KeyError, OSError, ImportError, AttributeError, RuntimeError) as error:
        raise InputProblem(
            f"{folder}: transformers cannot load it as a causal language model "
            f"({str(error).strip().splitlines()[0][:300]}). Give a text-generation model that the "
            "installed transformers knows, or mend the named file."
        ) from error
    _, report = loaded
    wrong = sorted([*report["missing_keys"], *(key[0] for key in report["mismatched_keys"])])
    if wrong:
        raise InputProblem(
            f"{folder}: config.json asks for {len(wrong)} tensors that the weights lack or hold in "
            f"another shape (the first is {wrong[0]}). Give the weights and the config of one "
            "model."
        )
    if tokenizer.eos_token_id is None:
        raise InputProblem(
            f"{folder / 'tokenizer_config.json'}: the tokenizer has no `eos_token`, so that no "
            "reply could end. Name the model's end token there."
        )
