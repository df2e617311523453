"""Transformers: for evaluation, and for rating and revising where vLLM cannot be installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
)

from workers.engines.gumbel import GumbelNoise
from workers.engines.interface import EngineSpec, Reply, Sampling, Usage, timed

LOGITS = 2**28
"""Most numbers in the logits that are held at once, where tokens are scored: 1 GiB of float32."""


class TransformersEngine:
    """A transformers model in this process, on the GPU if there is one."""

    name = "transformers"
    note = ""

    def __init__(self, spec: EngineSpec) -> None:
        """Load the weights."""
        self.version = version("transformers")
        self.usage = Usage()
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self._batch = spec.batch
        self._max_length = spec.max_length
        torch.set_num_threads(spec.threads)
        self.model: Any = AutoModelForCausalLM.from_pretrained(
            spec.checkpoint_uri,
            dtype=getattr(torch, spec.dtype),
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
        self.model.to(self.device).eval()

    @timed
    def choices(
        self, prompts: Sequence[Sequence[int]], answer_ids: Sequence[int]
    ) -> list[list[float]]:
        """Log-probabilities of each answer token as the next token."""
        rows: list[list[float]] = [[]] * len(prompts)
        wanted = torch.tensor(list(answer_ids), device=self.device)
        for chosen in self._batches(prompts):
            hidden = self._hidden([prompts[i] for i in chosen])
            ends = torch.tensor([len(prompts[i]) - 1 for i in chosen], device=self.device)
            last = hidden[torch.arange(len(chosen), device=self.device), ends]
            found = self._log_softmax(last)[:, wanted]
            for i, values in zip(chosen, found.tolist(), strict=True):
                rows[i] = values
        self._count(prompts, 1)
        return rows

    @timed
    def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probability, in nats, of every token but the first, given those before it."""
        rows: list[list[float]] = [[]] * len(sequences)
        for chosen in self._batches(sequences):
            hidden = self._hidden([sequences[i] for i in chosen])
            for row, i in enumerate(chosen):
                ids = torch.tensor(list(sequences[i]), device=self.device)
                found = self._log_softmax(hidden[row, : len(ids) - 1])
                rows[i] = found.gather(1, ids[1:, None])[:, 0].tolist()
        self._count(sequences, 0)
        return rows

    @timed
    @torch.inference_mode()
    def continuation_scores(
        self, sequences: Sequence[Sequence[int]], lengths: Sequence[int]
    ) -> list[tuple[list[float], bool]]:
        """Score the last tokens of sequences, given those before them.

        Args:
            sequences: token ids, one more than the model reads: the last one is only scored.
            lengths: how many of each sequence's last tokens are scored; at least 1, and not all.

        Returns:
            Log-probabilities in nats, and whether each of those tokens is the likeliest.
        """
        rows: list[tuple[list[float], bool]] = [([], True)] * len(sequences)
        all_starts = [len(row) - 1 - length for row, length in zip(sequences, lengths, strict=True)]
        most = max(map(len, sequences), default=1) - min(all_starts, default=0)
        size = LOGITS // (most * self.model.config.get_text_config().vocab_size)
        for chosen in self._batches(sequences, max(1, min(size, self._batch))):
            ids = self._right_padded([sequences[i][:-1] for i in chosen])
            starts = [all_starts[i] for i in chosen]
            kept = ids.shape[1] - min(starts)
            logits = self.model(input_ids=ids, use_cache=False, logits_to_keep=kept).logits
            # A model that does not know the argument gives the logits of every position.
            logits = logits[:, -kept:]
            for row, (i, start) in enumerate(zip(chosen, starts, strict=True)):
                first = start - min(starts)
                found = logits[row, first : first + lengths[i]].float().log_softmax(-1)
                scored = torch.tensor(list(sequences[i][-lengths[i] :]), device=self.device)
                likeliest = bool((found.argmax(-1) == scored).all())
                rows[i] = found.gather(1, scored[:, None])[:, 0].tolist(), likeliest
        self._count(sequences, 0)
        return rows

    @timed
    @torch.inference_mode()
    def generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Reply]:
        """Replies in the prompts' order; sampled ones are drawn one by one, each from its seed."""
        drawn = sampling.temperature > 0
        replies: list[Reply | None] = [None] * len(prompts)
        for chosen in self._batches(prompts, 1 if drawn else self._batch):
            if drawn:
                torch.manual_seed(sampling.seeds[chosen[0]])
            config = _config(sampling, do_sample=drawn, temperature=sampling.temperature or None)
            written = self._written([prompts[i] for i in chosen], config, sampling.stop_ids)
            for i, reply in zip(chosen, written, strict=True):
                replies[i] = reply
        return self._counted(prompts, replies)

    @timed
    @torch.inference_mode()
    def sample(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Reply]:
        """Replies in the prompts' order, drawn many at a time, each from its own seed."""
        replies: list[Reply | None] = [None] * len(prompts)
        for chosen in self._batches(prompts):
            noise = GumbelNoise([sampling.seeds[i] for i in chosen], sampling.temperature)
            config = _config(sampling, do_sample=False)
            asked = [prompts[i] for i in chosen]
            written = self._written(asked, config, sampling.stop_ids, noise)
            for i, reply in zip(chosen, written, strict=True):
                replies[i] = reply
        return self._counted(prompts, replies)

    def _written(
        self,
        prompts: Sequence[Sequence[int]],
        config: GenerationConfig,
        stop_ids: Sequence[int],
        *processors: LogitsProcessor,
    ) -> list[Reply]:
        """Replies to one batch."""
        ids, mask = self._left_padded(prompts)
        output = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=config,
            logits_processor=LogitsProcessorList(processors),
        )
        return [_cut(row, stop_ids) for row in output[:, ids.shape[1] :].tolist()]

    def _counted(
        self, prompts: Sequence[Sequence[int]], replies: Sequence[Reply | None]
    ) -> list[Reply]:
        done = [reply for reply in replies if reply is not None]
        self._count(prompts, sum(len(reply.token_ids) for reply in done))
        return done

    def close(self) -> None:
        """Give back the memory."""
        self.model = None
        if self.device == "cuda":
            torch.cuda.empty_cache()

    @torch.inference_mode()
    def _hidden(self, sequences: Sequence[Sequence[int]]) -> torch.Tensor:
        ids = self._right_padded(sequences)
        return self.model.base_model(input_ids=ids, use_cache=False).last_hidden_state

    @torch.inference_mode()
    def _log_softmax(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.model.get_output_embeddings()(hidden).float().log_softmax(-1)

    def _right_padded(self, sequences: Sequence[Sequence[int]]) -> torch.Tensor:
        # Right padding under causal attention never reaches a real token, so no mask is needed.
        width = max(len(sequence) for sequence in sequences)
        rows = [list(sequence) + [0] * (width - len(sequence)) for sequence in sequences]
        return torch.tensor(rows, device=self.device)

    def _left_padded(self, prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        width = max(len(prompt) for prompt in prompts)
        gaps = [width - len(prompt) for prompt in prompts]
        ids = [[0] * gap + list(prompt) for gap, prompt in zip(gaps, prompts, strict=True)]
        mask = [[0] * gap + [1] * (width - gap) for gap in gaps]
        return torch.tensor(ids, device=self.device), torch.tensor(mask, device=self.device)

    def _batches(
        self, sequences: Sequence[Sequence[int]], size: int | None = None
    ) -> Iterator[list[int]]:
        """Indices of sequences of like length, a batch at a time."""
        order = sorted(range(len(sequences)), key=lambda i: (len(sequences[i]), i))
        size = size or self._batch
        for start in range(0, len(order), size):
            yield order[start : start + size]

    def _count(self, prompts: Sequence[Sequence[int]], output_tokens: int) -> None:
        self.usage.calls += len(prompts)
        self.usage.prompt_tokens += sum(len(prompt) for prompt in prompts)
        self.usage.output_tokens += output_tokens


def _config(sampling: Sampling, **more: Any) -> GenerationConfig:
    return GenerationConfig(
        max_new_tokens=sampling.max_tokens,
        eos_token_id=list(sampling.stop_ids) or None,
        pad_token_id=sampling.stop_ids[0] if sampling.stop_ids else 0,
        **more,
    )


def _cut(ids: list[int], stop_ids: Sequence[int]) -> Reply:
    for at, token in enumerate(ids):
        if token in stop_ids:
            return Reply(tuple(ids[:at]), finished=True)
    return Reply(tuple(ids), finished=False)
