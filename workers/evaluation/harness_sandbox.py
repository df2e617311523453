"""lm-eval held in: templates that reach no Python, no progress bars, no documents in logs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache, partial
from typing import Any

import lm_eval.api.task
import lm_eval.utils
from jinja2 import Environment, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment


@cache
def sandbox() -> Environment:
    """Templates as lm-eval renders them, without the attributes that lead to code."""
    made: Any = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    made.filters["regex_replace"] = lm_eval.utils.regex_replace
    # lm-eval compiles a template for each item anew, which takes longer than a small model.
    made.from_string = lru_cache(maxsize=64)(made.from_string)
    return made


@contextmanager
def contained() -> Iterator[None]:
    """Hold lm-eval in for the length of a block; it has no settings for any of this."""
    task: Any = lm_eval.api.task
    utils: Any = lm_eval.utils
    logger = logging.getLogger("lm_eval")
    was = task.tqdm, utils.env, logger.level
    task.tqdm, utils.env = partial(task.tqdm, disable=True), sandbox()
    # Some of its warnings quote the document.
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        task.tqdm, utils.env = was[:2]
        logger.setLevel(was[2])
