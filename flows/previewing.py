"""`preview`: the first documents of a corpus rated and revised, with nothing recorded."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from configs.experiment import Experiment
from flows.trying import first_documents, try_documents
from flows.words import word_diff


def preview_documents(experiment: Experiment, count: int) -> list[dict[str, Any]]:
    """Rate and revise the first `count` documents in this process and return what became of them.

    Raises:
        InputProblem: corpus or model cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="palimpsest-preview-") as folder:
        corpus = first_documents(experiment, count, Path(folder))
        found = try_documents(experiment, corpus, Path(folder)).decided
    return [
        {
            "doc_id": document.doc_id,
            "action": row.action,
            "reason": row.reason,
            "principles": list(row.principles),
            "score_before": row.score_before,
            "score_after": row.score_after,
            "before": document.text,
            "proposed": row.text,
        }
        for document, row in found
    ]


def print_preview(rows: list[dict[str, Any]]) -> None:
    """Print each document with its scores, its action and a word diff."""
    console = Console(highlight=False)
    for row in rows:
        scores = " → ".join(
            "none" if row[name] is None else f"{row[name]:.2f}"
            for name in ("score_before", "score_after")
            if name == "score_before" or row["proposed"] is not None
        )
        said = f"{row['action']} {row['reason']}".strip()
        title = Text(f"{row['doc_id']}  score {scores}  {said}")
        console.print(Panel(_marked(row), title=title, title_align="left"))


def _marked(row: dict[str, Any]) -> Text:
    text = Text()
    styles = {"same": "", "removed": "red strike", "added": "green"}
    for kind, words in word_diff(row["before"], row["proposed"] or row["before"]):
        text.append(words, style=styles[kind])
    return text
