"""Drawing tokens so that each reply depends on its own seed, and not on its batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor


class GumbelNoise(LogitsProcessor):
    """Turns the likeliest token into a drawn one, by Gumbel noise on its logit (Gumbel 1954).

    The largest of log-probabilities with independent Gumbel noise is a draw from their
    distribution, so greedy generation samples. Each row has a generator of its own; noise is drawn
    on the CPU, so that it is the same on any device.
    """

    def __init__(self, seeds: Sequence[int], temperature: float) -> None:
        """One seed a row, in [0, 2**63); a temperature above 0."""
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._temperature = temperature

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> Any:
        """Logits of the next token, a row for each reply, with noise."""
        drawn = torch.empty(scores.shape)
        for row, generator in zip(drawn, self._generators, strict=True):
            row.exponential_(generator=generator)
        # Minus the log of an exponential variable is a Gumbel one.
        return scores.float() / self._temperature - drawn.log().to(scores.device)
