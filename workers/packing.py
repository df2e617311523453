"""Packing: documents side by side in windows, with attention that stays inside each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from workers.problems import InputProblem, WorkProblem

# A label that no loss is taken on.
IGNORED = -100
# About as many tokens go through the model at once; a larger step is cut into several passes.
PASS_TOKENS = 8_192

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Row:
    """Tokens that attend to each other, and what is learned of them."""

    input_ids: Sequence[int]
    labels: Sequence[int]
    """The token itself where it is to be predicted, else IGNORED; the first never is."""
    context: int = 0
    """So many of the tokens are a frame's, and count in no budget."""

    @property
    def counted(self) -> int:
        """Number of tokens that a stage's budget and steps are counted in."""
        return len(self.input_ids) - self.context


def whole_row(ids: Sequence[int]) -> Row:
    """A row of which every token is learned but the first, which nothing comes before."""
    return Row(ids, [IGNORED, *ids[1:]])


def framed_row(ids: Sequence[int], frame: Sequence[int], begin: int | None) -> Row:
    """A row of the corpus stage behind a frame, of which the same is learned as without it.

    Args:
        ids: tokens of a document, or of a part of one.
        frame: tokens of the frame; they count in no budget.
        begin: the token that begins a text, which stays in front; None where there is none.
    """
    if not frame:
        return whole_row(ids)
    front = 1 if ids[0] == begin else 0
    shown = [*ids[:front], *frame, *ids[front:]]
    labels = [*[IGNORED] * (len(frame) + 1), *ids[1:]]
    return Row(shown, labels, context=len(frame))


def reply_row(prompt: Sequence[int], reply: Sequence[int]) -> Row:
    """A row of which the reply alone is learned."""
    return Row([*prompt, *reply], [IGNORED] * len(prompt) + list(reply))


def lengthened(rows: Sequence[Row], tokens: int, window: int) -> list[Row]:
    """The rows, the last of them longer, so that they are `tokens` long together.

    What is added comes after a row's end and is not learned, so that nothing of it reaches a
    gradient: attention never looks ahead.

    Args:
        rows: at most `tokens` long together.
        tokens: how long they are to be; less, if every row is as long as the window.
        window: longest row.
    """
    made = list(rows)
    left = tokens - sum(len(row.input_ids) for row in rows)
    for i in reversed(range(len(made))):
        ids, labels = list(made[i].input_ids), list(made[i].labels)
        more = min(left, window - len(ids))
        made[i] = Row(ids + ids[-1:] * more, labels + [IGNORED] * more)
        left -= more
        if not left:
            break
    return made


def steps_of(tokens: int, step_tokens: int) -> int:
    """Number of optimiser steps in which so many tokens are read."""
    return -(-tokens // step_tokens)


def passes_of(step_tokens: int, workers: int = 1) -> int:
    """Number of passes that each step takes in each of so many workers."""
    return -(-step_tokens // (PASS_TOKENS * workers))


def split_steps(rows: Iterable[Row], step_tokens: int) -> Iterator[list[Row]]:
    """Deal rows, in order, to optimiser steps: a row goes where its last token falls.

    So the number of steps follows from the number of tokens alone, whatever the rows' lengths are
    and however well they pack. No row may be longer than `step_tokens`.
    """
    held: list[Row] = []
    step = read = 0
    for row in rows:
        if row.counted > step_tokens:
            raise ValueError("a row is longer than a step")
        read += row.counted
        if (read - 1) // step_tokens > step:
            yield held
            held, step = [], step + 1
        held.append(row)
    if held:
        yield held


def pack(rows: Sequence[Row], window: int) -> list[list[Row]]:
    """Put rows into windows of `window` tokens: the longest first, each where it first fits.

    All of them give one gradient, so that their order among themselves does not matter.
    """
    windows: list[list[Row]] = []
    free: list[int] = []
    for row in sorted(rows, key=lambda each: -len(each.input_ids)):
        length = len(row.input_ids)
        if length > window:
            raise ValueError("a row is longer than the window")
        at = next((i for i, left in enumerate(free) if left >= length), None)
        if at is None:
            at = len(windows)
            windows.append([])
            free.append(window)
        windows[at].append(row)
        free[at] -= length
    return windows


def batch_of(windows: Sequence[Sequence[Row]], rows_a_step: int | None = None) -> Batch:
    """Windows as tensors, padded to the longest of them.

    Positions begin at 0 in each document, and so do the padding's, which makes it a document of
    its own. There is no attention mask: transformers reads the documents' bounds off the positions.

    Args:
        windows: rows that share a window.
        rows_a_step: with it, `weights` makes each of so many rows weigh the same in the step's
            loss, however much of it is learned.
    """
    width = max([1, *(sum(len(row.input_ids) for row in rows) for rows in windows)])
    shape = (max(1, len(windows)), width)
    ids, labels = torch.zeros(shape, dtype=torch.long), torch.full(shape, IGNORED)
    positions = torch.arange(width).repeat(shape[0], 1)
    weights = torch.zeros(shape)
    for i, rows in enumerate(windows):
        at = 0
        for row in rows:
            end = at + len(row.input_ids)
            ids[i, at:end] = torch.as_tensor(row.input_ids)
            labels[i, at:end] = torch.as_tensor(row.labels)
            positions[i, at:end] = torch.arange(end - at)
            if rows_a_step is not None:
                weights[i, at:end] = 1 / max(1, sum(label != IGNORED for label in row.labels))
            at = end
        positions[i, at:] = torch.arange(width - at)
    batch = {"input_ids": ids, "labels": labels, "position_ids": positions}
    return batch if rows_a_step is None else batch | {"weights": weights / rows_a_step}


def passes(rows: Sequence[Row], window: int, count: int, *, weighed: bool = False) -> list[Batch]:
    """The rows of one step as exactly `count` batches of about equal size; some may be padding.

    Args:
        rows: of the step.
        window: tokens side by side.
        count: batches to make.
        weighed: whether each row is to weigh the same in the step's loss.
    """
    windows = pack(rows, window)
    bounds = [len(windows) * i // count for i in range(count + 1)]
    whole = len(rows) if weighed else None
    return [batch_of(windows[bounds[i] : bounds[i + 1]], whole) for i in range(count)]


def check_step(window: int, step_tokens: int, field: str, longest: int | None) -> None:
    """Check that rows of `window` tokens fit into a step and into the model.

    Args:
        window: `training.window`.
        step_tokens: the stage's `batch_tokens`.
        field: name of the stage's section, for the message.
        longest: the model's greatest length; None where it states none.

    Raises:
        InputProblem: they do not.
    """
    if step_tokens < window:
        raise InputProblem(
            f"{field}.batch_tokens: {step_tokens} is less than training.window ({window}), so that "
            "one row would not fit into a step. Raise batch_tokens or lower the window."
        )
    if longest is not None and window > longest:
        raise InputProblem(
            f"training.window: {window} is more than the {longest} tokens that the model can read "
            "at once. Lower it."
        )


@torch.no_grad()
def check_packing(model: Any) -> None:
    """Check on two short rows that a model does not see from one document into the next.

    Raises:
        WorkProblem: it does.
    """
    device = model.device
    rows = [whole_row([1, 2, 3]), whole_row([3, 2, 1, 2])]
    batch = batch_of([rows])
    seen = model(
        input_ids=batch["input_ids"].to(device),
        position_ids=batch["position_ids"].to(device),
        use_cache=False,
    ).logits[0, 3:]
    alone = model(input_ids=torch.tensor([rows[1].input_ids], device=device), use_cache=False)
    if not torch.allclose(seen, alone.logits[0], rtol=1e-3, atol=1e-3):
        raise WorkProblem(
            f"training: in {type(model).__name__} attention reaches from one packed document into "
            "the next, so that it cannot be trained here. Use another architecture."
        )
