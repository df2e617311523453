"""What is taken as a checkpoint, what is refused, and that ids follow from content alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from configs.loading import ConfigProblem
from workers.checkpoints import (
    CheckpointRef,
    admit,
    load_model,
    load_tokenizer,
    open_checkpoint,
    publish_model,
)
from workers.problems import InputProblem

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tiny: CheckpointRef, tmp_path: Path) -> Path:
    """A copy of the tiny model as a user would have it: without our manifest."""
    target = tmp_path / "model"
    shutil.copytree(tiny.uri, target)
    (target / "manifest.json").unlink()
    return target


def edit(file: Path, **fields: Any) -> None:
    held = json.loads(file.read_text()) | fields
    file.write_text(json.dumps({k: v for k, v in held.items() if v is not None}))


def test_the_shipped_model_is_admitted_and_copied_once(tmp_path: Path) -> None:
    first = admit("microworld", None, tmp_path)
    written = (Path(first.uri) / WEIGHTS).stat().st_mtime_ns
    assert admit("microworld", None, tmp_path) == first
    assert (Path(first.uri) / WEIGHTS).stat().st_mtime_ns == written
    assert Path(first.uri) == tmp_path / "checkpoints" / first.id
    assert open_checkpoint(first.uri) == first


def test_an_id_depends_on_content_and_not_on_place(
    folder: Path, tiny: CheckpointRef, tmp_path: Path
) -> None:
    found = admit(str(folder), None, tmp_path)
    assert found.id == tiny.id
    again = publish_model(load_model(found), load_tokenizer(found), tmp_path / "other", {"n": 1})
    assert again.id == tiny.id
    for file in Path(again.uri).iterdir():
        assert str(tmp_path).encode() not in file.read_bytes()


def test_other_weights_have_another_id(tiny: CheckpointRef, tmp_path: Path) -> None:
    model = load_model(tiny)
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1e-3
    assert publish_model(model, load_tokenizer(tiny), tmp_path, {}).id != tiny.id


def test_the_source_may_change_after_admission(folder: Path, tmp_path: Path) -> None:
    found = admit(str(folder), None, tmp_path)
    with (folder / WEIGHTS).open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"\x01\x02\x03\x04")
    assert open_checkpoint(found.uri) == found


def test_paths_expand_variables(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELS", str(folder.parent))
    assert admit("${MODELS}/model", None, tmp_path).id
    with pytest.raises(ConfigProblem, match="NO_SUCH_VARIABLE"):
        admit("${NO_SUCH_VARIABLE}/model", None, tmp_path)


def test_pickles_beside_safetensors_and_other_files_are_left_behind(
    folder: Path, tmp_path: Path
) -> None:
    for name in ("pytorch_model.bin", "training_args.bin", "README.md", "modeling_own.py"):
        (folder / name).write_bytes(b"anything")
    found = admit(str(folder), None, tmp_path)
    held = {file.name for file in Path(found.uri).iterdir()}
    assert held.isdisjoint({"pytorch_model.bin", "training_args.bin", "README.md"})
    assert "modeling_own.py" not in held


def _no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _bad_config(folder: Path) -> None:
    (folder / "config.json").write_text("{not json")


def _model_code(folder: Path) -> None:
    edit(folder / "config.json", auto_map={"AutoModelForCausalLM": "own.Model"})


def _tokenizer_code(folder: Path) -> None:
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.Tokenizer", None]})


def _pickle(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")


def _no_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()


def _adapter(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "adapter_model.safetensors")


def _cut_off(folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) // 2])


def _garbage(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"\xff" * 64)


def _no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def _no_end(folder: Path) -> None:
    edit(folder / "tokenizer_config.json", eos_token=None)


def _missing_tensor(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def _other_shape(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    weights["model.norm.weight"] = torch.ones(31)
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def _unknown_architecture(folder: Path) -> None:
    edit(folder / "config.json", model_type="no_such_architecture")


def _missing_shard(folder: Path) -> None:
    names = list(load_file(folder / WEIGHTS))
    (folder / WEIGHTS).rename(folder / "model-00001-of-00002.safetensors")
    index = dict.fromkeys(names, "model-00001-of-00002.safetensors")
    index[names[0]] = "model-00002-of-00002.safetensors"
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": index}))


def _lying_index(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "one.safetensors")
    (folder / f"{WEIGHTS}.index.json").write_text(
        json.dumps({"weight_map": {"no.such.tensor": "one.safetensors"}})
    )


def _index_leads_out(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder.parent / "one.safetensors")
    (folder / f"{WEIGHTS}.index.json").write_text(
        json.dumps({"weight_map": {"model.norm.weight": "../one.safetensors"}})
    )


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_no_config, r"config\.json: no such file"),
        (_bad_config, r"config\.json: not valid JSON"),
        (_model_code, r"config\.json: `auto_map`.*never run"),
        (_tokenizer_code, r"tokenizer_config\.json: `auto_map`.*never run"),
        (_pickle, r"pytorch_model\.bin: the weights are a pickle.*Convert them to safetensors"),
        (_no_weights, "there are no weights"),
        (_adapter, "only an adapter.*Merge"),
        (_cut_off, r"model\.safetensors: not a whole safetensors file"),
        (_garbage, r"model\.safetensors: not a whole safetensors file"),
        (_no_tokenizer, "there is no tokenizer"),
        (_no_end, "no `eos_token`"),
        (_missing_tensor, r"asks for 1 tensors.*layers\.1\.mlp\.up_proj"),
        (_other_shape, r"transformers cannot load it|model\.norm\.weight"),
        (_unknown_architecture, "transformers cannot load it.*no_such_architecture"),
        (_missing_shard, r"model-00002-of-00002\.safetensors: the index .* is missing"),
        (_lying_index, r"1 tensors that .* names are in no file"),
        (_index_leads_out, "does not name files of this folder"),
    ],
)
def test_a_folder_that_is_no_whole_checkpoint_is_refused(
    folder: Path, tmp_path: Path, spoil: Callable[[Path], None], says: str
) -> None:
    spoil(folder)
    home = tmp_path / "home"
    with pytest.raises(InputProblem, match=says):
        admit(str(folder), None, home)
    assert not list(home.glob("checkpoints/*"))


def test_shards_with_a_true_index_are_admitted(folder: Path, tmp_path: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    names = sorted(weights)
    parts = {"a.safetensors": names[:5], "b.safetensors": names[5:]}
    for file, held in parts.items():
        save_file({n: weights[n] for n in held}, folder / file, metadata={"format": "pt"})
    (folder / WEIGHTS).unlink()
    index = {name: file for file, held in parts.items() for name in held}
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    found = load_model(admit(str(folder), None, tmp_path))
    assert torch.equal(found.lm_head.weight, weights["lm_head.weight"])


def _alter(folder: Path) -> None:
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (folder / WEIGHTS).write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [(_alter, "altered after"), (_no_tokenizer, r"tokenizer\.json: this file .* is missing")],
)
def test_an_altered_checkpoint_of_ours_is_refused(
    tiny: CheckpointRef, tmp_path: Path, spoil: Callable[[Path], None], says: str
) -> None:
    folder = tmp_path / "exported"
    shutil.copytree(tiny.uri, folder)
    spoil(folder)
    for read in (open_checkpoint, lambda path: admit(str(path), None, tmp_path)):
        with pytest.raises(InputProblem, match=says):
            read(folder)


def test_a_manifest_that_was_edited_or_broken_is_refused(
    tiny: CheckpointRef, tmp_path: Path
) -> None:
    folder = tmp_path / "exported"
    shutil.copytree(tiny.uri, folder)
    edit(folder / "manifest.json", id="0" * 64)
    with pytest.raises(InputProblem, match="manifest was altered"):
        open_checkpoint(folder)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(InputProblem, match="not valid JSON"):
        open_checkpoint(folder)
    with pytest.raises(InputProblem, match="no checkpoint of this program"):
        open_checkpoint(tmp_path / "nowhere")


def test_a_path_that_is_not_there_or_is_a_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(InputProblem, match=r"there is no folder .*/nowhere"):
        admit(str(tmp_path / "nowhere"), None, tmp_path)
    gguf = tmp_path / "model.gguf"
    gguf.write_bytes(b"GGUF")
    with pytest.raises(InputProblem, match="import-gguf"):
        admit(str(gguf), None, tmp_path)
    (tmp_path / "weights").write_bytes(b"x")
    with pytest.raises(InputProblem, match="name the folder"):
        admit(str(tmp_path / "weights"), None, tmp_path)


def test_a_hub_id_without_a_network_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputProblem, match=r"nobody/nothing.*cannot be reached"):
        admit("nobody/nothing", None, tmp_path)


def test_another_may_publish_the_same_at_the_same_time(
    tiny: CheckpointRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = publish_model(load_model(tiny), load_tokenizer(tiny), tmp_path, {})
    # As it was when the second one looked.
    monkeypatch.setattr(Path, "exists", lambda path: False)
    assert publish_model(load_model(tiny), load_tokenizer(tiny), tmp_path, {}) == first
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [first.id]
