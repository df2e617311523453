"""Training: tokens a second of packed rows, beside padding, bucketing and a bare torch loop."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW
from transformers import AutoModelForCausalLM

from benchmarks.targets import Report
from benchmarks.throughput.rounds import rounds_of
from configs.stages import Stage
from configs.training import Training
from workers.microworld.build import SHIPPED
from workers.optimising import BETAS, StagePlan, run_stage, settled
from workers.packing import IGNORED, Batch, Row, passes, split_steps, whole_row

OF = "training"
WINDOW = 256
MEAN = 71
"""Mean length of a row in tokens."""
STEP_TOKENS = 2048
STEPS = 20
BUCKETED = 50
"""Batches that are sorted together, as the Hugging Face trainer's `group_by_length` does."""
LEAST = {"packed": 0.9, "bucketed": 1.15, "padded": 2.0}
"""Times the bare loop over batches of each kind."""


def measure(report: Report, rounds: int) -> None:
    """Train the same rows from the same weights in four ways, in turn, on one thread."""
    rows = drawn_rows(STEPS * STEP_TOKENS, seed=0)
    tokens = sum(len(row.input_ids) for row in rows)
    model = AutoModelForCausalLM.from_pretrained(
        SHIPPED, local_files_only=True, trust_remote_code=False, dtype=torch.float32
    )
    # A bare loop is given its batches; the product makes them while it trains.
    batches = {
        "packed": [passes(step, WINDOW, 1)[0] for step in split_steps(rows, STEP_TOKENS)],
        "bucketed": list(bucketed(rows)),
        "padded": list(padded(rows)),
    }
    jobs: dict[str, Callable[[], None]] = {
        "palimpsest": lambda: _ours(copy.deepcopy(model), rows, tokens)
    }
    for name, made in batches.items():
        jobs[f"bare loop, {name}"] = lambda made=made: _bare(copy.deepcopy(model), made)
    with settled(1):
        found = rounds_of(jobs, rounds)
    report.details[OF] = found.figures() | {"tokens": tokens, "rows": len(rows)}
    report.add(*(found.rate(OF, job, job, tokens, "tokens/s") for job in jobs))
    for name, least in LEAST.items():
        other = f"bare loop, {name}"
        report.add(found.ratio(OF, f"palimpsest to {other}", "palimpsest", other, least))


def drawn_rows(tokens: int, seed: int) -> list[Row]:
    """Rows of random tokens, as long as documents are: log-normal, of a mean of MEAN tokens."""
    draw = random.Random(seed)
    rows: list[Row] = []
    left = tokens
    while left > 0:
        length = max(8, min(WINDOW, round(draw.lognormvariate(4.08, 0.6))))
        rows.append(whole_row([draw.randrange(3, 260) for _ in range(min(length, left))]))
        left -= length
    return rows


def padded(rows: Sequence[Row]) -> Iterator[Batch]:
    """Batches in the rows' order, every row filled up to the window."""
    for start in range(0, len(rows), _rows_a_batch()):
        yield _filled(rows[start : start + _rows_a_batch()], WINDOW)


def bucketed(rows: Sequence[Row]) -> Iterator[Batch]:
    """Batches of rows of about the same length, filled up to the longest of them."""
    together = BUCKETED * _rows_a_batch()
    for start in range(0, len(rows), together):
        some = sorted(rows[start : start + together], key=lambda row: -len(row.input_ids))
        for at in range(0, len(some), _rows_a_batch()):
            batch = some[at : at + _rows_a_batch()]
            yield _filled(batch, len(batch[0].input_ids))


def _rows_a_batch() -> int:
    return round(STEP_TOKENS / MEAN)


def _filled(rows: Sequence[Row], width: int) -> Batch:
    shape = (len(rows), width)
    ids, labels = torch.zeros(shape, dtype=torch.long), torch.full(shape, IGNORED)
    mask = torch.zeros(shape, dtype=torch.long)
    for i, row in enumerate(rows):
        end = len(row.input_ids)
        ids[i, :end], mask[i, :end] = torch.as_tensor(row.input_ids), 1
        labels[i, :end] = torch.as_tensor(row.labels)
    return {"input_ids": ids, "labels": labels, "attention_mask": mask}


def _ours(model: Any, rows: Sequence[Row], tokens: int) -> None:
    stage = Stage(tokens=tokens, learning_rate=5e-4, batch_tokens=STEP_TOKENS)
    plan = StagePlan("corpus", stage, tokens, lambda: iter(rows))
    run_stage(model, plan, Training(window=WINDOW, threads=1), 0, lambda *_: None)


def _bare(model: Any, batches: Sequence[Batch]) -> None:
    """The least that a loop in torch has to do for the same step."""
    optimiser = AdamW(model.parameters(), lr=5e-4, betas=BETAS, fused=True)
    model.train()
    for batch in batches:
        model(**batch, use_cache=False).loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
