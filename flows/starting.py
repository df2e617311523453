"""Starting points: a commented config, and drafted exemplars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from configs.fingerprint import plain
from configs.loading import parse
from configs.principles import Principles
from configs.prompts import PromptFile
from workers.problems import InputProblem
from workers.storage import whole_file

UNDECIDED = "EDIT:"
ROWS_AS_FILES = (".jsonl", ".gz", ".parquet", ".txt", ".md")


def write_config(
    path: Path, *, corpus: str | None, model: str | None, principles: str, name: str
) -> Path:
    """Write a config in which every field stands with its default and its explanation.

    Args:
        path: file to write.
        corpus: file, folder, glob or hub id; the microworld without it.
        model: folder or hub id; the microworld's model without it.
        principles: shipped principle file or a path.
        name: of the experiment.

    Raises:
        InputProblem: the file exists.
        ConfigProblem: the name does not fit.
    """
    if path.exists():
        raise InputProblem(f"{path}: exists already; name a file that does not")
    chosen: dict[str, Any] = {"name": name, "principles": principles}
    if corpus is not None:
        chosen |= {
            "corpus": _corpus(corpus),
            "evaluation": {"tasks": ["bits_per_byte", "rater"]},
            # Without labels there is no rater metric to gate on; the decision is recorded.
            "gate": {"record_only": True},
        }
    if model is not None:
        chosen["model"] = {"path": model, "prompts": "chat", "max_length": 2048}
        chosen["skills"] = {"source": "none"}
    experiment = parse(chosen, where=str(path))
    with whole_file(path.resolve()) as fresh:
        lines = [
            "# An experiment of Palimpsest. Every field stands here with its default; delete",
            "# what you do not change. `palimpsest run --dry-run` says what it would do.",
            *_section(experiment, ""),
        ]
        fresh.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _corpus(corpus: str) -> dict[str, Any]:
    local = Path(corpus).exists() or "*" in corpus or corpus.endswith(ROWS_AS_FILES)
    if local or corpus.startswith((".", "/", "~")):
        return {"kind": "files", "path": corpus}
    return {"kind": "datasets", "name": corpus}


def _section(model: BaseModel, indent: str) -> Iterator[str]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if not indent:
            yield ""
        for line in (field.description or "").splitlines():
            yield f"{indent}# {line.strip()}"
        if isinstance(value, BaseModel):
            yield f"{indent}{name}:"
            yield from _section(value, indent + "  ")
        else:
            shown = yaml.safe_dump(plain(value), default_flow_style=True, width=10_000).strip()
            yield f"{indent}{name}: {shown.removesuffix('...').strip()}"


def draft_skills(
    principles: Principles, prompts: PromptFile, texts: Sequence[str], count: int, seed: int
) -> list[dict[str, Any]]:
    """Draft exemplars over sample documents, with the answers left to a person.

    Every principle gets both tasks in turn. An answer that still begins with `EDIT:` counts as
    undecided, and `skills check` refuses it.

    Args:
        principles: what is rated and revised by.
        prompts: their answers and the reply that means nothing to change.
        texts: sample documents; used again when there are fewer than `count`.
        count: number of exemplars.
        seed: where in the texts to begin.

    Raises:
        InputProblem: there is no text.
    """
    if not texts:
        raise InputProblem("there is no document to draft exemplars over")
    answers = " or ".join(prompts.answers)
    first = prompts.number.replace("{n}", "1").strip()
    hints = {
        "rate": f"{UNDECIDED} {answers}",
        "revise": f"{UNDECIDED} {first} new first sentence, or {prompts.nothing}",
    }
    kinds = [(task, p.id) for p in principles.principles for task in ("rate", "revise")]
    start = seed % len(texts)
    ordered = [*texts[start:], *texts[:start]]
    return [
        {"task": task, "text": text, "principles": [principle], "answer": hints[task]}
        for (task, principle), text, _ in zip(
            cycle(kinds), cycle(ordered), range(count), strict=False
        )
    ]
