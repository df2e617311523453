"""A tiny model, a tiny corpus and their prompts, made once for the folder's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from training_demo import TRAINING, documents, tiny_llama, written

from configs.principles import Principles, load_principles
from configs.prompts import PromptFile, load_prompts
from configs.training import Skills
from workers.checkpoints import CheckpointRef, publish_model
from workers.corpora.store import CorpusRef
from workers.microworld.tokenizer import build_tokenizer
from workers.mix_specs import MixSpec
from workers.skills import load_skills
from workers.training import TrainSpec


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def prompt_file() -> PromptFile:
    return load_prompts("microworld")


@pytest.fixture(scope="session")
def principles() -> Principles:
    return load_principles("microworld")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> CheckpointRef:
    home = tmp_path_factory.mktemp("tiny")
    return publish_model(tiny_llama(), build_tokenizer(), home, {"made": "for tests"})


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> CorpusRef:
    return written(tmp_path_factory.mktemp("corpus"), documents(60))


@pytest.fixture
def spec(
    corpus: CorpusRef,
    tiny: CheckpointRef,
    prompt_file: PromptFile,
    principles: Principles,
    tmp_path: Path,
) -> TrainSpec:
    mix = MixSpec(
        corpus=corpus,
        corpus0=corpus,
        excluded=frozenset(),
        tokens=TRAINING.corpus.tokens,
        real_floor=0.0,
        window=TRAINING.window,
        seed=0,
        checkpoint=tiny,
        prompt_file=prompt_file,
        principles=principles,
        out=str(tmp_path / "mix"),
    )
    return TrainSpec(
        parent=tiny,
        reinitialise=False,
        mix=mix,
        skills=load_skills(Skills(exemplars=60)),
        prompt_file=prompt_file,
        principles=principles,
        training=TRAINING,
        seed=0,
        home=str(tmp_path / "home"),
    )
