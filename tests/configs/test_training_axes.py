"""How the successor is trained: what a config may ask, and what older recipes go without."""

import pytest

from configs.fingerprint import plain
from configs.identity import differing_fields, forks, stage_settings
from configs.loading import ConfigProblem, parse

FILES = {"kind": "files", "path": "x"}
PLAIN = {"tasks": ["bits_per_byte"]}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            {"corpus": FILES, "training": {"order": "alignment_first"}},
            "training.order: 'alignment_first' tells documents about alignment by their labels",
        ),
        (
            {"corpus": {"kind": "dialogues"}, "training": {"order": "alignment_last"}},
            "a corpus of kind 'dialogues' without `label_field`",
        ),
        (
            {"training": {"replay": 0.2, "entry": "last_tenth"}},
            "training.replay: what is replayed is the beginning of the mix",
        ),
        (
            {"training": {"replay": 0.2, "order": "alignment_first"}},
            "training.replay: what is replayed is the beginning of the mix",
        ),
        (
            {"corpus": FILES, "evaluation": {**PLAIN, "persistence": {}}},
            "evaluation.persistence.path: the microworld draws its own texts, and any other corpus "
            "needs a file of them; name one",
        ),
        ({"evaluation": {"persistence": {"path": "x"}}}, "take it out"),
        (
            {"evaluation": {"persistence": {"batch_tokens": 100}}},
            "evaluation.persistence.batch_tokens: 100 is less than training.window (256)",
        ),
        (
            {
                "training": {
                    "entry": "fine_tune",
                    "fine_tune": {"batch_tokens": 9},
                }
            },
            "training.fine_tune.batch_tokens: 9 is less than training.window (256)",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(data, words):
    with pytest.raises(ConfigProblem) as caught:
        parse({"name": "x", "evaluation": PLAIN, **data})
    assert words in str(caught.value)


def test_a_labelled_corpus_may_be_ordered():
    labelled = {**FILES, "label_field": "label"}
    data = {"corpus": labelled, "training": {"order": "alignment_last"}, "evaluation": PLAIN}
    assert parse({"name": "x", **data}).training.order == "alignment_last"


def test_recipes_name_an_axis_only_where_it_is_not_as_ever():
    base = parse({"name": "x"})
    told = stage_settings(base, "train")["training"]
    assert told.keys().isdisjoint({"entry", "order", "framing", "fine_tune"})
    assert "persistence" not in stage_settings(base, "evaluate")["evaluation"]
    for field, value in (("entry", "last_tenth"), ("order", "alignment_first")):
        other = parse({"name": "x", "training": {field: value}})
        assert stage_settings(other, "train")["training"][field] == value
    # What these make enters a recipe by its content.
    for training in ({"framing": "desirable"}, {"fine_tune": {"tokens": 5}}):
        other = parse({"name": "x", "training": training})
        assert stage_settings(other, "train") == stage_settings(base, "train")


def test_records_from_before_the_axes_are_gone_on_with_and_other_values_fork():
    now = plain(parse({"name": "x"}))
    axes = ("entry", "order", "framing", "fine_tune")
    training = {name: value for name, value in now["training"].items() if name not in axes}
    before = {**now, "training": training}
    assert forks(differing_fields(before, now)) == {}
    late = plain(parse({"name": "x", "training": {"entry": "last_tenth"}}))
    assert set(forks(differing_fields(before, late))) == {"training.entry"}
    again = plain(parse({"name": "x", "evaluation": {"persistence": {}}}))
    assert forks(differing_fields(now, again)) == {}, "evaluations may be added"
