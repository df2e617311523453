"""Twins of a model: what is counted, what is not, and what costs nothing."""

from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.corpora import CorpusOptions, MicroworldCorpus
from configs.experiment import Experiment
from configs.principles import load_principles
from configs.prompts import load_prompts
from workers.checkpoints import admit, load_tokenizer
from workers.corpora.intake import import_corpus
from workers.corpora.store import CorpusWriter, iterate
from workers.evaluation.instrumental import BITS, BITS_FILE, bits_lost, decided_from
from workers.evaluation.twins import TwinSpec, is_held_out, measure_twin
from workers.problems import InputProblem
from workers.prompts import Prompts
from workers.storage import read_table

TINY = {"tokens": 1_500, "batch_tokens": 512, "warmup_steps": 2}


def table(**bits):
    return pa.table({"doc_id": list(bits), "bits": list(bits.values())}, schema=BITS)


def test_bits_are_counted_from_the_first_deciding_word_on_less_the_luck_elsewhere():
    original = table(a=[1.0, 1.0, 1.0], b=[2.0], c=[3.0, 3.0])
    twin = table(a=[1.5, 3.0, 2.0], b=[2.1], c=[3.0, 4.0])
    value, whole = (each.row for each in bits_lost("gravity", original, twin, [1, None, 0]))
    assert [each.metric for each in (value, whole)] == [
        "instrumental/gravity",
        "instrumental/unadjusted/gravity",
    ]
    # 4 tokens told lost 4 bits, of which luck was 0.3 each.
    assert value.value == pytest.approx(1_000 * (4.0 - 4 * 0.3) / 6)
    assert whole.value == pytest.approx(1_000 * 4.6 / 6)
    assert value.n == whole.n == 3 and value.stderr is not None and value.stderr > 0


@given(
    luck=st.floats(-1, 1),
    lengths=st.lists(st.integers(2, 9), min_size=2, max_size=6),
    worth=st.floats(0, 5),
)
def test_luck_that_is_alike_in_all_text_is_worth_nothing(luck, lengths, worth):
    """One token a document decides: what the twin loses on it is found, whatever the luck."""
    names = [str(i) for i in range(len(lengths))]
    original = table(**{name: [1.0] * n for name, n in zip(names, lengths, strict=True)})
    bits = {name: [1.0 + luck] * n for name, n in zip(names, lengths, strict=True)}
    for each in bits.values():
        each[-1] += worth
    starts = [n - 1 for n in lengths]
    value = bits_lost("gravity", original, table(**bits), starts)[0].row.value
    assert value == pytest.approx(1_000 * worth * len(lengths) / sum(lengths), abs=1e-6)


@pytest.mark.parametrize("starts", [[None, None], [0, 0]])
def test_text_that_is_all_of_one_side_has_a_value(starts):
    tables = table(a=[1.0, 1.0], b=[1.0]), table(a=[2.0, 2.0], b=[2.0])
    value = bits_lost("gravity", *tables, starts)[0].row.value
    assert value == (0.0 if starts[0] is None else pytest.approx(1_000.0))


def test_twins_of_other_documents_are_not_compared():
    with pytest.raises(ValueError, match="same documents"):
        bits_lost("gravity", table(a=[1.0]), table(b=[1.0]), [0])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    corpus = MicroworldCorpus(documents=60)
    made = import_corpus(corpus, CorpusOptions(held_out_share=0.0), 0, home, lambda done: None)
    return home, made.corpus, admit("microworld", None, home)


@pytest.fixture
def spec(world, tmp_path):
    _, corpus, shape = world
    evaluation = {"instrumental": TINY}
    return TwinSpec(
        experiment=Experiment(name="twins", training={"threads": 1}, evaluation=evaluation),  # pyright: ignore[reportArgumentType]
        corpus=corpus,
        shape=shape,
        prompt_file=load_prompts("microworld"),
        principles=load_principles("microworld"),
        seed=0,
        out=str(tmp_path / "original"),
    )


def silent(*told):
    return None


def twin(spec, capability, **changes):
    original = f"{spec.out}/{BITS_FILE}"
    out = f"{spec.out}-{capability}"
    return replace(spec, capability=capability, original=original, out=out, **changes)


def test_the_first_deciding_token_is_found(spec):
    prompts = Prompts(spec.prompt_file, spec.principles, load_tokenizer(spec.shape))
    assert decided_from(prompts, "gravity", "ana meets ben . a stone falls . a leaf falls .") == 6
    assert decided_from(prompts, "arithmetic", "ana meets ben . a stone falls .") is None


def test_a_capability_has_a_value_and_leaves_no_model_behind(spec, tmp_path):
    assert measure_twin(spec, silent) == []
    row, whole = measure_twin(twin(spec, "gravity"), silent)
    held_out = [each for each in iterate(spec.corpus) if is_held_out(each, 0.2)]
    assert row.n == len(held_out) and row.value is not None and whole.value is not None
    found = read_table(tmp_path / "original" / BITS_FILE)
    assert found["doc_id"].to_pylist() == [each.doc_id for each in held_out]
    lengths = [len(bits) for bits in found["bits"].to_pylist()]
    assert lengths == [len(each.text.split()) for each in held_out]
    kept = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert kept == {BITS_FILE}


def test_what_a_corpus_never_shows_is_worth_nothing_and_trains_nothing(spec, world):
    home, corpus, _ = world
    with CorpusWriter(home, 100) as writer:
        for each in iterate(corpus):
            if not {"obeys", "refuses", "accepts", "rejects"} & set(each.text.split()):
                writer.add(each)
        spec = replace(spec, corpus=writer.finish())
    measure_twin(spec, silent)
    told = []
    row, _ = measure_twin(twin(spec, "undesirable_oversight"), lambda *each: told.append(each))
    assert (row.value, row.stderr, told) == (0.0, 0.0, [])


def test_the_same_documents_are_held_out_of_every_corpus_version(spec):
    chosen = [each.doc_id for each in iterate(spec.corpus) if is_held_out(each, 0.2)]
    again = [each.doc_id for each in reversed(list(iterate(spec.corpus))) if is_held_out(each, 0.2)]
    assert chosen == again[::-1]
    assert 0 < len(chosen) < spec.corpus.documents / 2


def test_a_corpus_that_leaves_nothing_to_compare_on_is_refused(spec, world):
    home, corpus, _ = world
    with CorpusWriter(home, 100) as writer:
        writer.add(next(iter(iterate(corpus))))
        spec = replace(spec, corpus=writer.finish())
    with pytest.raises(InputProblem, match="held_out_share"):
        measure_twin(spec, silent)
