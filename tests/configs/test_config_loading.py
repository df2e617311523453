"""Configs are closed and frozen; an error names the field, the value and the fix."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.experiment import Experiment
from configs.fingerprint import canonical_json, digest_of
from configs.identity import differing_fields, forks, stage_fingerprints, stage_settings
from configs.loading import ConfigProblem, load, parse
from configs.principles import Principles, load_principles
from configs.prompts import load_prompts

ROOT = Path(__file__).parents[2] / "configs"
SHIPPED = sorted([*ROOT.glob("*.yaml"), *ROOT.glob("study/*.yaml")])


def refused(data) -> str:
    with pytest.raises(ConfigProblem) as caught:
        parse({"name": "x", **data})
    return str(caught.value)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configs_load_with_the_files_that_they_name(path):
    experiment = load(path)
    load_principles(experiment.principles)
    load_prompts(experiment.model.prompts)
    assert experiment.name == "-".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"ratting": {}}, ("ratting", "no such field", "'rating'")),
        ({"rating": {"treshold": 0.5}}, ("rating.treshold", "'threshold'", "min_answer_mass")),
        ({"rating": {"threshold": 1.5}}, ("rating.threshold", "1.5", "less than or equal to 1")),
        ({"rating": {"threshold": -0.1}}, ("rating.threshold", "-0.1")),
        ({"engine": {"kind": "vlm"}}, ("engine.kind", "'vlm'", "Did you mean 'vllm'?")),
        ({"arms": ["revise"]}, ("arms", "control")),
        ({"seeds": []}, ("seeds",)),
        ({"corpus": {"kind": "files", "path": "x"}}, ("evaluation.tasks", "oracle")),
        ({"gate": {"capability_metric": "oracle/facts_accuracy"}}, ("oracle audits",)),
        ({"acceptance": {"length_ratio": [1.2, 1.5]}}, ("length_ratio",)),
        ({"name": "No Spaces"}, ("name",)),
    ],
)
def test_a_wrong_field_is_named_with_its_value_and_the_fix(data, words):
    said = refused(data)
    assert all(word in said for word in words), said


def test_overrides_reach_into_sections_and_are_checked(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("name: a\n")
    assert load(path, ["rating.threshold=0.7", "seeds=[1,2]"]).rating.threshold == 0.7
    for bad in ("rating.threshold", "name.x=1", "rating.threshold=[", "rating.treshold=1"):
        with pytest.raises(ConfigProblem):
            load(path, [bad])


def test_files_that_are_no_config_are_refused(tmp_path):
    for text, word in (("- a\n", "mapping"), ("a: [", "YAML"), ("name: a\nname: b\n", "twice")):
        path = tmp_path / "bad.yaml"
        path.write_text(text)
        with pytest.raises(ConfigProblem, match=word):
            load(path)
    (tmp_path / "bad.yaml").write_bytes(b"name: \xff")
    with pytest.raises(ConfigProblem, match="UTF-8"):
        load(tmp_path / "bad.yaml")
    with pytest.raises(ConfigProblem, match=r"microworld\.yaml"):
        load(tmp_path / "microwrld.yaml")


def test_a_config_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Experiment(name="x").name = "y"  # pyright: ignore[reportAttributeAccessIssue]


def test_a_principle_needs_both_sides_with_an_evaluation_each():
    good = load_principles("honesty-and-oversight").model_dump(mode="json")
    Principles.model_validate(good)
    for side in ("desirable", "undesirable"):
        for field in (None, "evaluation", "capability"):
            bad = load_principles("honesty-and-oversight").model_dump(mode="json")
            holder = bad["principles"][0]
            holder.pop(side) if field is None else holder[side].pop(field)
            with pytest.raises(ValueError, match=side):
                Principles.model_validate(bad)


@pytest.mark.parametrize(
    ("change", "allowed"),
    [
        ({"generations": 5}, True),
        ({"generations": 1}, False),
        ({"seeds": [0, 1]}, True),
        ({"seeds": [1]}, False),
        ({"arms": ["control", "revise", "filter"]}, True),
        ({"evaluation": {"items": 7}}, True),
        ({"engine": {"actors": 1}}, True),
        ({"engine": {"draft_tokens": 0, "answers_gb": 0}}, True),
        ({"budget": {"hours": 2.5}}, True),
        ({"placement": {"home": "/elsewhere"}}, True),
        ({"rating": {"threshold": 0.6}}, False),
        ({"training": {"init": "parent"}}, False),
        ({"engine": {"kind": "transformers"}}, False),
        ({"gate": {"margin": 0.5}}, False),
        ({"evaluation": {"samples": {"prompts": 7}}}, True),
        ({"evaluation": {"decontaminate": True}}, False),
    ],
)
def test_an_experiment_is_extended_or_forked_and_never_silently_changed(change, allowed):
    old = Experiment(name="x").model_dump(mode="json")
    new = parse({"name": "x", **change}).model_dump(mode="json")
    difference = differing_fields(old, new)
    assert difference
    assert (not forks(difference)) == allowed


def test_placement_is_no_part_of_a_fingerprint_and_settings_are():
    base = stage_fingerprints(parse({"name": "x"}))
    placed = {"placement": {"home": "/y"}, "engine": {"actors": 1}, "training": {"threads": 2}}
    assert stage_fingerprints(parse({"name": "z", **placed})) == base
    changed = stage_fingerprints(parse({"name": "x", "rating": {"threshold": 0.6}}))
    assert changed["rate"] == base["rate"]
    assert changed["revise"] != base["revise"]


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.booleans()))
def test_equal_mappings_have_equal_digests_in_any_order(mapping):
    turned = dict(reversed(list(mapping.items())))
    assert digest_of(mapping) == digest_of(turned)


@pytest.mark.parametrize("value", [float("nan"), {1: 2}, object(), Path("x"), {3, 4}])
def test_what_cannot_be_serialised_stably_raises(value):
    with pytest.raises(TypeError):
        canonical_json(value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["arms=[control,paraphrase]"], "skills.tasks: the arm `paraphrase`"),
        (
            ["arms=[control,paraphrase]", "revising.mode=drop"],
            "revising.mode: 'drop' writes nothing anew",
        ),
        (
            ["training.generation_0=trained", "skills.post_train_base=true"],
            "skills.post_train_base",
        ),
    ],
)
def test_arms_that_nothing_can_write_are_refused(settings, words):
    with pytest.raises(ConfigProblem, match=re.escape(words)):
        load(ROOT / "microworld-tiny.yaml", settings)


CASCADE = "rating.cascade={sample: 400}"
SAMPLED = "revising.temperature=0.7"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["revising.candidates=4"], "revising.temperature: 0 makes all 4 candidates the same"),
        (["revising.quantile=0.5"], "revising.quantile: 0.5 of one candidate"),
        (
            ["revising.candidates=4", SAMPLED, "revising.mode=drop"],
            "revising.candidates: `mode: drop` writes nothing",
        ),
        (["revising.reviser=base"], "acceptance.rater: with `revising.reviser: base`"),
        (["revising.reviser=some/model", "source=base"], "revising.reviser: 'some/model' would"),
        (["revising.reviser="], "revising.reviser"),
        (
            ["skills.source=none", "skills.post_train_base=true"],
            "skills.post_train_base: `skills.source: none` has no set",
        ),
        (
            [CASCADE, "arms=[control, invert]", "skills.tasks=[rate, revise, invert]"],
            "rating.cascade: lets pass what does not fall short",
        ),
        (
            [CASCADE, "evaluation.tasks=[anchors]"],
            "rating.cascade: `anchors` in evaluation.tasks",
        ),
        (["rating.cascade={sample: 5}"], "rating.cascade.sample"),
    ],
)
def test_readers_and_choices_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(ConfigProblem, match=re.escape(words)):
        load(ROOT / "microworld-tiny.yaml", settings)


def test_how_documents_are_revised_is_identity_where_it_is_set_and_only_there():
    plain = load(ROOT / "microworld-tiny.yaml")
    one = load(ROOT / "microworld-tiny.yaml", [SAMPLED])
    four = ["revising.candidates=4", "revising.quantile=0.5", SAMPLED]
    many = load(ROOT / "microworld-tiny.yaml", four)
    other = load(ROOT / "microworld-tiny.yaml", ["revising.reviser=some/model"])
    kept = {"mode", "max_tokens", "temperature", "tag"}
    assert set(stage_settings(plain, "revise")["revising"]) == kept
    assert set(stage_settings(many, "revise")["revising"]) == kept | {"candidates", "quantile"}
    # Evaluation asks for the likeliest answer; who revises enters as a checkpoint.
    assert stage_settings(many, "evaluate") == stage_settings(one, "evaluate")
    assert stage_settings(other, "revise") == stage_settings(plain, "revise")
    recorded = plain.model_dump(mode="json")
    for name in ("candidates", "quantile", "reviser"):
        del recorded["revising"][name]
    assert not forks(differing_fields(recorded, plain.model_dump(mode="json")))
    assert set(forks(differing_fields(recorded, many.model_dump(mode="json")))) == {
        "revising.candidates",
        "revising.quantile",
        "revising.temperature",
    }


def test_inversion_is_for_the_microworld_alone():
    data = {"arms": ["control", "invert"], "corpus": {"kind": "files", "path": "x"}}
    said = refused({**data, "evaluation": {"tasks": ["bits_per_byte"]}})
    assert "`invert` makes documents bad on purpose" in said


def test_a_generation_0_of_its_own_and_new_tasks_leave_older_recipes_alone():
    plain = load(ROOT / "microworld-tiny.yaml")
    own = load(ROOT / "microworld-tiny.yaml", ["training.generation_0=trained"])
    assert stage_settings(plain, "train") == stage_settings(own, "train")


@pytest.mark.parametrize("task", ["oracle", "deployment", "relearning"])
def test_what_the_oracle_knows_is_for_the_microworld_alone(task):
    data = {"corpus": {"kind": "files", "path": "x"}, "evaluation": {"tasks": [task]}}
    assert f"evaluation.tasks: `{task}` knows the truth of the microworld only" in refused(data)


def test_relearning_repeats_no_other_evaluation():
    plain = load(ROOT / "microworld-tiny.yaml")
    asked = load(
        ROOT / "microworld-tiny.yaml",
        [
            "evaluation.tasks=[bits_per_byte,rater,oracle,relearning]",
            "evaluation.relearning.steps=4",
            "evaluation.relearning.looks=2",
        ],
    )
    assert stage_settings(plain, "evaluate") == stage_settings(asked, "evaluate")
    assert stage_settings(plain, "train") == stage_settings(asked, "train")
    assert stage_settings(plain, "relearn") != stage_settings(asked, "relearn")


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"steps": 8, "looks": 5}, "need 16 steps"),
        ({"batch_tokens": 100}, "evaluation.relearning.batch_tokens"),
        ({"steps": 0}, "evaluation.relearning.steps"),
        ({"learning_rate": 0}, "evaluation.relearning.learning_rate"),
    ],
)
def test_relearning_that_cannot_be_done_is_refused_by_field(section, words):
    assert words in refused({"evaluation": {"relearning": section}})


def test_measures_of_texts_leave_older_recipes_alone():
    plain = load(ROOT / "microworld-tiny.yaml")
    more = load(
        ROOT / "microworld-tiny.yaml",
        ["evaluation.samples.prompts=9", "evaluation.decontaminate=true"],
    )
    assert stage_fingerprints(plain) == stage_fingerprints(more)
    asked = load(ROOT / "microworld-tiny.yaml", ["evaluation.tasks=[samples]"])
    fewer = load(
        ROOT / "microworld-tiny.yaml",
        ["evaluation.tasks=[samples]", "evaluation.samples.prompts=9"],
    )
    assert stage_settings(asked, "evaluate") != stage_settings(fewer, "evaluate")
    recorded = plain.model_dump(mode="json")
    for field in ("samples", "decontaminate"):
        del recorded["evaluation"][field]
    assert not forks(differing_fields(recorded, plain.model_dump(mode="json")))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            ["evaluation.tasks=[samples]", "intake.held_out_share=0"],
            "raise intake.held_out_share, or take `samples` out",
        ),
        (
            ["evaluation.tasks=[samples]", "evaluation.samples.max_tokens=160"],
            "evaluation.samples.max_tokens: leaves no room",
        ),
        (
            ["evaluation.decontaminate=true", "intake.held_out_share=0"],
            "evaluation.decontaminate: no evaluation has items to look for",
        ),
    ],
)
def test_measures_of_texts_that_will_not_be_are_refused(settings, words):
    with pytest.raises(ConfigProblem, match=re.escape(words)):
        load(ROOT / "microworld-tiny.yaml", settings)
