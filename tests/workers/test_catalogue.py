"""Whatever an evaluation gives is in the catalogue, which says what it is a number of."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.experiment import Experiment
from configs.principles import load_principles
from configs.prompts import load_prompts
from workers.checkpoints import admit
from workers.corpora.intake import import_corpus
from workers.corpora.store import iterate
from workers.evaluation.catalogue import CATALOGUE, Line, nearest, produced
from workers.evaluation.census import CorpusCensus, collapse_census, corpus_census
from workers.evaluation.items import read_items
from workers.evaluation.microworld_anchors import SHIPPED_EXEMPLARS, SHIPPED_SEED
from workers.evaluation.suite import EvaluateSpec, evaluate
from workers.microworld import build
from workers.sharing import MOUNTED

TASKS = ("bits_per_byte", "rater", "oracle", "collapse")


EXPERIMENT = Experiment.model_validate(
    {
        "name": "x",
        "corpus": {"kind": "microworld", "documents": 150},
        "evaluation": {"tasks": TASKS, "items": 30, "facts_items": 6},
    }
)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A small microworld, and what the shipped model gets on it, before post-training too."""
    home, settings = tmp_path_factory.mktemp("home"), EXPERIMENT
    made = import_corpus(settings.corpus, settings.intake, 0, home, lambda done: None)
    model = admit("microworld", None, home)
    spec = EvaluateSpec(
        experiment=settings,
        checkpoint=model,
        corpus_stage=model,
        held_out=made.held_out,
        prompt_file=load_prompts("microworld"),
        principles=load_principles("microworld"),
        out=str(home / "out"),
    )
    return home / "out", evaluate(spec, lambda *told: None), made.corpus


def of(subject: str) -> list[Line]:
    return [line for line in produced(EXPERIMENT) if line.of == subject]


def test_what_a_model_gets_is_in_the_catalogue_with_its_items(evaluated):
    folder, rows, _ = evaluated
    for row in rows:
        name = f"{row.metric}@{row.variant}" if row.variant else row.metric
        (line,) = (line for line in of("model") if line.matches(name))
        values, _ = read_items(folder / "items.parquet", row.metric, row.variant)
        assert bool(values) == line.items, name
    # And nothing is promised that no model gets.
    got = {row.metric for row in rows}
    assert got == {line.metric for line in of("model")}
    before = {row.metric for row in rows if row.variant}
    assert before == {line.metric for line in of("model") if line.variants}


def test_what_a_corpus_gets_is_in_the_catalogue(evaluated):
    corpus = evaluated[2]
    rows = corpus_census(CorpusCensus(((corpus, None),)))
    for order in (1, 3):
        rows += collapse_census(corpus, corpus, order, MOUNTED)
    for row in rows:
        assert any(line.matches(row.metric) for line in of("corpus")), row.metric
    assert all(any(line.matches(row.metric) for row in rows) for line in of("corpus"))
    assert len(list(islice(iterate(corpus), 2))) == 2


def test_no_metric_stands_twice():
    names = [line.metric for lines in CATALOGUE.values() for line in lines]
    assert len(names) == len(set(names))


def test_without_labels_nothing_is_promised_that_takes_them():
    files = {"kind": "files", "path": "x", "label_field": None}
    tasks = {"tasks": ["bits_per_byte", "rater"]}
    bare = Experiment.model_validate({"name": "x", "corpus": files, "evaluation": tasks})
    assert [line.metric for line in produced(bare)] == ["bits_per_byte"]


@given(st.sampled_from([line.metric for line in CATALOGUE["bits_per_byte"]]), st.data())
def test_a_slip_of_the_pen_leads_back_to_the_name(metric, data):
    place = data.draw(st.integers(0, len(metric) - 1))
    assert metric in nearest(metric[:place] + metric[place + 1 :], produced(EXPERIMENT))


def test_the_shipped_acceptance_rater_learned_from_the_set_that_anchors_leave_out():
    assert (build.SKILLS_SEED, build.EXEMPLARS) == (SHIPPED_SEED, SHIPPED_EXEMPLARS)
