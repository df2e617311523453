"""The skills set: exemplars of rating and revising, read from a file or generated, and checked."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.fingerprint import digest_of
from configs.loading import ConfigProblem, expand_path, shipped_file
from configs.principles import Principles
from configs.prompts import PromptFile
from configs.training import Skills
from workers.microworld.skills import skills_exemplars
from workers.microworld.world import WorldParams
from workers.problems import InputProblem
from workers.prompts import split_sentences
from workers.records import AIMS, Exemplar
from workers.revising import EditError, apply_edits

FIELDS = ("task", "text", "principles", "answer")
TASKS = ("rate", "revise")
# A set in which an answer is rarer than this teaches to give the other one always.
LEAST_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class SkillsSet:
    """The small supervised set that each generation is post-trained on."""

    exemplars: tuple[Exemplar, ...]
    digest: str
    """Hash of everything in the set; part of identity."""
    labelled_by: str | None = None
    """Checkpoint id of the model that answered it; None where the set's author did."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Exemplars that the model gave no usable answer to, by task and reason."""


@dataclass(frozen=True, slots=True)
class SkillsProblem:
    """Something wrong with a set; line 0 stands for the set as a whole."""

    line: int
    message: str


def load_skills(skills: Skills) -> SkillsSet | None:
    """Generate or read the configured set; None where `skills.source` is `none`.

    Raises:
        InputProblem: the file, or one of its lines, cannot be read.
        ConfigProblem: there is no such file.
    """
    if skills.source == "none":
        return None
    if skills.path == "microworld":
        world = WorldParams(skill_noise=skills.noise)
        exemplars = tuple(skills_exemplars(world, skills.seed, skills.exemplars, skills.tasks))
    else:
        exemplars = tuple(_read(_file_of(skills.path)))
    rows = [[e.task, e.text, e.principles, e.answer] for e in exemplars]
    return SkillsSet(exemplars, digest_of(rows))


def check_skills(
    exemplars: Sequence[Exemplar], principles: Principles, prompts: PromptFile
) -> list[SkillsProblem]:
    """What is wrong with a set: rows that cannot be used, rows given twice, and one-sidedness.

    A line is the exemplar's place, counted from 1; in a file it is the line.
    """
    found = unusable_rows(exemplars, principles, prompts)
    first: dict[Exemplar, int] = {}
    for line, exemplar in enumerate(exemplars, 1):
        if exemplar in first:
            found.append(SkillsProblem(line, f"the same as line {first[exemplar]}; leave one out"))
        first.setdefault(exemplar, line)
    found.sort(key=lambda problem: problem.line)
    return [
        *found,
        *(SkillsProblem(0, text) for text in _one_sided(exemplars, principles, prompts)),
    ]


def unusable_rows(
    exemplars: Sequence[Exemplar], principles: Principles, prompts: PromptFile
) -> list[SkillsProblem]:
    """The rows that no model can be trained on, or that teach a reply that cannot be read."""
    return [
        SkillsProblem(line, message)
        for line, exemplar in enumerate(exemplars, 1)
        for message in _row_faults(exemplar, principles, prompts)
    ]


def _row_faults(exemplar: Exemplar, principles: Principles, prompts: PromptFile) -> Iterator[str]:
    known = [principle.id for principle in principles.principles]
    if not exemplar.text.strip():
        yield "the text is empty"
    for name in exemplar.principles:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(known)}."
            yield f"unknown principle {name!r}.{hint}"
    if len(set(exemplar.principles)) < len(exemplar.principles):
        yield "a principle is named twice"
    if exemplar.task == "rate":
        if len(exemplar.principles) != 1:
            yield f"a rating asks about exactly one principle, and here are {_count(exemplar)}"
        if exemplar.answer not in prompts.answers:
            yield f"the answer of a rating is one of {', '.join(prompts.answers)}"
        return
    if exemplar.task == "paraphrase" and exemplar.principles:
        yield "a paraphrase is for no principle; leave the list empty"
    if exemplar.task != "paraphrase" and not exemplar.principles:
        yield "a revision names at least one principle"
    if exemplar.answer == prompts.nothing:
        return
    try:
        revised = apply_edits(exemplar.text, exemplar.answer, prompts.number)
    except EditError as error:
        example = prompts.number.replace("{n}", "2")
        yield (
            f"the answer is no list of edits of this text: {error}. The text has "
            f"{len(split_sentences(exemplar.text))} sentences. Write {example}new sentence. for "
            f"each that changes, or {prompts.nothing!r}"
        )
        return
    if revised == exemplar.text:
        yield f"the edits change nothing; the answer is then {prompts.nothing!r}"


def _count(exemplar: Exemplar) -> str:
    return str(len(exemplar.principles)) if exemplar.principles else "none"


def _one_sided(
    exemplars: Sequence[Exemplar], principles: Principles, prompts: PromptFile
) -> Iterator[str]:
    """What the set as a whole fails to teach."""
    tasks = Counter(exemplar.task for exemplar in exemplars)
    for task in TASKS:
        if tasks[task] < LEAST_SHARE * len(exemplars) or not tasks[task]:
            yield (
                f"{tasks[task]} of {len(exemplars)} exemplars are of the task {task}; make it at "
                f"least {LEAST_SHARE:.0%}"
            )
    for principle in (each.id for each in principles.principles):
        rated = [e.answer for e in exemplars if e.task == "rate" and e.principles == (principle,)]
        if not rated:
            yield f"no rating asks about {principle}; write some for each answer"
        for answer in prompts.answers if rated else ():
            given = rated.count(answer)
            if given < LEAST_SHARE * len(rated) or not given:
                yield (
                    f"{principle}: {given} of {len(rated)} ratings are {answer!r}; make it at "
                    f"least {LEAST_SHARE:.0%}, or the model learns never to say it"
                )
        if tasks["revise"] and not any(
            e.task == "revise" and principle in e.principles for e in exemplars
        ):
            yield f"no revision names {principle}; write some"
    revised = [e.answer == prompts.nothing for e in exemplars if e.task == "revise"]
    if revised and not any(revised):
        yield f"no revision is answered {prompts.nothing!r}; add texts that are good as they are"
    if revised and all(revised):
        yield f"every revision is answered {prompts.nothing!r}; add texts that are to change"


def _file_of(path: str) -> Path:
    file = expand_path(path, "skills.path")
    if file.is_file():
        return file
    try:
        return shipped_file("skills", path, ".jsonl")
    except ConfigProblem as error:
        raise ConfigProblem(f"skills.path: {error} `microworld` generates a set.") from None


def _read(file: Path) -> Iterator[Exemplar]:
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise InputProblem(f"{file}: not UTF-8 text ({error}); save it as UTF-8") from error
    if lines[-1] == "":
        lines.pop()
    if not lines:
        raise InputProblem(
            f"{file}: the skills set is empty. Draft one with `palimpsest skills draft`, or set "
            "skills.source to none."
        )
    for number, line in enumerate(lines, 1):
        yield _exemplar(f"{file}, line {number}", line)


def _exemplar(where: str, line: str) -> Exemplar:
    tasks = ", ".join(f'"{task}"' for task in ("rate", *AIMS))
    shape = f'expected {{"task": one of {tasks}, "text": …, "principles": […], "answer": …}}'
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise InputProblem(f"{where}: not valid JSON ({error}); {shape} on each line") from error
    if not isinstance(row, dict) or set(row) != set(FIELDS):
        raise InputProblem(f"{where}: {shape}, with these four fields and no other")
    names = row["principles"]
    if (
        row["task"] not in ("rate", *AIMS)
        or not isinstance(row["text"], str)
        or not isinstance(row["answer"], str)
        or not isinstance(names, list)
        or not all(isinstance(name, str) for name in names)
    ):
        raise InputProblem(f"{where}: {shape}; text and answer are texts, principles a list of ids")
    return Exemplar(row["task"], row["text"], tuple(names), row["answer"])
