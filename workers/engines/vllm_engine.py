"""vLLM, on a GPU or on a CPU. The only module that imports it."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, cast

import torch
from vllm import LLM, SamplingParams
from vllm.distributed import cleanup_dist_env_and_memory
from vllm.inputs import TokensPrompt
from vllm.outputs import RequestOutput

from workers.engines.interface import EngineSpec, Reply, Sampling, Usage


def prepare_environment(spec: EngineSpec, cores: Sequence[int]) -> None:
    """Set what vLLM reads from the environment; call it before the first engine of a process.

    Args:
        spec: the engine to come.
        cores: CPU cores that this engine's threads are bound to; unused on a GPU.
    """
    # In process, an engine is up in a third of the time, and its actor is its isolation already.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ["VLLM_CPU_KVCACHE_SPACE"] = str(max(1, round(spec.memory_gb)))
    os.environ["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(map(str, cores)) or "auto"


class VllmEngine:
    """A vLLM engine in this process, with prefix caching."""

    name = "vllm"

    def __init__(self, spec: EngineSpec) -> None:
        """Load the weights and reserve the key-value cache."""
        self.version = _installed_version()
        self.usage = Usage()
        # vLLM compiles a helper or two even then, for which a machine would need a C++ compiler.
        torch.compiler.set_stance("force_eager" if spec.enforce_eager else "default")
        self._llm: LLM | None = LLM(
            model=spec.checkpoint_uri,
            dtype=cast("Literal['float32', 'bfloat16', 'float16']", spec.dtype),
            max_model_len=spec.max_length,
            max_num_seqs=spec.batch,
            tensor_parallel_size=spec.tensor_parallel,
            gpu_memory_utilization=spec.gpu_memory_share,
            enforce_eager=spec.enforce_eager,
            enable_prefix_caching=True,
            # On a CPU, a seeded sample after half a prefill fails: its generator has no offset.
            enable_chunked_prefill=torch.cuda.is_available(),
            # Prompts and replies are token ids; sampling is ours to state, not the checkpoint's.
            skip_tokenizer_init=True,
            generation_config="vllm",
            trust_remote_code=False,
            load_format="safetensors",
            disable_log_stats=True,
            max_logprobs=64,
            seed=0,
        )

    def choices(
        self, prompts: Sequence[Sequence[int]], answer_ids: Sequence[int]
    ) -> list[list[float]]:
        """Log-probabilities of each answer token as the next token, by one prefill a prompt."""
        ids = list(answer_ids)
        params = SamplingParams(
            max_tokens=1, temperature=0.0, logprob_token_ids=ids, detokenize=False
        )
        rows: list[list[float]] = []
        for output in self._run(prompts, params):
            found = (output.outputs[0].logprobs or [{}])[0]
            rows.append([found[token].logprob for token in ids])
        return rows

    def continuation_scores(
        self, sequences: Sequence[Sequence[int]], lengths: Sequence[int]
    ) -> list[tuple[list[float], bool]]:
        """Score the last tokens of sequences, given those before them.

        Args:
            sequences: token ids, at most `max_length` each.
            lengths: how many of each sequence's last tokens are scored; at least 1, and not all.

        Returns:
            Log-probabilities in nats, and whether each of those tokens is the likeliest.
        """
        # The last token is scored as one that could follow: a prompt must leave room for a reply.
        params = [
            SamplingParams(
                max_tokens=1,
                temperature=0.0,
                prompt_logprobs=0 if length > 1 else None,
                logprob_token_ids=[sequence[-1]],
                detokenize=False,
            )
            for sequence, length in zip(sequences, lengths, strict=True)
        ]
        rows: list[tuple[list[float], bool]] = []
        outputs = self._run([sequence[:-1] for sequence in sequences], params)
        for output, sequence, length in zip(outputs, sequences, lengths, strict=True):
            done, last = output.outputs[0], sequence[-1]
            before = (output.prompt_logprobs or [])[len(sequence) - length :]
            found = [
                (logprobs or {})[token]
                for logprobs, token in zip(before, sequence[-length:-1], strict=True)
            ]
            likeliest = done.token_ids[0] == last and all(each.rank == 1 for each in found)
            logprob = (done.logprobs or [{}])[0][last].logprob
            rows.append(([*(each.logprob for each in found), logprob], likeliest))
        return rows

    def generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Reply]:
        """Replies in the prompts' order."""
        seeds = sampling.seeds or (None,) * len(prompts)
        params = [
            SamplingParams(
                max_tokens=sampling.max_tokens,
                temperature=sampling.temperature,
                seed=seed,
                stop_token_ids=list(sampling.stop_ids),
                detokenize=False,
            )
            for seed in seeds
        ]
        replies: list[Reply] = []
        for output in self._run(prompts, params):
            done = output.outputs[0]
            ids = tuple(done.token_ids)
            finished = done.finish_reason == "stop"
            if ids and ids[-1] in sampling.stop_ids:
                ids = ids[:-1]
            replies.append(Reply(ids, finished))
        return replies

    def close(self) -> None:
        """Give back the memory, so that the process can load other weights."""
        self._llm = None
        gc.collect()
        cleanup_dist_env_and_memory()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _run(
        self,
        prompts: Sequence[Sequence[int]],
        params: SamplingParams | list[SamplingParams],
    ) -> list[RequestOutput]:
        if self._llm is None:
            raise RuntimeError("this engine is closed")
        inputs = [TokensPrompt(prompt_token_ids=list(prompt)) for prompt in prompts]
        outputs = self._llm.generate(inputs, params, use_tqdm=False)
        self.usage.calls += len(outputs)
        self.usage.prompt_tokens += sum(len(prompt) for prompt in prompts)
        self.usage.cached_tokens += sum(output.num_cached_tokens or 0 for output in outputs)
        self.usage.output_tokens += sum(len(output.outputs[0].token_ids) for output in outputs)
        return outputs


def _installed_version() -> str:
    for name in ("vllm", "vllm-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    raise PackageNotFoundError("vllm")
