"""The section of lm-eval, the harness for whatever it has a task for."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from configs.section import Positive, Section

HUB = "hub"


class Harness(Section):
    """What the evaluation `harness` asks, and where it finds it."""

    tasks: tuple[str, ...] = ()
    """Names of tasks, groups or tags: shipped ones (`blimp`, `ai_risk`, `held_out`, `plain_text`),
    those of `task_files`, or lm-eval's own."""
    task_files: str | None = None
    """Folder of more task files in lm-eval's YAML; one that would run code is refused."""
    data: str = HUB
    """`hub`, or a folder with the data sets: of `blimp`, `ai_risk` and `plain_text` in folders of
    their own, and what `data_files` of `task_files` name. Other tasks read the hub."""
    limit: Positive | None = None
    """Ask at most the first so many items of each task."""
    num_fewshot: Annotated[int, Field(ge=0)] | None = None
    """Examples before each question; a task whose file fixes none keeps to it."""
    batch: Positive = 64
    """Most sequences that the engine is given at once."""
