"""lm-eval as the harness for whatever it has a task for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import lm_eval
from huggingface_hub import constants
from jinja2 import TemplateError
from lm_eval.api.task import ConfigurableTask
from lm_eval.defaults import DEFAULT_OTHER_SEED
from lm_eval.tasks import TaskManager

from configs.fingerprint import digest_of
from configs.harness import Harness
from workers.corpora.store import iterate
from workers.evaluation.harness_data import rows_digest, task_data
from workers.evaluation.harness_files import (
    TASKS_FIELD,
    NoSuchTask,
    check_fields,
    definitions,
    members,
    refuse_writing,
)
from workers.evaluation.harness_model import EngineLM
from workers.evaluation.harness_sandbox import contained
from workers.evaluation.harness_scores import TASK, Answered, ask, group_measure
from workers.evaluation.measures import Measure
from workers.evaluation.subject import Subject
from workers.problems import InputProblem

FEWSHOT_FIELD = "evaluation.harness.num_fewshot"
# What a wrong task file, or wrong data, makes lm-eval raise.
SETTING_UP = (TemplateError, ArithmeticError, AssertionError, AttributeError, ImportError,
              LookupError, OSError, RuntimeError, SyntaxError, TypeError, ValueError)  # fmt: skip


@dataclass(frozen=True)
class Suite:
    """Tasks that are set up, with their data."""

    settings: Harness
    fields: Mapping[str, Mapping[str, Any]]
    """What their files say, by the name of each task and group."""
    tasks: Mapping[str, Any]
    own: frozenset[str]
    """Names of those that are not lm-eval's own."""

    def metrics(self) -> tuple[str, ...]:
        """Full names of the metrics that every model gets."""
        found = [f"{TASK}/{name}/{m}" for name, task in self.tasks.items() for m in _metrics(task)]
        found += [f"{TASK}/{name}/{metric}" for name, metric, _, _ in self.groups()]
        return tuple(found)

    def signature(self) -> dict[str, Any]:
        """What the results depend on beside the settings: the tasks and data by their content.

        The held-out documents are not in it.
        """
        tasks: dict[str, Any] = {}
        for name, task in self.tasks.items():
            with contained():
                asked = islice(task.eval_docs, self.settings.limit)
                shown = task.fewshot_docs() if task.config.num_fewshot else None
                data = [rows_digest(rows) for rows in (asked, shown) if rows is not None]
            tasks[name] = [digest_of(dict(self.fields[name])) if name in self.own else None, *data]
        return {"lm_eval": lm_eval.__version__, "tasks": tasks}

    def measures(self, model: EngineLM, variant: str = "") -> list[Measure]:
        """Ask the model every task."""
        found: list[Measure] = []
        for name, task in self.tasks.items():
            with contained():
                task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)
                items = ask(task, model, self.settings.limit)
                cut = frozenset(item for of, item in model.cut if of == name and item is not None)
                found += Answered(name, task, items, cut, variant).measures()
        by_name = {measure.row.metric: measure for measure in found}
        for group, metric, by_size, tasks in self.groups():
            parts = [by_name[f"{TASK}/{name}/{metric}"] for name in tasks]
            version = (self.fields[group].get("metadata") or {}).get("version")
            found.append(group_measure(group, metric, version, parts, by_size=by_size))
        return found

    def groups(self) -> Iterator[tuple[str, str, bool, list[str]]]:
        """Name, metric, whether weighed by size, and tasks of each mean over a group."""
        for name in self.settings.tasks:
            fields = self.fields.get(name, {})
            for mean in fields.get("aggregate_metric_list") or ():
                metric, tasks = mean.get("metric"), list(dict.fromkeys(members(self.fields, name)))
                if all(metric in self.tasks[each].aggregation() for each in tasks):
                    yield name, metric, mean.get("weight_by_size", True), tasks


def check(harness: Harness, *, held_out: bool = True) -> Suite:
    """Refuse, before any model is asked, whatever cannot be asked or has no score.

    Args:
        harness: the settings.
        held_out: whether the run holds documents out.

    Returns:
        The tasks, for their metrics' names and for what their results depend on.

    Raises:
        InputProblem: a task is unknown, would run code or cannot be scored, or its data is missing,
            empty, of the wrong columns, or on a hub that cannot be reached.
        ConfigProblem: a task file is no YAML, or a path's variable is not set.
    """
    return prepare(harness, ("-",) if held_out else None)


def prepare(harness: Harness, held_out: Sequence[str] | None) -> Suite:
    """Set the tasks up with their data; what it raises is said of `check`.

    Args:
        harness: the settings.
        held_out: texts of the documents that the run holds out.
    """
    if not harness.tasks:
        raise InputProblem(
            f"{TASKS_FIELD}: names no task. Add some, such as [blimp, ai_risk, held_out], or take "
            "`harness` out of evaluation.tasks."
        )
    own = definitions(harness)
    fields: Mapping[str, Mapping[str, Any]] = own
    try:
        names = _leaves(own, harness)
    except NoSuchTask:
        fields = {n: e.cfg for n, e in _manager().task_index.items() if e.cfg is not None} | own
        names = _leaves(fields, harness)
    for name in names:
        check_fields(name, fields[name], theirs=name not in own)
    tasks: dict[str, Any] = {}
    with contained():
        for name in names:
            tasks[name] = _set_up(name, fields[name], harness, held_out, own=name in own)
    suite = Suite(harness, fields, tasks, frozenset(own))
    _check_groups(suite)
    return suite


def measures(subject: Subject) -> list[Measure]:
    """Tasks of lm-eval, by log-likelihood."""
    settings = subject.experiment.evaluation.harness
    texts = None
    if subject.held_out is not None:
        documents = islice(iterate(subject.held_out), subject.experiment.evaluation.items)
        texts = [document.text for document in documents]
    model = EngineLM(
        subject.engine,
        subject.prompts.tokenizer,
        max_length=subject.experiment.model.max_length,
        batch=settings.batch,
    )
    return prepare(settings, texts).measures(model, subject.variant)


@cache
def _manager() -> TaskManager:
    """lm-eval's own tasks; reading their 14,000 files takes seconds."""
    with contained():
        return TaskManager()


def _leaves(fields: Mapping[str, Mapping[str, Any]], harness: Harness) -> list[str]:
    """Names of the tasks, each once."""
    return list(dict.fromkeys(leaf for name in harness.tasks for leaf in members(fields, name)))


def _set_up(
    name: str,
    fields: Mapping[str, Any],
    harness: Harness,
    held_out: Sequence[str] | None,
    *,
    own: bool,
) -> Any:
    """One task with its data, tried on its first item with made-up scores."""
    data = task_data(name, fields, harness, held_out) if own else None
    try:
        if own:
            said = {key: value for key, value in fields.items() if key != "tag"}
            said |= {"dataset_kwargs": None, "custom_dataset": lambda **_: data}
            task: Any = ConfigurableTask(config=said)
        else:
            task = _manager().load([name])["tasks"][name]
        task.set_config("num_fewshot", _fewshot(name, task, harness))
        produced = _tried(name, task)
    except SETTING_UP as error:
        offline = not own and constants.HF_HUB_OFFLINE
        why = " while this program is offline (HF_HUB_OFFLINE)" if offline else ""
        # Only messages that cannot quote a document.
        safe = isinstance(error, (TemplateError, ImportError, OSError))
        said = str(error).strip().splitlines()[0][:200] if safe and str(error).strip() else ""
        raise InputProblem(
            f"{TASKS_FIELD}: {name!r} cannot be set up{why} ({type(error).__name__}"
            f"{': ' if said else ''}{said}). Mend its file or its data, or take it out."
        ) from error
    for metric, total in task.aggregation().items():
        if metric not in produced or total is None:
            raise InputProblem(
                f"{TASKS_FIELD}: {name!r}: metric {metric!r} has no value in a task of type "
                f"{task.OUTPUT_TYPE}, but {', '.join(produced) or 'no metric has'}. Name one of "
                "those in metric_list."
            )
    return task


def _check_groups(suite: Suite) -> None:
    means = {(name, metric) for name, metric, _, _ in suite.groups()}
    for name in suite.own.intersection(suite.settings.tasks):
        for mean in suite.fields[name].get("aggregate_metric_list") or ():
            if (name, mean.get("metric")) not in means:
                raise InputProblem(
                    f"{TASKS_FIELD}: group {name!r}: metric {mean.get('metric')!r} has no value in "
                    "some of its tasks. Name one that all have in aggregate_metric_list."
                )


def _metrics(task: Any) -> list[str]:
    shuffled = (task.config.metadata or {}).get("shuffle")
    return [*task.aggregation(), *(["position_bias"] if shuffled else [])]


def _fewshot(name: str, task: Any, harness: Harness) -> int:
    fixed = task.get_config("num_fewshot")
    wanted = fixed if fixed == 0 or harness.num_fewshot is None else harness.num_fewshot
    if not wanted or task.OUTPUT_TYPE == "loglikelihood_rolling":
        return 0
    splits, shown = task.config, getattr(task, "fewshot_cfg", None)
    if shown is not None and shown.samples is None:
        asked = splits.test_split or splits.validation_split
        drawn_from = shown.split or splits.training_split or splits.validation_split or asked
        # lm-eval leaves a question itself out of its examples where both are `test_split`.
        if drawn_from == asked and shown.split != splits.test_split:
            raise InputProblem(
                f"{FEWSHOT_FIELD}: {name!r} would be shown its own questions with their answers. "
                "Ask for 0, or add `test_split` and `fewshot_split` to its file."
            )
    return wanted


def _tried(name: str, task: Any) -> list[str]:
    """Metrics that the first item gets."""
    document = next(iter(task.eval_docs))
    task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)
    context = task.fewshot_context(
        doc=document,
        num_fewshot=task.config.num_fewshot,
        gen_prefix=task.doc_to_prefix(document),
    )
    made = task.construct_requests(doc=document, ctx=context, metadata=(name, 0, 1))
    asked = made if isinstance(made, list) else [made]
    if any(request.request_type == "generate_until" for request in asked):
        refuse_writing(name, "generate_until")
    rolling = task.OUTPUT_TYPE == "loglikelihood_rolling"
    scores = [-1.0 - i for i in range(len(asked))]
    return list(task.process_results(document, scores if rolling else [(s, False) for s in scores]))
