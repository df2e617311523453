"""GGUF: a quantised model of one file, turned into a safetensors checkpoint folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

from workers.checkpoint_files import check_loads, checked_files
from workers.checkpoints import write_model
from workers.problems import InputProblem, WorkProblem
from workers.storage import whole_folder

MAGIC = b"GGUF"
# Any text does: its greedy continuation must be the same before and after saving.
PROBE = "The capital of France is"
PROBE_TOKENS = 16
# Names of pre-tokenizers that split every digit off before GPT-2's rule is applied.
DIGIT_SPLITTING = ("smollm",)
_TURN = re.compile(r"<\|?\w+\|?>")


def import_gguf(source: Path, out: Path, chat_template: Path | None = None) -> Path:
    """Write a GGUF file's weights, widened to float32, with tokenizer and chat template.

    The folder is loaded again and must continue a text, greedily, as the GGUF model does.

    Args:
        source: the GGUF file.
        out: folder to make.
        chat_template: a Jinja file, for a GGUF that holds no template or another than is wanted.

    Returns:
        The folder.

    Raises:
        InputProblem: the file is no GGUF of a causal language model that transformers can read,
            holds no chat template, or `out` exists.
        WorkProblem: the written model says something else, or the disk is full.
    """
    if out.exists():
        raise InputProblem(f"{out}: exists already; name a folder that does not")
    _check_magic(source)
    template = _template(chat_template)
    tokenizer, model = _read(source)
    _split_digits(source, tokenizer)
    tokenizer.chat_template = template or tokenizer.chat_template
    if not tokenizer.chat_template:
        raise InputProblem(
            f"{source}: the file holds no chat template. Give the model's own, a Jinja file, with "
            "--chat-template."
        )
    _check_vocabulary(source, tokenizer)
    ids = tokenizer(PROBE, return_tensors="pt")["input_ids"]
    said = _continued(model, ids)
    with whole_folder(out.resolve()) as fresh:
        write_model(_plain(model), tokenizer, fresh)
        checked_files(fresh)
        check_loads(fresh)
        written = AutoModelForCausalLM.from_pretrained(
            fresh, dtype=torch.float32, local_files_only=True
        )
        tokens = AutoTokenizer.from_pretrained(fresh, local_files_only=True)
        again = tokens(PROBE, return_tensors="pt")["input_ids"]
        if again.tolist() != ids.tolist() or _continued(written, again) != said:
            raise WorkProblem(
                f"{source}: the written checkpoint does not say what the GGUF model says, so "
                "nothing was kept. This architecture does not convert faithfully with the "
                "installed transformers; get the model's safetensors weights instead."
            )
    return out.resolve()


def _check_magic(source: Path) -> None:
    if not source.is_file():
        raise InputProblem(f"{source}: no such file")
    with source.open("rb") as file:
        magic = file.read(len(MAGIC))
    if magic != MAGIC:
        raise InputProblem(f"{source}: not a GGUF file (it begins with other bytes)")


def _template(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputProblem(f"--chat-template {file}: cannot be read: {error}") from error


def _read(source: Path) -> tuple[Any, Any]:
    where = {"gguf_file": source.name, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.parent, **where)
        model = AutoModelForCausalLM.from_pretrained(source.parent, dtype=torch.float32, **where)
    except (
        ValueError,
        KeyError,
        OSError,
        IndexError,
        AttributeError,
        NotImplementedError,
    ) as error:
        raise InputProblem(
            f"{source}: transformers cannot read this GGUF file "
            f"({type(error).__name__}: {str(error)[:300]}). It is cut off, or of an architecture "
            "or quantisation that it does not know; get the model's safetensors weights instead."
        ) from error
    return tokenizer, model


def _split_digits(source: Path, tokenizer: Any) -> None:
    """Split digits off where the model was trained so, which transformers does not read."""
    field = GGUFReader(source).get_field("tokenizer.ggml.pre")
    if field is not None and field.contents() in DIGIT_SPLITTING:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )


def _plain(model: Any) -> Any:
    """The same weights in a model that knows nothing of GGUF, which could not be saved."""
    config = model.config.__class__.from_dict(
        {k: v for k, v in model.config.to_dict().items() if k != "quantization_config"}
    )
    plain: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(model.state_dict())
    return plain


def _check_vocabulary(source: Path, tokenizer: Any) -> None:
    """Check that the template's turn marks are single tokens, as the model learned them."""
    for mark in sorted(set(_TURN.findall(tokenizer.chat_template))):
        if mark.startswith("<|") and len(tokenizer.encode(mark, add_special_tokens=False)) != 1:
            raise InputProblem(
                f"{source}: the chat template writes {mark}, which is no token of this model. Give "
                "the model's own template with --chat-template."
            )


@torch.inference_mode()
def _continued(model: Any, ids: torch.Tensor) -> list[int]:
    """The likeliest next tokens, one after another."""
    for _ in range(PROBE_TOKENS):
        logits = model(input_ids=ids, use_cache=False).logits
        ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
    return ids[0].tolist()
