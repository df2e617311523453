"""vLLM itself: it agrees with transformers, and a seed decides what is sampled."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from configs.principles import load_principles
from configs.prompts import load_prompts
from workers.engines.interface import EngineSpec, Sampling
from workers.engines.start import start_engine
from workers.microworld import oracle
from workers.microworld.build import SHIPPED
from workers.microworld.tokenizer import build_tokenizer
from workers.prompts import Prompts

PROMPTS = Prompts(load_prompts("microworld"), load_principles("microworld"), build_tokenizer())
# Together more tokens than vLLM takes in one step, so that a prefill would be split if it may be.
DOCUMENTS = 160
RATED = 12


def asked(kind):
    """Replies drawn twice and once with other seeds, log-probabilities of two words, and how many
    tokens of a second question about the same texts were known from the first."""
    engine = start_engine(EngineSpec(kind, str(SHIPPED), "", "float32", 160, threads=1))
    texts = [document.text for document in oracle.misaligned_documents(13, DOCUMENTS)]
    names = [p.id for p in PROMPTS.principles.principles]
    prompts = [PROMPTS.revise(text, names[:1], "edits") for text in texts]
    assert sum(map(len, prompts)) > 4096
    sampling = [
        Sampling(max_tokens=16, temperature=2.0, seeds=tuple(range(first, first + DOCUMENTS)))
        for first in (0, 0, 1000)
    ]
    if kind == "vllm":
        drawn = [[reply.token_ids for reply in engine.generate(prompts, s)] for s in sampling]
    else:
        drawn = []
    scores = engine.choices(prompts[:RATED], PROMPTS.tokenizer.convert_tokens_to_ids(["yes", "no"]))
    assert engine.choices([], [1, 2]) == [] == engine.generate([], sampling[0])
    before = engine.usage.copy()
    engine.choices([PROMPTS.rate(text, names[1]) for text in texts[:RATED]], [1, 2])
    again = engine.usage.since(before)
    engine.close()
    return drawn, scores, again


@pytest.fixture(scope="module")
def answers():
    # A process each: an engine keeps threads and environment variables to itself.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(asked, "vllm").result()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return found, pool.submit(asked, "transformers").result()


def test_a_seed_decides_what_is_sampled(answers):
    first, again, other = answers[0][0]
    assert first == again
    assert sum(a != b for a, b in zip(first, other, strict=True)) > DOCUMENTS // 2


def test_log_probabilities_are_those_of_transformers(answers):
    (_, vllm, _), (_, transformers, _) = answers
    assert len(vllm) == len(transformers) == RATED
    for one, other in zip(vllm, transformers, strict=True):
        assert one == pytest.approx(other, abs=1e-3)


def test_a_short_text_is_read_once_for_all_questions_about_it(answers):
    again = answers[0][2]
    assert again.cached_tokens >= 0.3 * again.prompt_tokens
