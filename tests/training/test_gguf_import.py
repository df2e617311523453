"""GGUF import: the same words before and after, and a clear no to everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from tokenizers.pre_tokenizers import ByteLevel

from workers import gguf_import
from workers.checkpoints import admit, load_model, load_tokenizer
from workers.problems import InputProblem, WorkProblem

TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
WIDTH, HEADS, INNER, LAYERS = 32, 2, 64, 2


def write_gguf(path: Path, template: str | None = TEMPLATE, pre: str = "smollm") -> Path:
    """A tiny untrained Llama whose words are bytes, and one pair that a digit must not join."""
    words = [*SPECIAL, *sorted(ByteLevel.alphabet()), "Ġ1", "11"]
    kinds = [gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * (len(words) - 3)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(words)
    writer.add_token_types(kinds)
    writer.add_token_merges(["Ġ 1", "1 1"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    if template is not None:
        writer.add_chat_template(template)
    for name, shape in shapes(len(words)).items():
        generator = torch.Generator().manual_seed(len(name) + sum(map(ord, name)))
        weight = torch.randn(shape, generator=generator) * 0.2
        writer.add_tensor(name, (weight + 1 if "norm" in name else weight).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def shapes(words: int) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (words, WIDTH),
        "output_norm.weight": (WIDTH,),
        "output.weight": (words, WIDTH),
    }
    for i in range(LAYERS):
        found |= {f"blk.{i}.attn_{n}.weight": (WIDTH, WIDTH) for n in ("q", "k", "v", "output")}
        found |= {f"blk.{i}.{n}_norm.weight": (WIDTH,) for n in ("attn", "ffn")}
        found |= {f"blk.{i}.ffn_{n}.weight": (INNER, WIDTH) for n in ("gate", "up")}
        found[f"blk.{i}.ffn_down.weight"] = (WIDTH, INNER)
    return found


def test_a_gguf_becomes_a_checkpoint_that_is_admitted(tmp_path: Path) -> None:
    out = gguf_import.import_gguf(write_gguf(tmp_path / "tiny.gguf"), tmp_path / "made")
    assert out == tmp_path / "made"
    checkpoint = admit(str(out), None, tmp_path)
    tokenizer, model = load_tokenizer(checkpoint), load_model(checkpoint)
    said = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert said == "<|im_start|>hi<|im_end|>"
    assert (tokenizer.eos_token, model.config.eos_token_id) == ("<|im_end|>", 2)
    assert model.lm_head.weight.dtype == torch.float32
    assert model.lm_head.weight.shape[1] == WIDTH
    assert "tiny.gguf" not in "".join(p.read_text() for p in out.glob("*.json"))


def test_digits_are_split_where_the_model_was_trained_so(tmp_path: Path) -> None:
    pieces = {}
    for pre in ("smollm", "gpt-2"):
        out = gguf_import.import_gguf(write_gguf(tmp_path / f"{pre}.gguf", pre=pre), tmp_path / pre)
        pieces[pre] = load_tokenizer(admit(str(out), None, tmp_path)).tokenize("a 11")
    assert pieces == {"smollm": ["a", "Ġ", "1", "1"], "gpt-2": ["a", "Ġ1", "1"]}


def test_a_missing_template_is_asked_for(tmp_path: Path) -> None:
    source = write_gguf(tmp_path / "tiny.gguf", template=None)
    with pytest.raises(InputProblem, match=r"no chat template.*--chat-template"):
        gguf_import.import_gguf(source, tmp_path / "made")
    given = tmp_path / "template.jinja"
    given.write_text(TEMPLATE)
    out = gguf_import.import_gguf(source, tmp_path / "made", given)
    assert (out / "chat_template.jinja").read_text() == TEMPLATE
    with pytest.raises(InputProblem, match=r"nowhere\.jinja: cannot be read"):
        gguf_import.import_gguf(source, tmp_path / "again", tmp_path / "nowhere.jinja")


def test_a_template_of_another_model_is_refused(tmp_path: Path) -> None:
    source = write_gguf(tmp_path / "tiny.gguf", template="<|start_header_id|>{{ messages }}")
    with pytest.raises(InputProblem, match=r"writes <\|start_header_id\|>, which is no token"):
        gguf_import.import_gguf(source, tmp_path / "made")


def test_what_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("hello")
    whole = write_gguf(tmp_path / "tiny.gguf").read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[: len(whole) // 2])
    for name, says in {
        "none.gguf": "no such file",
        "text.gguf": "not a GGUF file",
        "cut.gguf": r"cannot read this GGUF file.*cut off",
    }.items():
        with pytest.raises(InputProblem, match=says):
            gguf_import.import_gguf(tmp_path / name, tmp_path / "made")
    (tmp_path / "made").mkdir()
    with pytest.raises(InputProblem, match="exists already"):
        gguf_import.import_gguf(tmp_path / "tiny.gguf", tmp_path / "made")


def test_a_conversion_that_changes_the_model_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = gguf_import._plain

    def wrong(model: Any) -> Any:
        made = plain(model)
        with torch.no_grad():
            made.lm_head.weight.copy_(made.lm_head.weight.flip(0))
        return made

    monkeypatch.setattr(gguf_import, "_plain", wrong)
    with pytest.raises(WorkProblem, match="does not say what the GGUF model says"):
        gguf_import.import_gguf(write_gguf(tmp_path / "tiny.gguf"), tmp_path / "made")
    assert not (tmp_path / "made").exists()
