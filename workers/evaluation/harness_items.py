"""What lm-eval's tasks ask, as texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from configs.harness import Harness
from workers.evaluation.harness import prepare
from workers.evaluation.harness_sandbox import contained


def item_texts(harness: Harness, held_out: Sequence[str] | None) -> Iterator[str]:
    """Yield, for each item of every task, its question with each of the answers.

    Examples before a question are left out.

    Args:
        harness: the tasks.
        held_out: texts of the documents that the run holds out.
    """
    for task in prepare(harness, held_out).tasks.values():
        for document in islice(task.eval_docs, harness.limit):
            with contained():
                texts = _texts(task, document)
            yield from texts


def _texts(task: Any, document: Any) -> list[str]:
    question = task.doc_to_text(document)
    made = task.construct_requests(
        doc=document,
        ctx=question if isinstance(question, str) else "",
        metadata=(task.config.task, 0, 1),
    )
    requests = made if isinstance(made, list) else [made]
    return ["".join(map(str, request.args)) for request in requests]
