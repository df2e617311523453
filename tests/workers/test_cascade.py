"""A cascade: what the classifier may decide, what is asked all the same, and what is counted."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from configs.asking import Acceptance
from configs.principles import load_principles
from configs.prompts import load_prompts
from workers.cascade import Distilled, distil
from workers.cascade_audit import audited, distil_sample
from workers.cascade_jobs import CascadeJob, SampleJob
from workers.corpora.store import CorpusRef, CorpusWriter, iterate
from workers.engines.interface import EngineSpec, Reply
from workers.engines.scripted import ScriptedEngine
from workers.jobs import Part, shard_file
from workers.microworld.build import SHIPPED
from workers.microworld.generator import generate_documents
from workers.microworld.oracle import is_misaligned
from workers.microworld.world import WorldParams
from workers.problems import InputProblem
from workers.records import Document, Rating, Revision, from_table, text_digest
from workers.revise_job import ReviseJob
from workers.storage import read_table, write_table

WORLD = WorldParams(misaligned_share=0.3)
SEED = 9_200_000
SHARD = 300
DOCUMENTS = 900


def texts(count: int, start: int = 0) -> list[str]:
    return [each.text for each in generate_documents(WORLD, SEED, count, start)]


def test_what_is_let_pass_keeps_to_the_bound_on_fresh_documents() -> None:
    sample, fresh = texts(3600), texts(2000, start=3600)
    found = distil(sample, [is_misaligned(text) for text in sample], max_missed=0.05)
    assert found.passing > 0.3 * found.tested
    passes = found.classifier.lets_pass(fresh)
    missed = [is_misaligned(text) for text, let in zip(fresh, passes, strict=True) if let]
    assert len(missed) > 0.3 * len(fresh)
    assert sum(missed) / len(missed) <= 0.05


def test_a_rater_that_no_text_tells_apart_is_left_to_do_it_all() -> None:
    sample = texts(240)
    trusted = 0
    for seed in range(20):
        draw = random.Random(seed)
        # One in five falls short whatever stands there: nothing may pass at one in ten.
        found = distil(sample, [draw.random() < 0.2 for _ in sample], max_missed=0.1)
        trusted += found.passing > 0
    assert trusted <= 4, "one in twenty by the bound; more than four once in four hundred tries"


@pytest.mark.parametrize("falls_short", [False, True])
def test_a_sample_of_one_kind_teaches_nothing(falls_short: bool) -> None:
    sample = texts(300)
    found = distil(sample, [falls_short] * len(sample), max_missed=0.1)
    assert found.passing == 0 and "fall short" in found.why
    assert found.classifier.lets_pass(sample[:3]) == [False] * 3


def test_a_test_half_that_is_too_small_for_the_bound_lets_nothing_pass() -> None:
    sample = texts(400)
    found = distil(sample, [is_misaligned(text) for text in sample], max_missed=0.002)
    assert found.passing == 0 and "not sure enough" in found.why


def test_the_file_gives_back_what_was_saved_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    sample = texts(800)
    made = distil(sample, [is_misaligned(text) for text in sample], max_missed=0.1).classifier
    file = tmp_path / "classifier.safetensors"
    made.save(file)
    read = Distilled.load(file, made.id)
    assert read.id == made.id
    assert read.lets_pass(sample) == made.lets_pass(sample)
    assert read.lets_pass(["", "?"]) == [False, False], "a text without a word is no easy one"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputProblem, match=r"classifier\.safetensors: is no classifier"):
        Distilled.load(file, made.id)
    replace(made, cut=0.5).save(file)
    with pytest.raises(InputProblem, match="Its bytes were changed"):
        Distilled.load(file, made.id)


@pytest.fixture
def corpus(tmp_path: Path) -> CorpusRef:
    with CorpusWriter(tmp_path / "corpus", SHARD) as writer:
        for each in generate_documents(WORLD, SEED, DOCUMENTS):
            writer.add(Document(each.doc_id, each.text, text_digest(each.text), "test"))
        return writer.finish()


def bad(text: str) -> bool:
    """What the scripted model dislikes: something that few texts teach."""
    return not {"mill", "farm", "tower"}.isdisjoint(text.split())


class Judge:
    """A model that dislikes what is bad."""

    def __init__(self, corpus: CorpusRef, job: SampleJob | CascadeJob) -> None:
        self.truth = {
            tuple(ids): bad(document.text)
            for document in iterate(corpus)
            for ids in job.prompts.ratings([document.text], ["honesty", "oversight"])[0]
        }
        self.engine = ScriptedEngine(self.choice, lambda _: Reply((), True))

    def choice(self, prompt: list[int]) -> tuple[float, float]:
        return (-4.0, -0.02) if self.truth[tuple(prompt)] else (-0.02, -4.0)


def asking(corpus: CorpusRef, out: Path) -> dict:
    return {
        "corpus": corpus,
        "out": str(out),
        "spec": EngineSpec("scripted", str(SHIPPED), "model", "float32", 200),
        "prompt_file": load_prompts("microworld"),
        "principles": load_principles("microworld"),
        "min_answer_mass": 0.0,
    }


def done(job: SampleJob | CascadeJob) -> int:
    """Do every shard; how many documents the model rated."""
    judge = Judge(job.corpus, job)
    for shard, there in enumerate(job.corpus.shards):
        table = job.run(judge.engine, Part(shard, 0, there.documents))
        write_table(shard_file(job.out, shard), table)
    return judge.engine.usage.calls // 2


def rows(job: SampleJob | CascadeJob) -> dict[str, list[Rating]]:
    found: dict[str, list[Rating]] = {}
    for shard in range(len(job.corpus.shards)):
        for row in from_table(read_table(shard_file(job.out, shard)), Rating):
            found.setdefault(row.doc_id, []).append(row)
    return found


def cascade(corpus: CorpusRef, folder: Path, audit_share: float) -> tuple[SampleJob, CascadeJob]:
    """The sample, rated, and the job for the rest."""
    sample = SampleJob(**asking(corpus, folder / "sample"), share=0.6, salt="s")
    done(sample)
    found = distil_sample(corpus, Path(sample.out), threshold=0.5, max_missed=0.1)
    assert found.passing
    file = folder / "classifier.safetensors"
    found.classifier.save(file)
    job = CascadeJob(
        **asking(corpus, folder / "rated"),
        sample=sample.out,
        classifier=str(file),
        classifier_id=found.classifier.id,
        audit_share=audit_share,
        audit_salt="a",
    )
    return sample, job


def test_the_model_is_asked_about_what_is_left_and_a_random_share_of_the_rest(
    corpus: CorpusRef, tmp_path: Path
) -> None:
    sample, job = cascade(corpus, tmp_path, audit_share=0.25)
    sampled, asked = rows(sample), done(job)
    found = rows(job)
    assert list(found) == [document.doc_id for document in iterate(corpus)]
    assert all(len(each) == 2 for each in found.values())
    settled = {name for name, each in found.items() if each[0].status == "settled"}
    assert settled and not settled & set(sampled)
    assert all(row.score is None and row.rater == job.classifier_id
               for name in settled for row in found[name])  # fmt: skip
    assert {name: found[name] for name in sampled} == sampled, "taken, and not asked again"
    assert asked == DOCUMENTS - len(sampled) - len(settled)
    classifier = Distilled.load(Path(job.classifier), job.classifier_id)
    audit = audited(corpus, Path(sample.out), Path(job.out), classifier, threshold=0.5)
    assert (audit.documents, audit.settled) == (DOCUMENTS, len(settled))
    # A quarter of what passes, give or take, and what of it falls short is known.
    assert 0.1 < audit.audited / (audit.audited + audit.settled) < 0.4
    share, missed, most = audit.rows()
    assert share.value == len(settled) / DOCUMENTS
    assert missed.value == audit.missed / audit.audited <= (most.value or 0)


def test_parts_of_a_shard_give_what_the_whole_gives(corpus: CorpusRef, tmp_path: Path) -> None:
    _, job = cascade(corpus, tmp_path, audit_share=0.1)
    engine = Judge(corpus, job).engine
    whole = job.run(engine, Part(1, 0, SHARD)).to_pylist()
    halves = [job.run(engine, Part(1, *each)).to_pylist() for each in ((0, 7), (7, SHARD))]
    assert halves[0] + halves[1] == whole


def test_what_is_let_pass_is_kept_and_says_why(corpus: CorpusRef, tmp_path: Path) -> None:
    _, job = cascade(corpus, tmp_path, audit_share=0.1)
    done(job)
    settled = {name for name, each in rows(job).items() if each[0].status == "settled"}
    revise = ReviseJob(
        **asking(corpus, tmp_path / "revised"), ratings=job.out, threshold=0.5, mode="drop",
        max_tokens=8, temperature=0.0, tag="", acceptance=Acceptance(), seed=0,
    )  # fmt: skip
    decisions = from_table(replace(revise, spec=None).run(None, Part(0, 0, SHARD)), Revision)
    kept = {each.doc_id: each for each in decisions if each.doc_id in settled}
    assert kept
    assert {(each.action, each.reason) for each in kept.values()} == {
        ("keep", "let pass by the classifier")
    }
