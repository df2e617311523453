"""Starting points: a commented config, and drafted exemplars."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
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

WIDTH = 98
UNDECIDED = "EDIT:"
ROWS_AS_FILES = (".jsonl", ".ndjson", ".gz", ".parquet", ".txt", ".md")
MICROWORLD = "microworld"
# What `configs/smollm2.yaml` runs: small enough for a CPU, and it has a chat template.
SMALL_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
# The defaults fit the microworld's model and its stories of some sixty tokens. These fit ordinary
# text and a model of ordinary size on a CPU; memory bounds the batches.
FOR_TEXT: dict[str, dict[str, Any]] = {
    "engine": {"batch": 32},
    "revising": {"max_tokens": 256},
    "training": {"corpus": {"tokens": 150_000, "learning_rate": 5e-5}, "window": 1024},
    # A small model cannot rate without exemplars; see the heading of the file that is written.
    "skills": {"source": "none"},
}
HEADING = (
    "An experiment of Palimpsest. Every field stands here with its value: a field that is left out",
    "falls back to the microworld's. `palimpsest run --dry-run` says what a run would do.",
)
ABOUT_SKILLS = (
    "`skills.source: none` asks the model to rate and revise without exemplars. Large chat models",
    "can; SmolLM2-135M was no better than chance. Look with `palimpsest preview` first. A model",
    "that cannot needs a skills set: `palimpsest skills draft`, fill in the answers, then set",
    "skills.source: fixed, skills.path to the file, and skills.post_train_base: true.",
)
ABOUT_LABELS = (
    "Without labels (`corpus.label_field`) nothing measures the rater, so the gate only records.",
    "With labels set gate.capability_metric: bits_per_byte/desirable and gate.record_only: false.",
)


def write_config(
    path: Path, *, corpus: str | None, model: str | None, principles: str, name: str
) -> Path:
    """Write a config in which every field stands with its value and its explanation.

    Args:
        path: file to write.
        corpus: file, folder, glob or hub id; the microworld without it.
        model: folder or hub id. Without it, the microworld's model for the microworld, and
            SmolLM2-135M-Instruct for any other corpus.
        principles: shipped principle file or a path.
        name: of the experiment.

    Raises:
        InputProblem: the file exists, or the microworld's model is asked to read other text.
        ConfigProblem: the name does not fit.
    """
    if path.exists():
        raise InputProblem(f"{path}: exists already; name a file that does not")
    if corpus is not None and model == MICROWORLD:
        raise InputProblem(
            "--model microworld: that model knows the microworld's few words and nothing else, so "
            f"it cannot read {corpus!r}. Name a hub id or a folder with safetensors weights, or "
            f"leave --model out to take {SMALL_MODEL}."
        )
    experiment = parse(_chosen(corpus, model, principles, name), where=str(path))
    notes = [*HEADING]
    if experiment.skills.source == "none":
        notes += ["", *ABOUT_SKILLS]
    if experiment.gate.record_only:
        notes += ["", *ABOUT_LABELS]
    lines = [*(f"# {note}".rstrip() for note in notes), *_section(experiment, "")]
    with whole_file(path.resolve()) as fresh:
        fresh.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _chosen(corpus: str | None, model: str | None, principles: str, name: str) -> dict[str, Any]:
    """The fields in which the config differs from the defaults."""
    chosen: dict[str, Any] = {"name": name, "principles": principles}
    if corpus is not None:
        chosen["corpus"] = _corpus(corpus)
        chosen["evaluation"] = {"tasks": ["bits_per_byte", "rater"]}
        chosen["gate"] = {"capability_metric": "bits_per_byte", "record_only": True}
        model = model or SMALL_MODEL
    if model not in (None, MICROWORLD):
        chosen |= FOR_TEXT
        chosen["model"] = {"path": model, "prompts": "chat", "max_length": 2048}
        chosen["evaluation"] = {**chosen.get("evaluation", {}), "batch": 4}
    return chosen


def _corpus(corpus: str) -> dict[str, Any]:
    """A file, folder or glob on this machine, or a dataset's hub id."""
    local = Path(corpus).exists() or "*" in corpus or corpus.endswith(ROWS_AS_FILES)
    if local or corpus.startswith((".", "/", "~", "$")):
        return {"kind": "files", "path": corpus}
    return {"kind": "datasets", "name": corpus}


def _section(model: BaseModel, indent: str) -> Iterator[str]:
    """Lines of a section: each field under its own docstring, so that the two cannot drift."""
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
            yield from _value(name, plain(value), indent)


def _value(name: str, value: Any, indent: str) -> Iterator[str]:
    """A field with its value; a long list goes on in lines of its own."""
    width: float = math.inf
    if isinstance(value, list):
        # A line is broken behind the first item that ends beyond the width.
        width = (
            WIDTH - len(f"{indent}{name}: ") - max((len(str(each)) for each in value), default=0)
        )
    shown = yaml.safe_dump(value, default_flow_style=True, width=width, allow_unicode=True)
    first, *others = shown.strip().removesuffix("...").strip().splitlines()
    yield f"{indent}{name}: {first}"
    for line in others:
        yield f"{indent}  {line.strip()}"


def draft_skills(
    principles: Principles, prompts: PromptFile, texts: Sequence[str], count: int, seed: int
) -> list[dict[str, Any]]:
    """Draft exemplars over sample documents, with the answers left to a person.

    Rating and revising alternate over the principles in turn, and no text meets the same task and
    principle twice, so that there are fewer than `count` where the texts do not suffice. An
    answer that still begins with `EDIT:` counts as undecided, and `skills check` refuses it.

    Args:
        principles: what is rated and revised by.
        prompts: their answers and the reply that means nothing to change.
        texts: sample documents; each is used again, under another question, when they run out.
        count: number of exemplars.
        seed: draws the order of the texts, so that an order of theirs (good, bad, good, bad) does
            not give one task the good ones.

    Raises:
        InputProblem: there is no text.
    """
    ordered = list(dict.fromkeys(texts))
    if not ordered:
        raise InputProblem(
            "there is no document to draft exemplars over; name a corpus that has some, or lower "
            "intake.held_out_share"
        )
    random.Random(f"draft|{seed}").shuffle(ordered)
    answers = " or ".join(prompts.answers)
    number = prompts.number.replace("{n}", "k").strip()
    hints = {
        "rate": f"{UNDECIDED} {answers}",
        "revise": f"{UNDECIDED} {number} new sentence, or {prompts.nothing}",
    }
    kinds = [(task, p.id) for p in principles.principles for task in ("rate", "revise")]
    # Both go round side by side; a step aside each time they meet again keeps all rows different.
    together = math.lcm(len(ordered), len(kinds))
    rows: list[dict[str, Any]] = []
    for place in range(min(count, len(ordered) * len(kinds))):
        task, principle = kinds[(place + place // together) % len(kinds)]
        text = ordered[place % len(ordered)]
        rows.append({"task": task, "text": text, "principles": [principle], "answer": hints[task]})
    return rows
