"""A tiny untrained model and a tiny corpus."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from workers.corpora.store import CorpusRef, CorpusWriter
from workers.microworld.generator import generate_documents
from workers.microworld.tokenizer import build_tokenizer
from workers.microworld.world import WorldParams
from workers.records import Document, text_digest


def tiny_llama(seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(build_tokenizer()),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            intermediate_size=48,
            max_position_embeddings=256,
            initializer_range=0.06,
            bos_token_id=264,
            eos_token_id=265,
            pad_token_id=263,
        )
    ).eval()


def documents(count: int, suffix: str = "") -> list[Document]:
    found = generate_documents(WorldParams(), 0, count)
    return [
        Document(f"d{i:05d}", each.text + suffix, text_digest(each.text + suffix), "microworld")
        for i, each in enumerate(found)
    ]


def written(home: Path, rows: list[Document], shard_documents: int = 20) -> CorpusRef:
    with CorpusWriter(home, shard_documents) as writer:
        for row in rows:
            writer.add(row)
        return writer.finish()
