"""Small sources for the tests of corpora."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from configs.corpora import Corpus, CorpusOptions, FileCorpus
from workers.corpora.intake import ImportResult, import_corpus
from workers.corpora.store import iterate
from workers.problems import InputProblem

ALL = CorpusOptions(held_out_share=0.0, shard_documents=4)


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> str:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return str(path)


def jsonl(path: Path, rows: Iterable[dict[str, Any]], **options: Any) -> FileCorpus:
    return FileCorpus(path=write_lines(path, rows), **options)


def dialogues(count: int) -> list[dict[str, str]]:
    return [
        {"chosen": f"\n\nHuman: {i}\n\nAssistant: yes\n", "rejected": f"no {i}"}
        for i in range(count)
    ]


def take(corpus: Corpus, home: Path, intake: CorpusOptions = ALL, seed: int = 0) -> ImportResult:
    return import_corpus(corpus, intake, seed, home, lambda done: None)


def texts(result: ImportResult) -> list[str]:
    return [document.text for document in iterate(result.corpus)]


def nothing_left(home: Path) -> bool:
    return not [path for path in home.rglob("*") if path.name != "corpora"]


def refusal(corpus: Corpus, home: Path, intake: CorpusOptions = ALL) -> str:
    """The message of a refused import, which must leave nothing in `home`."""
    with pytest.raises(InputProblem) as caught:
        take(corpus, home, intake)
    assert nothing_left(home)
    return str(caught.value)
