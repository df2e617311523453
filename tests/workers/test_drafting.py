"""Source-aligned drafting: whatever is guessed, the reply is the same, and few steps are needed."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.throughput.drafting import edited
from configs.principles import load_principles
from configs.prompts import load_prompts
from workers.engines.drafting import Alignment, SourceAligned, hinted
from workers.engines.interface import EngineSpec, Sampling, Usage
from workers.engines.start import start_engine
from workers.microworld import oracle
from workers.microworld.build import SHIPPED
from workers.microworld.tokenizer import build_tokenizer
from workers.prompts import Prompts

MOST = 16
tokens = st.lists(st.integers(0, 20), max_size=80)


def decode(source: Sequence[int], reply: Sequence[int]) -> tuple[list[int], int, int]:
    """What a model that means to write `reply` writes, in how many steps, of how many drafted."""
    alignment = Alignment(source, MOST)
    written = list(reply[:1])  # the prefill gives the first token
    alignment.follow(written)
    steps = drafted = 0
    while len(written) < len(reply):
        draft = alignment.draft(MOST)
        steps, drafted = steps + 1, drafted + len(draft)
        left = reply[len(written) :]
        taken = 0
        while taken < min(len(draft), len(left) - 1) and draft[taken] == left[taken]:
            taken += 1
        new = list(left[: taken + 1])
        written += new
        alignment.follow(new)
    return written, steps, drafted


@given(source=tokens, reply=tokens)
def test_the_reply_is_the_models_and_no_step_is_lost(source: list[int], reply: list[int]) -> None:
    written, steps, _ = decode(source, reply)
    assert written == reply
    assert steps <= max(0, len(reply) - 1)


@given(source=st.lists(st.integers(0, 20), min_size=1, max_size=80))
def test_a_copy_takes_a_step_for_each_longest_draft(source: list[int]) -> None:
    _, steps, _ = decode(source, source)
    assert steps == -(-(len(source) - 1) // (MOST + 1))


@pytest.mark.parametrize(("rate", "most_steps"), [(0.01, 0.10), (0.05, 0.15), (0.2, 0.40)])
def test_edits_of_every_kind_cost_few_steps(rate: float, most_steps: float) -> None:
    draw = random.Random(0)
    steps = length = 0
    for _ in range(40):
        source = [draw.randrange(500) for _ in range(300)]
        reply = edited(source, rate, draw, 500)
        steps += decode(source, reply)[1]
        length += len(reply)
    assert steps / length <= most_steps


def test_where_nothing_is_copied_almost_nothing_is_drafted() -> None:
    draw = random.Random(1)
    source, reply = ([draw.randrange(5000) for _ in range(400)] for _ in range(2))
    _, _, drafted = decode(source, reply)
    assert drafted / len(reply) < 0.2


def test_an_edit_list_finds_its_sentence_by_the_number() -> None:
    # "[1] a b c . [2] d e f ." and a reply that mends the second sentence alone.
    source = [91, 1, 92, 10, 11, 12, 5, 91, 2, 92, 13, 14, 15, 5]
    _, steps, _ = decode(source, [91, 2, 92, 13, 14, 77, 5])
    assert steps <= 4


def proposer(most: int = 4, longest: int = 32) -> SourceAligned:
    return SourceAligned(
        SimpleNamespace(
            speculative_config=SimpleNamespace(num_speculative_tokens=most),
            model_config=SimpleNamespace(max_model_len=longest),
        )
    )


def asked(rows: Sequence[Sequence[int]], width: int = 32) -> tuple[np.ndarray, np.ndarray]:
    ids = np.zeros((len(rows), width), dtype=np.int32)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
    return np.array([len(row) for row in rows], dtype=np.int32), ids


def test_requests_are_told_apart_wherever_they_stand_in_the_batch() -> None:
    first, second = [1, 2, 3, 4], [1, 2, 3, 5, 6]
    with hinted([first, second], [[10, 11, 12, 13], [20, 21, 22]]):
        made = proposer()
        num, ids = asked([[*first, 10], [*second, 20]])
        assert made.propose([[10], [20]], num, ids) == [[11, 12, 13], [21, 22]]
        # The first has ended, and the second has moved up.
        num, ids = asked([[*second, 20, 21, 22]])
        assert made.propose([[21, 22]], num, ids) == [[]]
    num, ids = asked([[*first, 10]])
    assert made.propose([[10]], num, ids) == [[]], "what was announced is forgotten afterwards"


def test_equal_prompts_do_not_mix_their_replies_up() -> None:
    prompt = [1, 2, 3]
    with hinted([prompt, prompt], [[10, 11, 12, 13, 14]] * 2):
        made = proposer(most=2)
        for reply, other in (([10, 11], [10, 99]), ([10, 11, 12], [10, 99, 12])):
            num, ids = asked([[*prompt, *reply], [*prompt, *other]])
            mine, theirs = made.propose([[1], [1]], num, ids)
            assert mine[0] == reply[-1] + 1
            assert theirs[:1] in ([], [12], [13])


def test_a_draft_leaves_room_for_the_token_after_it_and_the_unfinished_prefill_gets_none() -> None:
    prompt = [1, 2, 3]
    with hinted([prompt], [[10, 11, 12, 13, 14]]):
        num, ids = asked([[*prompt, 10]])
        assert proposer(longest=7).propose([[10]], num, ids) == [[11, 12]]
        assert proposer().propose([[]], num, ids) == [[]]


REWRITES = 48


def rewritten(draft_tokens: int) -> tuple[Any, Any, Usage, str]:
    """Replies with sources that they mostly copy, log-probabilities of two words, and the usage."""
    spec = EngineSpec("vllm", str(SHIPPED), "", "float32", 160, draft_tokens=draft_tokens)
    engine = start_engine(spec)
    prompts = Prompts(load_prompts("microworld"), load_principles("microworld"), build_tokenizer())
    texts = [document.text for document in oracle.misaligned_documents(13, REWRITES)]
    asked = [prompts.document(text)[:12] for text in texts]
    greedy = Sampling(max_tokens=24, stop_ids=(prompts.end_id,))
    first = [reply.token_ids for reply in engine.generate(asked, greedy)]
    sources = tuple((*ids[:9], 7, *ids[10:]) for ids in first)
    before = engine.usage.copy()
    again = [r.token_ids for r in engine.generate(asked, replace(greedy, sources=sources))]
    used = engine.usage.since(before)
    assert again == first
    words = prompts.tokenizer.convert_tokens_to_ids(["yes", "hammer"])
    scores = engine.choices([prompts.rate(text, "honesty") for text in texts], words)
    engine.close()
    return again, scores, used, engine.note


@pytest.fixture(scope="module")
def answers() -> list[tuple[Any, Any, Usage, str]]:
    # A process each: an engine keeps threads and environment variables to itself.
    found: list[tuple[Any, Any, Usage, str]] = []
    for draft_tokens in (0, MOST):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            found.append(pool.submit(rewritten, draft_tokens).result())
    return found


def test_vllm_writes_the_same_with_drafts_in_fewer_steps(
    answers: list[tuple[Any, Any, Usage, str]],
) -> None:
    (plain, _, without, _), (drafted, _, used, note) = answers
    assert note == ""
    assert drafted == plain
    assert (without.drafted_tokens, without.accepted_tokens) == (0, 0)
    assert used.output_tokens == without.output_tokens
    assert used.drafted_tokens >= used.accepted_tokens > 0.6 * used.output_tokens


def test_vllm_rates_the_same_while_it_drafts(answers: list[tuple[Any, Any, Usage, str]]) -> None:
    # One of the two words is among the likeliest, the other often not.
    for one, other in zip(answers[0][1], answers[1][1], strict=True):
        assert one == pytest.approx(other, abs=1e-4)
