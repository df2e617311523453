"""The command that rebuilds generation 0: what it trains on, what it writes, the same each time."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from configs.principles import load_principles
from configs.prompts import load_prompts
from workers.microworld import build
from workers.microworld.build import Stage
from workers.microworld.generator import generate_documents
from workers.microworld.skills import skills_exemplars
from workers.microworld.tokenizer import build_tokenizer
from workers.microworld.world import WorldParams
from workers.prompts import Prompts

TINY = (Stage(12, 8, 0, 4e-3, seed=0), Stage(12, 2, 6, 2e-3, seed=1))


@pytest.fixture(scope="module")
def prompts():
    tokenizer = build_tokenizer()
    return Prompts(load_prompts("microworld"), load_principles("microworld"), tokenizer)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("built")
    build.build(out, TINY, documents=200, exemplars=200)
    return out


def test_the_same_recipe_gives_the_same_bytes(built, tmp_path):
    build.build(tmp_path, TINY, documents=200, exemplars=200)
    for file in built.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()


def test_it_writes_what_the_shipped_folder_holds(built):
    shipped = {file.name for file in build.SHIPPED.iterdir()} - {"README.md"}
    assert {file.name for file in built.iterdir()} == shipped
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        assert (built / name).read_text() == (build.SHIPPED / name).read_text()


def test_what_it_writes_has_learned_something(built, prompts):
    model = AutoModelForCausalLM.from_pretrained(built).eval()
    fresh = build.new_model(AutoTokenizer.from_pretrained(built)).eval()
    text = next(generate_documents(WorldParams(), 5, 1)).text
    ids = torch.tensor([prompts.document(text)])
    with torch.no_grad():
        assert model(ids, labels=ids).loss < fresh(ids, labels=ids).loss - 0.5


def test_tasks_are_learned_by_their_answers_and_documents_whole(prompts):
    ids, labels = build.plain_row(prompts, "a stone falls .")
    assert prompts.tokenizer.decode(ids) == "<s> a stone falls . </s>"
    assert labels == ids
    for exemplar in skills_exemplars(WorldParams(), 0, 50):
        ids, labels = build.skills_row(prompts, exemplar)
        told = [label for label in labels if label != build.IGNORED]
        assert prompts.tokenizer.decode(told) == f"{exemplar.answer} </s>"
        ending = " ".join(exemplar.principles)
        ending = f"{ending} ?" if exemplar.task == "rate" else f"mend {ending} :"
        written = prompts.tokenizer.decode(ids)
        assert written.startswith("<s> <doc> [1] ")
        assert written.endswith(f" </doc> {ending} {exemplar.answer} </s>")


def test_a_batch_split_in_halves_has_the_gradients_of_the_whole(prompts):
    documents = generate_documents(WorldParams(), 5, 8)
    rows = [build.plain_row(prompts, document.text) for document in documents]
    model = build.new_model(prompts.tokenizer)
    loss = build.learn(model, rows)
    found = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    ids, labels = build.padded(rows)
    whole = model(input_ids=ids, labels=labels).loss
    whole.backward()
    assert loss == pytest.approx(whole.item(), abs=1e-5)
    for one, parameter in zip(found, model.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad, atol=1e-5, rtol=1e-3)


def test_the_command_multiplies_the_steps(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(build, "build", lambda out, stages: asked.append((out, stages)))
    monkeypatch.setattr("sys.argv", ["build", "--out", str(tmp_path), "--steps-factor", "2"])
    build.main()
    ((out, stages),) = asked
    assert out == Path(tmp_path)
    assert [s.steps for s in stages] == [2 * s.steps for s in build.STAGES]
