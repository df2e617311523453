"""A tiny model, a tiny corpus and their prompts, made once for the folder's tests."""

from __future__ import annotations

import pytest
import torch
from training_demo import documents, tiny_llama, written

from configs.principles import Principles, load_principles
from configs.prompts import PromptFile, load_prompts
from workers.checkpoints import CheckpointRef, publish_model
from workers.corpora.store import CorpusRef
from workers.microworld.tokenizer import build_tokenizer


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
