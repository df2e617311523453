"""What decontamination finds is taken out of training, and nothing is sought unasked."""

from types import SimpleNamespace

import pytest

from configs.arms import Arm
from configs.loading import parse
from flows import revised_texts
from flows.context import ArmState
from flows.stages import Finished
from workers.corpora.store import CorpusRef
from workers.records import MetricRow
from workers.sharing import MOUNTED

CORPUS = CorpusRef("c", "/nowhere/c", (), 0)
DECIDED = Finished("decided", "/nowhere/d", {})


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run whose stages are done anew each time, and whose recipes are kept."""
    kept = SimpleNamespace(recipes=[], said=[], found=["b", "a"])

    def perform(context, row, recipe, work, whole):
        kept.recipes.append(recipe)
        return work(None)

    def contaminated(spec):
        return [MetricRow("decontamination", "decontamination/excluded", 0.5, 4)], kept.found

    monkeypatch.setattr(revised_texts, "perform", perform)
    monkeypatch.setattr(revised_texts, "contaminated", contaminated)

    def decontaminate(arm, **evaluation):
        experiment = parse({"name": "x", "evaluation": evaluation})
        context = SimpleNamespace(
            experiment=experiment,
            held_out={3: None},
            harness=None,
            store=MOUNTED,
            stage_folder=lambda recipe: tmp_path / recipe,
            reporter=SimpleNamespace(step=kept.said.append),
        )
        row = SimpleNamespace(id="generation-1")
        revised_texts.decontaminate(context, arm, row, CORPUS, DECIDED)  # pyright: ignore
        return arm

    kept.decontaminate = decontaminate
    return kept


def arm():
    return ArmState(Arm.REVISE, 3, None)  # pyright: ignore[reportArgumentType]


def test_offenders_are_noted_and_add_up_over_generations(run):
    treated = run.decontaminate(arm(), decontaminate=True)
    assert treated.contaminated == {"a", "b"}
    run.found = ["c"]
    assert run.decontaminate(treated, decontaminate=True).contaminated == {"a", "b", "c"}
    assert "2 of 4 accepted revisions hold what an evaluation asks" in run.said[0]


def test_nothing_is_sought_unless_asked_for(run):
    assert run.decontaminate(arm()).contaminated == set()
    assert run.recipes == [] and run.said == []


def test_what_is_sought_is_part_of_what_was_done(run):
    run.decontaminate(arm(), decontaminate=True)
    run.decontaminate(arm(), decontaminate=True, items=7)
    run.decontaminate(arm(), decontaminate=True, batch=7)
    first, fewer, placed = (recipe.id for recipe in run.recipes)
    assert first != fewer and first == placed
