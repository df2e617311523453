"""Drafting and checking a skills set from the command line."""

from __future__ import annotations

import json
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

from configs.experiment import Experiment
from configs.principles import load_principles
from configs.prompts import load_prompts
from flows.starting import draft_skills
from workers.corpora.intake import import_corpus
from workers.corpora.store import iterate
from workers.problems import InputProblem
from workers.skills import check_skills, load_skills
from workers.storage import whole_file


def write_draft(experiment: Experiment, out: Path, count: int) -> int:
    """Write drafted exemplars over documents of the corpus and return their number.

    Raises:
        InputProblem: the file exists, or the corpus cannot be used.
    """
    if out.exists():
        raise InputProblem(f"{out}: exists already; name a file that does not")
    seed = experiment.seeds[0]
    with tempfile.TemporaryDirectory(prefix="palimpsest-draft-") as folder:
        made = import_corpus(
            experiment.corpus, experiment.intake, seed, Path(folder), lambda done: None
        )
        texts = [document.text for document in islice(iterate(made.corpus), count)]
    rows = draft_skills(
        load_principles(experiment.principles),
        load_prompts(experiment.model.prompts),
        texts,
        count,
        seed,
    )
    with whole_file(out.resolve()) as fresh:
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        fresh.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(rows)


def check(experiment: Experiment) -> tuple[list[dict[str, Any]], int]:
    """Return the problems of the experiment's skills set, and its size.

    Raises:
        InputProblem: the experiment has no skills set.
    """
    found = load_skills(experiment.skills)
    if found is None:
        raise InputProblem("skills.source is none: there is no skills set to check")
    problems = check_skills(
        found.exemplars,
        load_principles(experiment.principles),
        load_prompts(experiment.model.prompts),
    )
    rows = [{"line": problem.line, "message": problem.message} for problem in problems]
    return rows, len(found.exemplars)
