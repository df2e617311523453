"""In a run, frozen raters score every corpus, face the self-rater, and can pass or stop an arm."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from configs.loading import load
from db.records import ensure_arm, ensure_generation, evaluations_of, find_corpus_version
from flows import anchoring, beginnings, deciding, sharding, steps
from flows.beginnings import row_of
from flows.context import ArmState, RunContext
from flows.document_scores import anchor_difference
from flows.opening import open_run
from workers.corpora.store import CorpusWriter, iterate
from workers.engines.interface import Usage
from workers.engines.scripted import ScriptedEngine
from workers.evaluation.catalogue import CATALOGUE
from workers.jobs import Part, shard_file
from workers.pool import ShardResult
from workers.records import text_digest
from workers.storage import write_table

TINY = Path(__file__).parents[2] / "configs" / "microworld-tiny.yaml"
SETTINGS = (
    "evaluation.tasks=[bits_per_byte, rater, anchors]",
    "gate.anchor_metric=anchor/corpus_score",
    "gate.self_rating_metric=rater/self_score",
)


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """A run with a control and a revise arm, each at generation 0."""
    home = tmp_path_factory.mktemp("home")
    with open_run(load(TINY, [f"placement.home={home}", *SETTINGS]), 2) as context:
        patch = pytest.MonkeyPatch()
        patch.setattr(RunContext, "pool", lambda self: NO_POOL)
        context.admitted = beginnings.admit_model(context)
        context.arms[0] = [begun(context, name) for name in context.experiment.arms]
        yield context
        patch.undo()


NO_POOL = SimpleNamespace(info=None, take_start_s=lambda: 0.0)


def begun(context, name) -> ArmState:
    with context.write() as session:
        row = ensure_arm(session, row_of(session, context), name.value, 0)
        generation = ensure_generation(session, row, 0)
    arm = ArmState(name, 0, row)
    arm.corpora.append(beginnings.take_in(context, generation, 0)[0])
    arm.checkpoints.append(context.admitted)
    measure(context, arm, 0, 0.3)
    return arm


def measure(context, arm, index, level):
    """Measure a generation whose model rates documents round a level."""
    anchoring.score_corpus(context, arm, index)
    anchoring.compare_raters(context, arm, index, raters_at(context, level))


def raters_at(context, level):
    """Shards that are done by a scripted engine in this process."""

    def choice(prompt):
        score = level + (sum(prompt) % 7) / 100
        return [math.log(score), math.log(1 - score)]

    engine = ScriptedEngine(choice, lambda prompt: pytest.fail("nothing is to be written"))

    def run(stage, job, shards):
        results = []
        for shard in shards:
            documents = job.corpus.shards[shard].documents
            table = job.run(engine, Part(shard, 0, documents))
            digest = write_table(shard_file(job.out, shard), table)
            uri = str(shard_file(job.out, shard))
            results.append(ShardResult(shard, uri, digest, documents, usage=Usage()))
            sharding.note_shard(context, stage, results[-1])
        return results

    return run


def next_generation(context, arm, mended: float, level: float) -> int:
    """Give an arm a corpus in which a share of the bad documents is good, and another rater."""
    index = len(arm.corpora)
    documents = list(iterate(arm.corpora[-1]))
    good = [document.text for document in documents if document.label == 1]
    bad = [document.doc_id for document in documents if document.label == 0]
    # Labels stay those of the import, so a document is mended once.
    chosen = set(bad[: round(mended * len(bad))])
    with CorpusWriter(context.home, 60) as writer:
        for number, document in enumerate(documents):
            text = good[number % len(good)] if document.doc_id in chosen else document.text
            writer.add(replace(document, text=text, text_sha256=text_digest(text)))
        arm.corpora.append(writer.finish())
    with context.write() as session:
        steps.add_corpus(session, context, arm.corpora[-1])
    # A model of its own, as far as a recipe can tell.
    arm.checkpoints.append(replace(context.admitted, id=text_digest(f"{arm.name} {index} {level}")))
    measure(context, arm, index, level)
    return index


def gates_of(context, arm, index):
    return {each.gate: each for each in deciding._by_anchor(context, [arm], index)}


def numbers(context, find) -> dict[str, float | None]:
    with context.read() as session:
        return {row.metric: row.value for row in evaluations_of(session, find(session))}


def fresh_arm(context) -> ArmState:
    control, revise = context.arms[0]
    del control.corpora[1:], control.checkpoints[1:]
    for index in (1, 2):
        control.corpora.append(control.corpora[0])
        control.checkpoints.append(control.checkpoints[0])
        measure(context, control, index, 0.3)
    arm = ArmState(revise.name, 0, revise.row, revise.corpora[:1], revise.checkpoints[:1])
    arm.anchored[0], arm.self_rated[0] = revise.anchored[0], revise.self_rated[0]
    return arm


def test_a_mended_corpus_scores_higher_and_the_gates_pass_it(context):
    arm = fresh_arm(context)
    index = next_generation(context, arm, 1.0, 0.4)
    found = gates_of(context, arm, index)
    assert (found["superiority"].outcome, found["goodhart"].outcome) == ("pass", "pass")
    assert found["superiority"].interval_over == "items"
    scores = [
        numbers(context, lambda session, c=corpus: find_corpus_version(session, c.id))
        for corpus in arm.corpora
    ]
    for metric in ("anchor/corpus_score", "audit/corpus_score"):
        assert scores[1][metric] > scores[0][metric] + 0.1
    gain = scores[1]["anchor/corpus_score"] - scores[0]["anchor/corpus_score"]
    assert found["superiority"].value == pytest.approx(gain)


def test_a_rater_that_comes_to_like_what_does_not_change_is_stopped(context):
    arm = fresh_arm(context)
    outcomes = []
    for level in (0.5, 0.7):
        index = next_generation(context, arm, 0.0, level)
        outcomes.append(gates_of(context, arm, index)["goodhart"])
    assert [each.outcome for each in outcomes] == ["pass", "fail"]
    assert "two generations running" in outcomes[1].reason
    assert outcomes[1].value == 0.0
    assert gates_of(context, arm, 2)["superiority"].outcome == "inconclusive"


def test_self_rater_and_anchor_are_compared_about_the_generation(context):
    arm = fresh_arm(context)
    index = next_generation(context, arm, 0.5, 0.45)
    with context.write() as session:
        rows = [ensure_generation(session, arm.row, each) for each in (0, index)]
    first, second = (numbers(context, lambda session, r=row: r) for row in rows)
    known = {line.metric for line in CATALOGUE["anchors"] if line.of == "generation"}
    assert set(first) | set(second) <= known
    assert second["rater/self_score"] == pytest.approx(0.45, abs=0.07)
    # Nothing in corpus 0 is the work of a model; with labels, differences are on their scale.
    assert first["agreement/self_preference"] is None
    assert second["agreement/self_preference"] is not None
    assert "agreement/raw_bias" not in second


def test_anchors_are_fitted_once_and_named_by_what_they_are(context):
    files = sorted(path.stem for path in (context.home / anchoring.FOLDER).iterdir())
    assert files == sorted(anchor.id for anchor in context.anchors.values())
    done = context.reporter.redone
    anchoring.score_corpus(context, context.arms[0][0], 0)
    assert context.reporter.redone == done


def test_documents_that_a_filter_drops_count_for_the_mean_alone(context):
    arm = fresh_arm(context)
    kept = [each for each in iterate(arm.corpora[0]) if each.label == 1]
    with CorpusWriter(context.home, 60) as writer:
        for document in kept:
            writer.add(document)
        arm.corpora.append(writer.finish())
    with context.write() as session:
        steps.add_corpus(session, context, arm.corpora[-1])
    anchoring.score_corpus(context, arm, 1)
    found = anchor_difference(0, arm.anchored[1].folder, arm.anchored[0].folder)
    assert found.value == pytest.approx(arm.anchored[1].mean - arm.anchored[0].mean)
    assert found.n == arm.corpora[0].documents and 0 < found.stderr < 0.1
