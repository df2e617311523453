"""An engine as lm-eval asks it, with the tokens and windows of lm-eval's own `HFLM`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from workers.problems import InputProblem

Window = tuple[list[int], list[int]]
"""Tokens that are only read, and the tokens after them that are scored."""


class ScoringEngine(Protocol):
    """An engine that scores given tokens."""

    def continuation_scores(
        self, sequences: Sequence[Sequence[int]], lengths: Sequence[int]
    ) -> list[tuple[list[float], bool]]:
        """Log-probability of the last `length` tokens of each, and whether all are likeliest."""
        ...


class EngineLM(TemplateLM):
    """Log-likelihoods by an engine that is loaded already.

    Text becomes tokens as in `lm_eval.models.huggingface.HFLM`: with whatever special tokens the
    tokenizer adds to a context, spaces at its end moved to the continuation, and the tokenizer's
    BOS token, or else its EOS token, where there is no context. What cannot be scored, because it
    has no token or more than a window holds, is NaN.
    """

    def __init__(
        self, engine: ScoringEngine, tokenizer: Any, *, max_length: int, batch: int
    ) -> None:
        """Wrap an engine.

        Args:
            engine: does the scoring.
            tokenizer: of the engine's checkpoint.
            max_length: longest prompt and reply together, in tokens. `HFLM` counts what it feeds
                the model, without the last token: its `max_length` is one less.
            batch: most sequences that the engine is given at once.

        Raises:
            InputProblem: the tokenizer has neither a BOS nor an EOS token.
        """
        super().__init__()
        self.tokenizer = tokenizer
        self.max_length = max_length - 1
        self.cut: set[tuple[str | None, int | None]] = set()
        """Task and item of every request whose context lost its beginning."""
        self._engine = engine
        self._batch = batch
        if self.prefix_token_id is None:
            raise InputProblem(
                "evaluation.harness: the tokenizer has neither a BOS nor an EOS token to begin "
                "with. Give it one, or take `harness` out of evaluation.tasks."
            )

    @property
    def eot_token_id(self) -> int:
        """The tokenizer's EOS token."""
        return self.tokenizer.eos_token_id

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text without context."""
        begin = self.tokenizer.bos_token_id
        return self.eot_token_id if begin is None else begin

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **kwargs: Any
    ) -> list[int]:
        """Tokens of a text; special tokens are added as the tokenizer does unless told."""
        if add_special_tokens is None:
            if not string.startswith(self.tokenizer.decode(self.prefix_token_id)):
                return self.tokenizer.encode(string, verbose=False)
            add_special_tokens = False
        return self.tokenizer.encode(string, add_special_tokens=add_special_tokens, verbose=False)

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = True
    ) -> list[tuple[float, bool]]:
        """Log-likelihood, in nats, of each continuation, and whether it is the likeliest one."""
        windows = [self._window(*request.args) for request in requests]
        for request, (read, scored) in zip(requests, windows, strict=True):
            if len(read) + len(scored) > self.max_length + 1:
                self.cut.add((request.task_name, request.doc_id))
        return self._scores(windows)

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = True
    ) -> list[float]:
        """Log-likelihood, in nats, of each text, a long one in windows that share no scored token.

        The last window of a text reads as many tokens as fit before those that it scores.
        """
        windows = [self._rolling(*request.args) for request in requests]
        scores = iter(self._scores([window for text in windows for window in text]))
        return [math.fsum(next(scores)[0] for _ in text) if text else math.nan for text in windows]

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """Refuse: texts that a model writes are not scored here.

        Raises:
            InputProblem: always.
        """
        raise InputProblem(
            "evaluation.harness.tasks: a task asks for text that the model writes, and only "
            "log-likelihoods are scored here. Take it out."
        )

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        return self._scores([(read, scored) for _, read, scored in requests])

    def _window(self, context: str, continuation: str) -> Window:
        if context:
            read, scored = self._encode_pair(context, continuation)
        else:
            read, scored = [], self.tok_encode(continuation, add_special_tokens=False)
            if scored[:1] == [self.prefix_token_id]:
                read, scored = scored[:1], scored[1:]
        return read or [self.prefix_token_id], scored

    def _rolling(self, text: str) -> list[Window]:
        windows = get_rolling_token_windows(
            token_list=self.tok_encode(text),
            prefix_token=self.prefix_token_id,
            max_seq_len=self.max_length,
            context_len=1,
        )
        return [make_disjoint_window(window) for window in windows]

    def _scores(self, windows: Sequence[Window]) -> list[tuple[float, bool]]:
        # Equal windows are asked once: their scores are then equal to the last bit, and tie.
        keys = [
            (tuple((read + scored)[-(self.max_length + 1) :]), len(scored))
            for read, scored in windows
        ]
        asked = sorted(
            {key for key in keys if 0 < key[1] <= self.max_length},
            key=lambda key: (-len(key[0]), key),
        )
        found: dict[tuple[tuple[int, ...], int], tuple[float, bool]] = {}
        for start in range(0, len(asked), self._batch):
            batch = asked[start : start + self._batch]
            scores = self._engine.continuation_scores(*zip(*batch, strict=True))
            for key, (logprobs, likeliest) in zip(batch, scores, strict=True):
                # Summed in float32, as there: what rounding leaves out is then the same.
                found[key] = float(torch.tensor(logprobs, dtype=torch.float32).sum()), likeliest
        return [found.get(key, (math.nan, False)) for key in keys]
