"""Packing: nothing lost, nothing doubled, steps that follow from tokens, attention kept in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, Qwen2Config, Qwen2ForCausalLM

from workers.checkpoints import CheckpointRef, load_model
from workers.packing import (
    IGNORED,
    PASS_TOKENS,
    Row,
    batch_of,
    check_packing,
    check_step,
    lengthened,
    pack,
    passes,
    passes_of,
    reply_row,
    split_steps,
    steps_of,
    whole_row,
)
from workers.problems import InputProblem, WorkProblem

rows_of = st.lists(
    st.lists(st.integers(1, 99), min_size=1, max_size=24).map(whole_row), min_size=1, max_size=40
)


def taught(batches: list[dict[str, torch.Tensor]]) -> list[tuple[int, int, int]]:
    """Every (position, token, label) that is not the padding's, sorted."""
    found = []
    for batch in batches:
        columns = (batch[name].flatten().tolist() for name in ("position_ids", "input_ids"))
        labels = batch["labels"].flatten().tolist()
        found += [row for row in zip(*columns, labels, strict=True) if row[1]]
    return sorted(found)


def as_given(rows: list[Row]) -> list[tuple[int, int, int]]:
    return sorted(
        (position, token, label)
        for row in rows
        for position, (token, label) in enumerate(zip(row.input_ids, row.labels, strict=True))
    )


@given(rows_of, st.integers(24, 60), st.integers(1, 5))
def test_every_token_goes_through_once_with_its_label(
    rows: list[Row], window: int, count: int
) -> None:
    batches = passes(rows, window, count)
    assert len(batches) == count
    assert all(batch["input_ids"].shape[1] <= window for batch in batches)
    assert taught(batches) == as_given(rows)
    assert all((batch["labels"][batch["input_ids"] == 0] == IGNORED).all() for batch in batches)


@given(rows_of, st.integers(24, 60), st.integers(1, 5))
def test_weighed_rows_share_a_step_equally(rows: list[Row], window: int, count: int) -> None:
    batches = passes(rows, window, count, weighed=True)
    learned = [batch["weights"][batch["labels"] != IGNORED].sum().item() for batch in batches]
    # A row of one token has nothing to learn, and its share is no other's.
    taught_rows = sum(len(row.input_ids) > 1 for row in rows)
    assert sum(learned) == pytest.approx(taught_rows / len(rows), abs=1e-4)


@given(rows_of, st.integers(24, 60))
def test_windows_pack_well_and_the_same_every_time(rows: list[Row], window: int) -> None:
    windows = pack(rows, window)
    assert pack(rows, window) == windows
    fill = [sum(len(row.input_ids) for row in held) for held in windows]
    assert max(fill) <= window
    # First fit leaves at most one window that is no more than half full.
    assert sum(each * 2 <= window for each in fill) <= 1


@given(rows_of, st.integers(24, 80))
def test_the_number_of_steps_follows_from_the_tokens_alone(rows: list[Row], size: int) -> None:
    steps = list(split_steps(rows, size))
    assert [row for step in steps for row in step] == rows
    assert len(steps) == steps_of(sum(len(row.input_ids) for row in rows), size)
    assert all(steps)
    assert all(sum(len(r.input_ids) for r in step) < 2 * size for step in steps)


def test_a_row_that_is_too_long_is_never_cut_silently() -> None:
    row = whole_row(range(1, 30))
    with pytest.raises(ValueError, match="longer than the window"):
        pack([row], 20)
    with pytest.raises(ValueError, match="longer than a step"):
        list(split_steps([row], 20))


def test_large_steps_take_several_passes_of_one_fixed_number() -> None:
    assert [passes_of(n) for n in (1, PASS_TOKENS, PASS_TOKENS + 1)] == [1, 1, 2]


def test_replies_alone_are_learned_and_first_tokens_never() -> None:
    assert list(reply_row([1, 2], [3, 4]).labels) == [IGNORED, IGNORED, 3, 4]
    assert list(whole_row([7, 8, 9]).labels) == [IGNORED, 8, 9]


def neox() -> Any:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=99, intermediate_size=48, **sizes))


def qwen() -> Any:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return Qwen2ForCausalLM(
        Qwen2Config(vocab_size=99, intermediate_size=48, num_key_value_heads=1, **sizes)
    )


def model_named(name: str, tiny: CheckpointRef) -> Any:
    torch.manual_seed(0)
    made = {"llama": lambda: load_model(tiny), "neox": neox, "qwen": qwen}[name]()
    made.config.use_cache = False
    return made.eval()


@pytest.mark.parametrize("name", ["llama", "neox", "qwen"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("windows", [1, 3])
@torch.no_grad()
def test_packed_documents_are_read_as_if_each_were_alone(
    tiny: CheckpointRef, name: str, attention: str, windows: int
) -> None:
    model = model_named(name, tiny)
    model.set_attn_implementation(attention)
    lengths = [[5, 1, 9, 2], [3, 3], [12, 2]][:windows]
    packed = [
        [whole_row(torch.randint(1, 99, (length,)).tolist()) for length in window]
        for window in lengths
    ]
    batch = batch_of(packed)
    assert batch["input_ids"].shape == (windows, 17)
    seen = model(input_ids=batch["input_ids"], position_ids=batch["position_ids"]).logits
    assert seen.isfinite().all()
    for i, window in enumerate(packed):
        at = 0
        for row in window:
            alone = model(input_ids=torch.tensor([row.input_ids])).logits[0]
            end = at + len(row.input_ids)
            torch.testing.assert_close(seen[i, at:end], alone, rtol=0, atol=1e-5)
            at = end


@pytest.mark.parametrize("name", ["llama", "neox", "qwen"])
def test_a_packed_gradient_is_the_sum_of_each_document_alone(
    tiny: CheckpointRef, name: str
) -> None:
    rows = [whole_row(torch.randint(1, 99, (n,)).tolist()) for n in (5, 9, 7, 3)]
    targets = sum(len(row.input_ids) - 1 for row in rows)

    def gradient(batches: list[dict[str, torch.Tensor]]) -> torch.Tensor:
        model = model_named(name, tiny)
        for batch in batches:
            model(**batch, num_items_in_batch=torch.tensor(targets)).loss.backward()
        return torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None])

    together = gradient(passes(rows, 16, 1))
    # More passes than windows: the last ones are padding and add nothing.
    for apart in (passes(rows, 16, 6), [batch_of([[row]]) for row in rows]):
        torch.testing.assert_close(gradient(apart), together, rtol=0, atol=1e-5)


@settings(max_examples=20)
@given(rows_of)
def test_padding_changes_nothing_of_what_is_seen(tiny: CheckpointRef, rows: list[Row]) -> None:
    model = model_named("llama", tiny)
    for batch in passes(rows, 32, 2):
        loss = model(**batch, num_items_in_batch=torch.tensor(10)).loss
        assert loss.isfinite()


def test_models_that_see_across_documents_are_refused(tiny: CheckpointRef) -> None:
    check_packing(model_named("llama", tiny))

    class Across(torch.nn.Module):
        device = torch.device("cpu")

        def forward(self, input_ids: torch.Tensor, **_: Any) -> Any:
            return SimpleNamespace(logits=input_ids.cumsum(-1)[..., None].float())

    with pytest.raises(WorkProblem, match="from one packed document into the next"):
        check_packing(Across())


def test_sizes_that_do_not_fit_together_are_refused() -> None:
    check_step(64, 64, "training.corpus", None)
    with pytest.raises(InputProblem, match=r"training\.skills\.batch_tokens: 32 is less"):
        check_step(64, 32, "training.skills", None)
    with pytest.raises(InputProblem, match=r"training\.window: 64 is more than the 48"):
        check_step(64, 64, "training.corpus", 48)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8), st.integers(0, 30))
def test_rows_are_lengthened_to_a_budget_by_tokens_that_teach_nothing(lengths, more):
    rows = [whole_row(list(range(1, n + 1))) for n in lengths]
    budget = min(sum(lengths) + more, 12 * len(rows))
    made = lengthened(rows, budget, window=12)
    assert sum(len(row.input_ids) for row in made) == budget
    for before, after in zip(rows, made, strict=True):
        n = len(before.input_ids)
        assert list(after.input_ids[:n]) == list(before.input_ids)
        assert list(after.labels) == [*before.labels, *[IGNORED] * (len(after.input_ids) - n)]
