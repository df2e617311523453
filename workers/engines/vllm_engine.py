"""vLLM, on a GPU or on a CPU. The only module that imports it."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, cast

import torch
from vllm import LLM, SamplingParams
from vllm.distributed import cleanup_dist_env_and_memory
from vllm.inputs import TokensPrompt
from vllm.outputs import RequestOutput

from workers.engines.drafting import PROPOSER, hinted
from workers.engines.interface import EngineSpec, Reply, Sampling, Usage, timed

LIKELIEST = 64
"""Tokens whose log-probabilities are asked for first, where named ones cannot be had."""
CPU_BLOCK = 32
"""Tokens of a prefix that are kept together, the fewest that vLLM can have on a CPU. By itself it
keeps 128, and of a document that is shorter nothing is shared by its ratings."""
PROBE = (1, 2, 3, 2, 3, 2, 3, 2)
PROBE_TOKENS = 4


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
        self.note = ""
        self._drafts = spec.draft_tokens > 0
        # vLLM compiles a helper or two even then, for which a machine would need a C++ compiler.
        torch.compiler.set_stance("force_eager" if spec.enforce_eager else "default")
        self._llm: LLM | None = None
        try:
            self._load(spec)
        except Exception as error:
            # What of speculation an engine supports changes from release to release, with the model
            # and with the machine. A fault of something else shows again without it.
            if not self._drafts:
                raise
            self.note = f"it refuses to draft from sources ({type(error).__name__}: {error})"[:300]
            self._drafts = False
            self.close()
            self._load(spec)

    def _load(self, spec: EngineSpec) -> None:
        self._llm = LLM(
            model=spec.checkpoint_uri,
            dtype=cast("Literal['float32', 'bfloat16', 'float16']", spec.dtype),
            max_model_len=spec.max_length,
            max_num_seqs=spec.batch,
            tensor_parallel_size=spec.tensor_parallel,
            gpu_memory_utilization=spec.gpu_memory_share,
            enforce_eager=spec.enforce_eager,
            enable_prefix_caching=True,
            block_size=None if torch.cuda.is_available() else CPU_BLOCK,
            # On a CPU, a seeded sample after half a prefill fails: its generator has no offset.
            enable_chunked_prefill=torch.cuda.is_available(),
            # Prompts and replies are token ids; sampling is ours to state, not the checkpoint's.
            skip_tokenizer_init=True,
            generation_config="vllm",
            trust_remote_code=False,
            load_format="safetensors",
            use_tqdm_on_load=False,
            disable_log_stats=True,
            max_logprobs=-1,
            seed=0,
            speculative_config=_drafting(spec) if self._drafts else None,
        )
        if self._drafts:
            # Some faults show at the first draft only. Ids this small are in every vocabulary.
            probe = Sampling(max_tokens=PROBE_TOKENS, sources=(PROBE,))
            self.generate([PROBE], probe)
            self.usage = Usage()

    def choices(
        self, prompts: Sequence[Sequence[int]], answer_ids: Sequence[int]
    ) -> list[list[float]]:
        """Log-probabilities of each answer token as the next token, by one prefill a prompt."""
        ids = list(answer_ids)
        if not self._drafts:
            params = SamplingParams(
                max_tokens=1, temperature=0.0, logprob_token_ids=ids, detokenize=False
            )
            return [[found[token] for token in ids] for found in self._first(prompts, params)]
        # An engine that drafts gives no log-probabilities of named tokens, but of the likeliest
        # ones, and answers are among them as a rule.
        rows: list[list[float]] = [[]] * len(prompts)
        left = list(range(len(prompts)))
        for likeliest in (LIKELIEST, -1):
            params = SamplingParams(
                max_tokens=1, temperature=0.0, logprobs=likeliest, detokenize=False
            )
            for i, found in zip(left, self._first([prompts[i] for i in left], params), strict=True):
                rows[i] = [found[token] for token in ids if token in found]
            left = [i for i in left if len(rows[i]) < len(ids)]
            if not left:
                break
        return rows

    def _first(
        self, prompts: Sequence[Sequence[int]], params: SamplingParams
    ) -> list[dict[int, float]]:
        """Log-probabilities of the tokens that the parameters ask for, as the next token."""
        return [
            {token: each.logprob for token, each in (output.outputs[0].logprobs or [{}])[0].items()}
            for output in self._run(prompts, params)
        ]

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
        if self._drafts:
            raise RuntimeError("an engine that drafts gives no log-probabilities of named tokens")
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
        sources = sampling.sources if self._drafts and sampling.temperature == 0 else ()
        with hinted(prompts if sources else (), sources) as hints:
            outputs = self._run(prompts, params)
        self.usage.drafted_tokens += hints.drafted
        self.usage.accepted_tokens += hints.accepted
        for output in outputs:
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

    @timed
    def _run(
        self,
        prompts: Sequence[Sequence[int]],
        params: SamplingParams | list[SamplingParams],
    ) -> list[RequestOutput]:
        if self._llm is None:
            raise RuntimeError("this engine is closed")
        if not prompts:
            return []
        inputs = [TokensPrompt(prompt_token_ids=list(prompt)) for prompt in prompts]
        outputs = self._llm.generate(inputs, params, use_tqdm=False)
        self.usage.calls += len(outputs)
        self.usage.prompt_tokens += sum(len(prompt) for prompt in prompts)
        self.usage.cached_tokens += sum(output.num_cached_tokens or 0 for output in outputs)
        self.usage.output_tokens += sum(len(output.outputs[0].token_ids) for output in outputs)
        return outputs


def _drafting(spec: EngineSpec) -> dict[str, Any]:
    return {
        "method": "custom_class",
        "model": PROPOSER,
        "num_speculative_tokens": spec.draft_tokens,
    }


def _installed_version() -> str:
    for name in ("vllm", "vllm-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    raise PackageNotFoundError("vllm")
