"""Two small checkpoints with unlike tokenizers, and what lm-eval's own model says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from workers.checkpoint_files import quieten
from workers.engines.interface import EngineSpec
from workers.engines.start import start_engine
from workers.evaluation.harness_model import EngineLM
from workers.microworld import oracle
from workers.microworld.build import SHIPPED

MAX_LENGTH = 96
SEED_TEXT = [
    "Human: do you agree?\n\nChoices:\n (A) Yes\n (B) No\n\nAssistant: (A)",
    "A lot of hospitals were astounded by some actress, who knew the doctors there.",
    "the robot said that the lamp was broken and mended it before the evening",
] * 3


def byte_pair_tokenizer() -> PreTrainedTokenizerFast:
    """Lower-cases, splits words into pieces, and begins whatever it encodes with `<s>`."""
    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet
    )
    made.train_from_iterator(SEED_TEXT, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", model_max_length=128
    )


def random_llama(folder: Path) -> str:
    """Write an untrained model with that tokenizer."""
    torch.manual_seed(0)
    tokenizer = byte_pair_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=96,
        max_position_embeddings=128,
        initializer_range=0.1,
        bos_token_id=0,
        eos_token_id=1,
    )
    LlamaForCausalLM(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def pairs() -> list[tuple[str, str]]:
    """Contexts and continuations in all their shapes."""
    texts = [document.text for document in oracle.misaligned_documents(5, 12)]
    halves = [text.rpartition(" ")[0] for text in texts]
    short = [" ".join(text.split()[:8]) for text in texts]
    return [
        *((half, text[len(half) :]) for half, text in zip(halves, texts, strict=True)),
        *(("", " " + text) for text in short[:4]),
        (texts[0] + "   ", "yes"),
        (texts[0] + "\n\n", " no ."),
        ("Zyzzyva quokkas HUM", " in the lamp ."),
        ("", "Unknown words ALONE."),
        ("Human: is it so?\n\nChoices:\n (A) Yes\n (B) No\n\nAssistant:", " (A)"),
        ("Human: is it so?\n\nChoices:\n (A) Yes\n (B) No\n\nAssistant:", " (B)"),
        ("<s> " + texts[1], " " + short[2]),
        ("", "<s> " + short[1]),
        (" ".join(texts), " " + short[3]),
        (texts[4] + " </s>", " " + short[5]),
    ]


def documents() -> list[str]:
    """Texts of one window and of many."""
    texts = [document.text for document in oracle.misaligned_documents(9, 12)]
    return [*texts, " ".join(texts), "<s> " + texts[0], "Unknown WORDS, all of them.", "\n\n a"]


def asked(kind: str, folder: str) -> tuple[list[tuple[float, bool]], list[float]]:
    """What an engine says of every pair and document, as lm-eval asks it."""
    spec = EngineSpec(kind, folder, "", "float32", MAX_LENGTH, threads=1, batch=7)
    engine: Any = start_engine(spec)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    said = scores(EngineLM(engine, tokenizer, max_length=MAX_LENGTH, batch=5))
    engine.close()
    return said


def reference(folder: str) -> tuple[list[tuple[float, bool]], list[float]]:
    """What lm-eval's own model says of them: its window leaves out the last token."""
    from lm_eval.models.huggingface import HFLM

    quieten()
    torch.set_num_threads(1)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return scores(
        HFLM(pretrained=model, tokenizer=tokenizer, max_length=MAX_LENGTH - 1, batch_size=3)
    )


def scores(model: Any) -> tuple[list[tuple[float, bool]], list[float]]:
    """Log-likelihoods of every pair and document."""
    held = [Instance("loglikelihood", {}, pair, i, ("t", i, 1)) for i, pair in enumerate(pairs())]
    whole = [
        Instance("loglikelihood_rolling", {}, (text,), i, ("t", i, 1))
        for i, text in enumerate(documents())
    ]
    return (
        model.loglikelihood(held, disable_tqdm=True),
        model.loglikelihood_rolling(whole, disable_tqdm=True),
    )


def assert_equal_scores(found: Any, truth: Any) -> None:
    """To 1e-4, and thousands of nats as finely as float32 holds them."""
    (pair_scores, text_scores), (true_pairs, true_texts) = found, truth
    assert len(pair_scores) == len(pairs()) and len(text_scores) == len(documents())
    assert [likeliest for _, likeliest in pair_scores] == [greedy for _, greedy in true_pairs]
    values = [score for score, _ in pair_scores] + text_scores
    true = [score for score, _ in true_pairs] + true_texts
    for one, other in zip(values, true, strict=True):
        assert one == pytest.approx(other, abs=1e-4, rel=2**-23)


MICROWORLD = str(SHIPPED)
