"""Who reads a corpus: the arm's newest model, its first, or another that was checked before."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from configs.experiment import Experiment
from configs.principles import load_principles
from configs.prompts import load_prompts
from flows import readers
from flows.readers import admit_reviser, reader_of
from workers.checkpoint_files import SHIPPED
from workers.checkpoints import CheckpointRef, admit
from workers.problems import InputProblem

MODELS = [CheckpointRef(name, f"/{name}") for name in ("zero", "one", "two")]
OTHER = CheckpointRef("other", "/other")


def context(home, reviser: str, **more):
    settings = {"name": "x", "revising": {"reviser": reviser}, "acceptance": {"rater": "none"}}
    return SimpleNamespace(
        experiment=Experiment.model_validate({**settings, **more}),
        home=home,
        principles=load_principles("microworld"),
        prompt_file=load_prompts("microworld"),
        store=SimpleNamespace(publish_folder=lambda uri: None),
        write=lambda: nullcontext(None),
        run=None,
        admitted=MODELS[0],
        reviser=OTHER,
    )


@pytest.mark.parametrize(
    ("reviser", "reader"), [("self", MODELS[2]), ("base", MODELS[0]), ("some/model", OTHER)]
)
def test_the_reader_is_the_one_that_is_named(tmp_path, reviser, reader):
    arm = SimpleNamespace(checkpoints=MODELS)
    assert reader_of(context(tmp_path, reviser), arm) == reader  # pyright: ignore[reportArgumentType]


def test_only_another_model_has_to_be_admitted(tmp_path, monkeypatch):
    recorded = []
    monkeypatch.setattr(
        readers, "add_checkpoint", lambda session, name, **more: recorded.append(name)
    )
    for own in readers.OWN:
        assert admit_reviser(context(tmp_path, own)) is None  # pyright: ignore[reportArgumentType]
    assert recorded == []
    found = admit_reviser(context(tmp_path, str(SHIPPED)))  # pyright: ignore[reportArgumentType]
    assert found is not None and recorded == [found.id]
    assert found.uri.startswith(str(tmp_path))


def test_what_is_no_whole_safetensors_model_is_refused_by_the_fields_name(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    for name in (str(tmp_path), str(tmp_path / "nowhere")):
        with pytest.raises(InputProblem, match=r"^revising\.reviser: (?!model\.path)"):
            admit_reviser(context(tmp_path / "home", name))  # pyright: ignore[reportArgumentType]


def test_generation_0_under_another_name_would_judge_itself(tmp_path):
    run = context(tmp_path, str(SHIPPED), acceptance={"rater": "base"})
    run.admitted = admit("microworld", None, tmp_path)
    with pytest.raises(InputProblem, match=r"revising\.reviser: .* is generation 0 itself"):
        admit_reviser(run)  # pyright: ignore[reportArgumentType]
