"""vLLM's log-likelihoods for lm-eval are those of its own model too."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest
from harness_demo import MICROWORLD, asked, assert_equal_scores, random_llama, reference


def alone(function, *arguments):
    # A process each: an engine keeps threads and environment variables to itself.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


@pytest.mark.parametrize(
    "name", ["microworld", pytest.param("random llama", marks=pytest.mark.slow)]
)
def test_scores_are_those_of_lm_evals_own_model(name, tmp_path):
    folder = MICROWORLD if name == "microworld" else random_llama(tmp_path)
    assert_equal_scores(alone(asked, "vllm", folder), alone(reference, folder))
