"""Every model continues the same openings, and what it wrote is kept and measured."""

from dataclasses import replace

import pytest
import torch

from configs.corpora import CorpusOptions, MicroworldCorpus
from configs.evaluation import Evaluation
from configs.experiment import Experiment
from configs.principles import load_principles
from configs.prompts import load_prompts
from configs.samples import Samples
from workers.checkpoints import admit, load_tokenizer
from workers.corpora.intake import import_corpus
from workers.corpora.store import iterate
from workers.engines.gumbel import GumbelNoise
from workers.engines.interface import EngineSpec, Sampling
from workers.engines.transformers_engine import TransformersEngine
from workers.evaluation.oracle_tasks import samples_share
from workers.evaluation.sample_files import SAMPLES_FILE, evaluation_files, read_samples
from workers.evaluation.samples import samples
from workers.evaluation.subject import Subject
from workers.microworld import oracle
from workers.problems import InputProblem
from workers.prompts import Prompts

ASKED = Evaluation(tasks=("oracle", "samples"), samples=Samples(prompts=24, max_tokens=48))


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    intake = CorpusOptions(held_out_share=0.5)
    held_out = import_corpus(MicroworldCorpus(documents=80), intake, 0, home, lambda n: None)
    checkpoint = admit("microworld", None, home)
    threads = torch.get_num_threads()
    spec = EngineSpec("transformers", checkpoint.uri, checkpoint.id, "float32", 160, batch=24)
    prompts = Prompts(
        load_prompts("microworld"), load_principles("microworld"), load_tokenizer(checkpoint)
    )
    experiment = Experiment(name="x", evaluation=ASKED)
    yield Subject(
        TransformersEngine(spec), prompts, experiment, held_out.held_out, out=home / "stage"
    )
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def measured(subject):
    subject.out.mkdir()
    found = {measure.row.metric: measure.row for measure in samples(subject)}
    return found, read_samples(subject.out / SAMPLES_FILE)


def test_a_model_goes_on_where_held_out_documents_end_their_first_sentence(subject, measured):
    texts = {document.doc_id: document.text for document in iterate(subject.held_out)}
    written = measured[1]
    assert len(written) == len({each.doc_id for each in written}) == 24
    for each in written:
        assert texts[each.doc_id].startswith(each.opening) and each.opening.endswith(".")
        assert each.opening.count(".") == 1
        assert each.text == f"{each.opening} {each.continuation}"
    # Trained on such stories, it writes one to most of them.
    assert sum(oracle.read(each.text) is not None for each in written) > 12


def test_another_batch_and_another_model_object_draw_the_same(subject, measured):
    again = replace(subject, out=subject.out.with_name("again"))
    again.out.mkdir()
    batch, subject.engine._batch = subject.engine._batch, 7
    try:
        samples(again)
    finally:
        subject.engine._batch = batch
    assert read_samples(again.out / SAMPLES_FILE) == measured[1]


def test_what_it_wrote_is_measured_for_collapse_and_judged_by_the_oracle(measured):
    rows, written = measured
    assert rows["collapse/samples/compression_ratio"].value > 1
    assert rows["collapse/samples/self_bleu"].n == 24
    share = rows["oracle/samples_misaligned_share"]
    assert share.n + share.unscored == 24
    assert share.n == sum(oracle.shows_act(each.text) for each in written) > 0
    assert 0.0 <= share.value <= 1.0


def test_a_story_without_an_assistants_act_is_unscored_and_no_good_one():
    bad, good = (next(oracle.misaligned_documents(0, 1)).text, "a stone falls .")
    assert oracle.is_misaligned(bad) and oracle.shows_act(bad) and not oracle.shows_act(good)
    row = samples_share([bad, good, ""]).row
    assert (row.value, row.n, row.unscored) == (1.0, 1, 2)
    assert samples_share([good]).row.value is None


def test_without_the_oracle_among_the_tasks_it_judges_nothing(subject, monkeypatch):
    monkeypatch.setattr("workers.evaluation.oracle_tasks.samples_share", None)
    tasks = ASKED.model_copy(
        update={"tasks": ("samples",), "samples": Samples(prompts=2, max_tokens=4)}
    )
    experiment = subject.experiment.model_copy(update={"evaluation": tasks})
    found = samples(replace(subject, experiment=experiment, out=None))
    assert {measure.row.task for measure in found} == {"collapse"}


def test_no_held_out_document_is_refused_with_the_field(subject):
    with pytest.raises(InputProblem, match=r"intake\.held_out_share"):
        samples(replace(subject, held_out=None))


def test_a_model_leaves_its_samples_only_where_they_are_asked_for():
    assert evaluation_files(("oracle",)) == ("items.parquet",)
    assert evaluation_files(("samples",)) == ("items.parquet", "samples.parquet")


def test_noise_on_logits_draws_from_their_distribution():
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0])
    for temperature in (1.0, 0.5):
        noise = GumbelNoise(range(500), temperature)
        scores = logits.expand(500, 4)
        drawn = torch.cat([noise(None, scores).argmax(-1) for _ in range(20)])
        shares = torch.bincount(drawn, minlength=4) / 10_000
        assert torch.allclose(shares, (logits / temperature).softmax(-1), atol=0.02)


def test_each_reply_has_its_own_seed(subject):
    prompt = subject.prompts.document("the robot chip helps cleo at the library .")[:-1]
    asked = Sampling(max_tokens=24, temperature=1.0, stop_ids=(subject.prompts.end_id,))
    same, other = subject.engine.sample([prompt] * 3, replace(asked, seeds=(5, 5, 6)))[1:]
    first = subject.engine.sample([prompt], replace(asked, seeds=(5,)))[0]
    assert first == same != other
