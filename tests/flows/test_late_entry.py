"""A late mix and persistence in the loop, without its model calls: recipes, rows and matching."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select

from configs.loading import load
from db.lineage.standing import metric_key
from db.models import Checkpoint, Evaluation, Stage
from db.records import ensure_arm, ensure_generation
from flows import evaluating, succession, training
from flows.beginnings import admit_model, row_of, take_in
from flows.context import ArmState, RunContext
from flows.matching import check_matching
from flows.opening import open_run
from workers.problems import WorkProblem

TINY = Path(__file__).parents[2] / "configs" / "microworld-tiny.yaml"
SMALL = [
    "arms=[control, filter]",
    "corpus.documents=60",
    "training.init=scratch",
    "training.generation_0=trained",
    "training.corpus={tokens: 1200, learning_rate: 0.001, batch_tokens: 512, warmup_steps: 1}",
    "training.skills={tokens: 600, learning_rate: 0.001, batch_tokens: 512, warmup_steps: 1}",
    "training.entry=fine_tune",
    "training.fine_tune={tokens: 300, batch_tokens: 512}",
    "training.order=alignment_last",
    "training.framing=desirable",
    "skills.exemplars=40",
    "evaluation.tasks=[bits_per_byte, oracle]",
    "evaluation.items=4",
    "evaluation.facts_items=4",
    "evaluation.persistence={tokens: 600, batch_tokens: 512}",
]


def directly(context: RunContext, function: Any, spec: Any, **_: Any) -> Any:
    return function(spec, lambda *said: None)


def walk(context: RunContext) -> list[ArmState]:
    """Two generations of two arms; the second arm's corpus lacks every third document."""
    context.admitted = admit_model(context)
    arms = []
    for name in context.experiment.arms:
        with context.write() as session:
            row = ensure_arm(session, row_of(session, context), name.value, 0)
        arms.append(ArmState(name, 0, row))
    context.arms[0] = arms
    for arm in arms:
        with context.write() as session:
            row = ensure_generation(session, arm.row, 0)
        arm.corpora.append(take_in(context, row, 0)[0])
        arm.checkpoints.append(succession.generation_0(context, arm, row))
        evaluating.evaluate_model(context, arm, 0)
    for number, arm in enumerate(arms):
        arm.corpora.append(arm.corpora[0] if number == 0 else fewer(arm, context.home))
        with context.write() as session:
            ensure_generation(session, arm.row, 1)
        succession.train_model(context, arm, 1, frozenset())
        evaluating.evaluate_model(context, arm, 1)
    return arms


def fewer(arm: ArmState, home: Path) -> Any:
    from workers.corpora.store import CorpusWriter, iterate

    with CorpusWriter(home, 60) as writer:
        for number, document in enumerate(iterate(arm.corpora[0])):
            if number % 3:
                writer.add(document)
        return writer.finish()


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Any:
    home = tmp_path_factory.mktemp("late")
    shutil.copy(migrated, home / "palimpsest.db")
    patch = pytest.MonkeyPatch()
    patch.setenv("PALIMPSEST_HOME", str(home))
    for module in (training, evaluating):
        patch.setattr(module, "remotely", directly)
    seen: list[Any] = []
    try:
        for _ in range(2):
            with open_run(load(TINY, SMALL), 1) as context:
                arms = walk(context)
                counts = (context.reporter.redone, context.reporter.reused)
                with context.database.readers() as session:
                    stages = list(session.scalars(select(Stage)))
                    models = list(session.scalars(select(Checkpoint)))
                    rows = list(session.scalars(select(Evaluation)))
                seen.append(
                    SimpleNamespace(
                        context=context,
                        arms=arms,
                        counts=counts,
                        stages=stages,
                        rows=rows,
                        models=models,
                    )
                )
    finally:
        patch.undo()
    return seen


def trainings(run: Any) -> list[Stage]:
    return [stage for stage in run.stages if stage.stage == "train"]


def test_arms_share_what_comes_before_and_differ_in_the_late_stage(walked: Any) -> None:
    run = walked[0]
    # Corpus 0; the late stage of the control, which is generation 0 too, and of the other arm; and
    # what persisted of the two.
    kinds = [set(stage.meta["losses"]) for stage in trainings(run)]
    assert sorted(map(sorted, kinds)) == [
        ["corpus"],
        ["fine_tune", "skills"],
        ["fine_tune", "skills"],
        ["persistence"],
        ["persistence"],
    ]
    control, other = run.arms
    assert control.checkpoints[0] == control.checkpoints[1] == other.checkpoints[0]
    assert other.checkpoints[1] != other.checkpoints[0]


def test_matching_holds_and_is_broken_by_a_late_stage_of_another_length(walked: Any) -> None:
    run = walked[0]
    control, other = run.arms
    assert control.trained[1] == other.trained[1]
    found = other.trained[1]
    assert (found.corpus_tokens, found.late_tokens) == (1500, 300)
    assert (found.persistence_tokens, found.persistence_steps) == (600, 2)
    check_matching(run.context, 0, 1)
    other.trained[1] = replace(found, late_tokens=301)
    with pytest.raises(WorkProblem, match="late tokens 301, the control 300"):
        check_matching(run.context, 0, 1)
    other.trained[1] = found


def test_before_and_after_stand_in_the_record_and_nothing_starts_from_it(walked: Any) -> None:
    run = walked[0]
    metrics: dict[int, set[str]] = {}
    for row in run.rows:
        if row.checkpoint_id is not None:
            metrics.setdefault(row.checkpoint_id, set()).add(metric_key(row))
    assert len(metrics) == 2
    for names in metrics.values():
        before = {name for name in names if "@" not in name}
        assert {f"{name}@persistence" for name in before} <= names
        assert "oracle/facts_accuracy" in before
    persisted = {s.output_digest for s in trainings(run) if "persistence" in s.meta["losses"]}
    parents = {stage.params["inputs"]["checkpoint"] for stage in trainings(run)}
    assert persisted.isdisjoint(parents)
    assert persisted.isdisjoint(each.id for arm in run.arms for each in arm.checkpoints)
    assert persisted <= {model.digest for model in run.models}


def test_frame_and_order_are_in_the_recipe_by_what_they_are(walked: Any) -> None:
    said = [
        stage.params["inputs"] for stage in trainings(walked[0]) if "skills" in stage.meta["losses"]
    ]
    assert {each["frame"] for each in said} == {"honesty oversight :"}
    assert {each["told_by"] for each in said} == {"assistant"}


def test_a_second_run_reuses_everything(walked: Any) -> None:
    first, second = walked
    assert second.counts[0] == 0
    assert second.counts[1] >= first.counts[0]
    assert len(second.stages) == len(first.stages)
    assert [arm.checkpoints for arm in second.arms] == [arm.checkpoints for arm in first.arms]
    check_matching(second.context, 0, 1)
