"""What users would run without a tool: one process that asks vLLM, or transformers, itself."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from benchmarks.throughput.copy_model import benchmark_prompts
from workers.engines.interface import EngineSpec
from workers.microworld.world import PRINCIPLES

LONGEST = 240
"""Prompt and reply together, in tokens, for all."""
REPLY = 96
"""Longest reply, for all; no document is as long."""
BATCH = 256
PADDED_BATCH = 64
"""Of transformers: larger ones were no quicker, for all wait for the longest."""
NO = "no"


class Plain:
    """A worker process with a model of its own, on one core, that rewrites texts."""

    def __init__(self, start: Callable[[str], None], model: str) -> None:
        """Start the process; `start` loads the model there."""
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(
            1, mp_context=context, initializer=start, initargs=(model,)
        )

    def do(self, work: Callable[[Sequence[str]], list[str]], texts: Sequence[str]) -> list[str]:
        """Let the process do something with texts."""
        return self._pool.submit(work, list(texts)).result()

    def close(self) -> None:
        """End the process."""
        self._pool.shutdown()


_model: Any = None
_prompts: Any = None


def start_vllm(model: str) -> None:
    """Load vLLM with the settings that the product's engine has."""
    global _model, _prompts
    core = min(os.sched_getaffinity(0))
    from workers.engines.vllm_engine import prepare_environment

    spec = EngineSpec("vllm", model, "", "float32", LONGEST, batch=BATCH)
    prepare_environment(spec, (core,))
    from vllm import LLM

    _prompts = benchmark_prompts()
    _model = LLM(
        model=model,
        dtype="float32",
        max_model_len=LONGEST,
        max_num_seqs=BATCH,
        enforce_eager=True,
        skip_tokenizer_init=True,
        generation_config="vllm",
        enable_chunked_prefill=False,
        use_tqdm_on_load=False,
        disable_log_stats=True,
    )


def vllm_rewrites(texts: Sequence[str]) -> list[str]:
    """Rewrite every text whole."""
    asked = [_prompts.revise(text, PRINCIPLES, "rewrite") for text in texts]
    return [_prompts.tokenizer.decode(reply) for reply in _written(asked, REPLY)]


def vllm_rates_and_rewrites(texts: Sequence[str]) -> list[str]:
    """Ask about every text and principle, and rewrite whole what is answered with no."""
    asked = [_prompts.rate(text, each) for text in texts for each in PRINCIPLES]
    said = [_prompts.tokenizer.decode(reply) for reply in _written(asked, 1)]
    width = len(PRINCIPLES)
    failing = [i for i in range(len(texts)) if NO in said[i * width : (i + 1) * width]]
    made = dict(zip(failing, vllm_rewrites([texts[i] for i in failing]), strict=True))
    return [made.get(i, text) for i, text in enumerate(texts)]


def _written(asked: Sequence[list[int]], longest: int) -> list[list[int]]:
    from vllm import SamplingParams
    from vllm.inputs import TokensPrompt

    end = _prompts.end_id
    params = SamplingParams(
        max_tokens=longest, temperature=0.0, stop_token_ids=[end], detokenize=False
    )
    inputs = [TokensPrompt(prompt_token_ids=ids) for ids in asked]
    outputs = _model.generate(inputs, params, use_tqdm=False)
    return [[t for t in output.outputs[0].token_ids if t != end] for output in outputs]


def start_transformers(model: str) -> None:
    """Load the model into transformers, on one thread of one core."""
    global _model, _prompts
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    _prompts = benchmark_prompts()
    _model = AutoModelForCausalLM.from_pretrained(
        model, local_files_only=True, trust_remote_code=False, dtype=torch.float32
    ).eval()


def transformers_rewrites(texts: Sequence[str]) -> list[str]:
    """Rewrite every text whole with `generate`, in batches padded on the left."""
    import torch

    made: list[str] = []
    for start in range(0, len(texts), PADDED_BATCH):
        some = texts[start : start + PADDED_BATCH]
        asked = [_prompts.revise(text, PRINCIPLES, "rewrite") for text in some]
        width = max(map(len, asked))
        pad = _prompts.end_id
        ids = torch.tensor([[pad] * (width - len(each)) + each for each in asked])
        mask = torch.tensor([[0] * (width - len(each)) + [1] * len(each) for each in asked])
        with torch.inference_mode():
            out = _model.generate(
                ids,
                attention_mask=mask,
                max_new_tokens=REPLY,
                do_sample=False,
                eos_token_id=pad,
                pad_token_id=pad,
            )
        made += [
            _prompts.tokenizer.decode([t for t in row[width:].tolist() if t != pad]) for row in out
        ]
    return made
