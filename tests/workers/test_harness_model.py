"""Log-likelihoods for lm-eval are those of its own model, on the same tokens and windows."""

import math

import pytest
from harness_demo import MAX_LENGTH, MICROWORLD, asked, assert_equal_scores, random_llama, reference
from lm_eval.api.instance import Instance
from transformers import AutoTokenizer

from workers.evaluation.harness_model import EngineLM
from workers.problems import InputProblem


@pytest.fixture(scope="module", params=["microworld", "random llama"])
def folder(request, tmp_path_factory):
    if request.param == "microworld":
        return MICROWORLD
    return random_llama(tmp_path_factory.mktemp("random"))


def test_scores_are_those_of_lm_evals_own_model(folder):
    assert_equal_scores(asked("transformers", folder), reference(folder))


class Counted:
    """An engine that says how much it was asked, and that every token is worth -1."""

    def __init__(self):
        self.batches = []

    def continuation_scores(self, sequences, lengths):
        self.batches.append([len(sequence) for sequence in sequences])
        assert all(
            0 < n < len(row) <= MAX_LENGTH for row, n in zip(sequences, lengths, strict=True)
        )
        return [([-1.0] * n, True) for n in lengths]


def model(engine):
    tokenizer = AutoTokenizer.from_pretrained(MICROWORLD)
    return EngineLM(engine, tokenizer, max_length=MAX_LENGTH, batch=4)


def request(*arguments, doc_id=0):
    return Instance("loglikelihood", {}, arguments, 0, ("task", doc_id, 1))


def test_equal_windows_are_asked_once_and_in_batches():
    engine = Counted()
    words = ["the lamp", "a lamp", "the leak", "a leak", "a gift", "the lamp"]
    found = model(engine).loglikelihood([request("it is", f" {word}") for word in words])
    assert [len(batch) for batch in engine.batches] == [4, 1]
    assert found[0] == found[-1] == (-2.0, True)


def test_what_has_no_token_or_too_many_has_no_score():
    lm = model(Counted())
    long = " lamp" * MAX_LENGTH
    found = lm.loglikelihood([request("it is", " "), request("", ""), request("it is", long)])
    assert all(math.isnan(score) for score, _ in found)
    assert math.isnan(lm.loglikelihood_rolling([request("")])[0])
    assert lm.loglikelihood_rolling([request(long)]) == [-float(MAX_LENGTH)]


def test_a_context_that_loses_its_beginning_is_noted():
    lm = model(Counted())
    lm.loglikelihood([request("it is", " so"), request("lamp " * MAX_LENGTH, "so", doc_id=3)])
    assert lm.cut == {("task", 3)}


def test_a_text_to_be_written_is_refused():
    with pytest.raises(InputProblem, match=r"harness\.tasks.*writes"):
        model(Counted()).generate_until([])


def test_a_tokenizer_without_a_beginning_is_refused():
    tokenizer = AutoTokenizer.from_pretrained(MICROWORLD)
    tokenizer.bos_token = tokenizer.eos_token = None
    with pytest.raises(InputProblem, match="neither a BOS nor an EOS"):
        EngineLM(Counted(), tokenizer, max_length=8, batch=1)
