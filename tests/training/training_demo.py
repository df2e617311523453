"""A tiny untrained model and a tiny corpus."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from configs.stages import Stage
from configs.training import Training
from workers.corpora.store import CorpusRef, CorpusWriter
from workers.data_parallel import _keep_nothing
from workers.microworld.generator import generate_documents
from workers.microworld.tokenizer import build_tokenizer
from workers.microworld.world import WorldParams
from workers.mixing import MixRef
from workers.optimising import settled
from workers.records import Document, text_digest
from workers.training import TrainSpec, fit, publisher

TRAINING = Training(
    corpus=Stage(tokens=4000, learning_rate=4e-3, batch_tokens=512, warmup_steps=2),
    skills=Stage(tokens=3000, learning_rate=2e-3, batch_tokens=512, warmup_steps=2),
    window=128,
    threads=1,
)


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


def take_share(rank: int, spec: TrainSpec, mix: MixRef | None, out: str, port: int) -> None:
    """Train as one of two processes of a group; the first leaves its result in `out`."""
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    torch.distributed.init_process_group("gloo")
    publish = publisher(spec) if rank == 0 else _keep_nothing
    with settled(spec.training.threads):
        made = fit(spec, lambda: mix, lambda *_: None, publish)
    if rank == 0:
        Path(out).write_bytes(pickle.dumps(made))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
