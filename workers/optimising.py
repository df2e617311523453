"""One stage of training through the Hugging Face trainer, in a fixed order, the same every time."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.utils import deterministic
from torch.utils.data import IterableDataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from configs.stages import Stage
from configs.training import Training
from workers.packing import IGNORED, Batch, Row, passes, passes_of, split_steps, steps_of
from workers.problems import WorkProblem

BETAS = (0.9, 0.95)
LAST_RATE = 0.1
REPORTS = 20
"""Times that a stage's loss is looked at."""
LAST_REPORTS = 5
"""So many of them make up its last loss."""
STAGE_FIELDS = {
    "corpus": "training.corpus",
    "fine_tune": "training.fine_tune",
    "skills": "training.skills",
    "persistence": "evaluation.persistence",
    "relearning": "evaluation.relearning",
}
"""Where each stage is set."""
Progress = Callable[[str, int, int, dict[str, Any]], None]


@dataclass(frozen=True)
class StagePlan:
    """One stage: its settings, and the rows that it reads."""

    name: str
    """One of STAGE_FIELDS."""
    settings: Stage
    tokens: int
    """Tokens of all rows together, without their frames."""
    rows: Callable[[], Iterator[Row]]
    last_rate: float = LAST_RATE
    """The learning rate ends at this share of its peak."""

    @property
    def steps(self) -> int:
        """Number of optimiser steps."""
        return steps_of(self.tokens, self.settings.batch_tokens)


@contextmanager
def settled(threads: int) -> Iterator[None]:
    """Fix what arithmetic depends on, and put it back at the end."""
    # Read by cuBLAS when it starts; without it, some of its sums have no fixed order.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    # torch adds the attribute when the module is imported, where no type checker sees it.
    memory: Any = deterministic
    filling = memory.fill_uninitialized_memory
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # It fills memory that nothing reads before it is written, for 3 to 8% of the time.
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        memory.fill_uninitialized_memory = filling


def run_stage(
    model: Any,
    plan: StagePlan,
    training: Training,
    seed: int,
    progress: Progress,
    look: Callable[[int], None] | None = None,
) -> float:
    """Train a model in place and return the mean loss over its last quarter of steps, about.

    In each of `training.workers` processes of one process group, the same is called: each takes its
    share of every step's passes, and all end with the same weights.

    Args:
        model: trained in place.
        plan: the stage.
        training: what is the same in every stage.
        seed: of what the trainer draws.
        progress: called with how far it is.
        look: called after each step with its number, to look at the model and leave it as it is.

    Raises:
        WorkProblem: the loss or a weight is no number, or the GPU's memory is too small.
    """
    watcher = _Watcher(plan, progress, look)
    use_cache = model.config.use_cache
    with tempfile.TemporaryDirectory(prefix="palimpsest-train-") as folder:
        trainer = (_RowTrainer if plan.settings.loss == "rows" else Trainer)(
            model=model,
            args=_arguments(plan, training, seed, folder),
            train_dataset=_Passes(plan, training.window, training.workers),
            data_collator=_only,
            optimizers=_optimisers(model, plan, training),
            callbacks=[watcher],
        )
        # It prints the losses; they go through `progress` instead.
        trainer.remove_callback(PrinterCallback)
        try:
            trainer.train()
        except torch.OutOfMemoryError as error:
            raise WorkProblem(
                f"training, {plan.name} stage: the GPU's memory is too small. Lower "
                "training.window, or use a GPU with more memory or a smaller model. Finished "
                "stages are kept."
            ) from error
    if trainer.state.global_step != plan.steps:
        raise RuntimeError(
            f"{plan.name}: {trainer.state.global_step} steps were made, and {plan.steps} planned"
        )
    model.to("cpu").eval()
    model.config.use_cache = use_cache
    if not all(bool(weight.isfinite().all()) for weight in model.parameters()):
        raise _diverged(plan)
    return watcher.loss


def _arguments(plan: StagePlan, training: Training, seed: int, folder: str) -> TrainingArguments:
    return TrainingArguments(
        output_dir=folder,
        max_steps=plan.steps,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=passes_of(plan.settings.batch_tokens, training.workers),
        max_grad_norm=training.max_grad_norm,
        bf16=training.dtype == "bfloat16",
        use_cpu=training.num_gpus == 0,
        seed=seed,
        data_seed=seed,
        logging_steps=max(1, plan.steps // REPORTS),
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        save_strategy="no",
        eval_strategy="no",
        remove_unused_columns=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=False,
        accelerator_config={"dispatch_batches": False, "split_batches": False},
    )


def _optimisers(model: Any, plan: StagePlan, training: Training) -> tuple[AdamW, LambdaLR]:
    """AdamW with warm-up and a linear fall; norms and biases do not decay."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": training.weight_decay},
        {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser = AdamW(groups, lr=plan.settings.learning_rate, betas=BETAS, fused=True)
    warmup, steps = plan.settings.warmup_steps, plan.steps

    def share_of_peak(step: int) -> float:
        fallen = max(0, step - warmup) / max(1, steps - warmup)
        return min((step + 1) / max(1, warmup), 1.0) * (1.0 - (1.0 - plan.last_rate) * fallen)

    return optimiser, LambdaLR(optimiser, share_of_peak)


class _Passes(IterableDataset[Batch]):
    """The passes of every step, in order.

    Several workers take them in turn: the trainer's loader leaves each every so-manieth. All of
    them have as many, for which a step may end in passes of padding alone.
    """

    def __init__(self, plan: StagePlan, window: int, workers: int) -> None:
        self._plan = plan
        self._window = window
        self._workers = workers

    def __iter__(self) -> Iterator[Batch]:
        step_tokens = self._plan.settings.batch_tokens
        count = passes_of(step_tokens, self._workers) * self._workers
        for rows in split_steps(self._plan.rows(), step_tokens):
            weighed = self._plan.settings.loss == "rows"
            yield from passes(rows, self._window, count, weighed=weighed)


class _RowTrainer(Trainer):
    """Takes the mean over rows of each row's own mean loss."""

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Sum the weighed losses of a pass; the passes of a step sum up to the step's."""
        labels, weights = inputs.pop("labels"), inputs.pop("weights")
        outputs = model(**inputs)
        losses = cross_entropy(
            outputs.logits[:, :-1].flatten(0, 1).float(),
            labels[:, 1:].flatten(),
            ignore_index=IGNORED,
            reduction="none",
        )
        # The trainer divides what a pass gives by the passes of a step.
        passes_a_step = self.args.gradient_accumulation_steps
        loss = (losses * weights[:, 1:].flatten()).sum()
        if not self.model_accepts_loss_kwargs or num_items_in_batch is None:
            loss = loss * passes_a_step
        # Gradients are meant over workers, and each worker's passes are a share of the sum.
        loss = loss * self.args.world_size
        return (loss, outputs) if return_outputs else loss


def _only(batches: list[Batch]) -> Batch:
    return batches[0]


class _Watcher(TrainerCallback):
    """Passes progress on, and stops when the loss is no number."""

    def __init__(
        self, plan: StagePlan, progress: Progress, look: Callable[[int], None] | None
    ) -> None:
        self._losses: list[float] = []
        self._look = look
        self._plan = plan
        self._progress = progress
        self._began = time.monotonic()

    @property
    def loss(self) -> float:
        """Mean of the last reports."""
        return fmean(self._losses[-LAST_REPORTS:])

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell how far the stage is."""
        done = min(state.global_step * self._plan.settings.batch_tokens, self._plan.tokens)
        figures: dict[str, Any] = {"tokens_per_s": done / (time.monotonic() - self._began)}
        if self._losses:
            figures["loss"] = self._losses[-1]
        self._progress(f"train {self._plan.name}", done, self._plan.tokens, figures)
        if self._look is not None:
            self._look(state.global_step)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        """Look at the mean loss since the last time."""
        if logs and "loss" in logs:
            self._losses.append(float(logs["loss"]))
            if not math.isfinite(self._losses[-1]):
                raise _diverged(self._plan)


def _diverged(plan: StagePlan) -> WorkProblem:
    return WorkProblem(
        f"training, {plan.name} stage: the loss is no longer a number, so that the model is lost. "
        f"Lower {STAGE_FIELDS[plan.name]}.learning_rate ({plan.settings.learning_rate}) or raise "
        "its warmup_steps, then fork the experiment. Finished stages are kept."
    )
