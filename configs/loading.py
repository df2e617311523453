"""Reading a config: YAML, `--set a.b=c` overrides, and errors that name the field and the fix."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from configs.experiment import Experiment

SHIPPED = Path(__file__).parent
M = TypeVar("M", bound=BaseModel)


class ConfigProblem(Exception):
    """A config that cannot be used; the message names the field, the value and the fix."""


class _Loader(yaml.SafeLoader):
    """YAML in which a key given twice is an error rather than the last one winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {str(key) for key in keys if keys.count(key) > 1}
        if twice:
            line = node.start_mark.line + 1
            raise ConfigProblem(f"{', '.join(sorted(twice))}: given twice (mapping at line {line})")
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping.

    Raises:
        ConfigProblem: the file is missing, is not UTF-8 YAML, or is not a mapping.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise ConfigProblem(f"{path}: no such file.{_shipped_hint(path)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigProblem(f"{path}: cannot be read as UTF-8 text: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigProblem(f"{path}: not valid YAML: {error}") from error
    except ConfigProblem as error:
        raise ConfigProblem(f"{path}: {error}") from None
    if not isinstance(data, dict):
        raise ConfigProblem(f"{path}: expected a mapping of fields, found {type(data).__name__}")
    return data


def _shipped_hint(path: Path) -> str:
    names = [file.name for file in sorted(SHIPPED.glob("*.yaml"))]
    near = difflib.get_close_matches(path.name, names, n=1)
    return f" Did you mean configs/{near[0]}?" if near else f" Shipped: {', '.join(names)}."


def shipped_file(kind: str, name: str, suffix: str = ".yaml") -> Path:
    """Path of a principle, prompt or skills file given by shipped name or by path.

    Raises:
        ConfigProblem: there is no such file; the nearest shipped name is suggested.
    """
    shipped = SHIPPED / kind / f"{name}{suffix}"
    if shipped.is_file():
        return shipped
    if Path(name).is_file():
        return Path(name)
    names = sorted(file.stem for file in (SHIPPED / kind).glob(f"*{suffix}"))
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ConfigProblem(
        f"{kind}: {name!r} is neither a file nor one of the shipped {', '.join(names)}.{hint}"
    )


def experiment_file(name: str) -> Path:
    """Path of an experiment given by path, or by the file name of a shipped one."""
    path = expand_path(name, "config")
    return path if path.exists() or not (SHIPPED / name).is_file() else SHIPPED / name


def load(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Load an experiment from YAML, with `a.b=c` overrides applied on top.

    Raises:
        ConfigProblem: anything about the file, an override or a field is wrong.
    """
    data = read_yaml(path)
    apply_overrides(data, overrides)
    return parse(data, where=str(path))


def apply_overrides(data: dict[str, Any], overrides: Sequence[str]) -> None:
    """Set fields of a config from `a.b=c` texts.

    Raises:
        ConfigProblem: an override is not of that form.
    """
    for override in overrides:
        _apply(data, override)


def parse(data: Mapping[str, Any], where: str = "config") -> Experiment:
    """Validate a mapping as an experiment.

    Raises:
        ConfigProblem: one paragraph for each wrong field.
    """
    return validate(Experiment, data, where)


def validate(model: type[M], data: Mapping[str, Any], where: str) -> M:
    """Validate a mapping as `model`, turning pydantic's errors into readable ones."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = [f"{where}: {_explain(detail, model)}" for detail in error.errors()]
        raise ConfigProblem("\n".join(lines)) from None


def _apply(data: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigProblem(f"--set {override}: write it as field.subfield=value")
    *parents, last = key.split(".")
    here = data
    for parent in parents:
        inner = here.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise ConfigProblem(f"--set {override}: {parent!r} is a value, not a section")
        here = inner
    try:
        here[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigProblem(f"--set {override}: the value is not valid YAML: {error}") from error


def _explain(detail: ErrorDetails, model: type[BaseModel]) -> str:
    location = [str(part) for part in detail["loc"]]
    field = ".".join(location) or "config"
    if detail["type"] == "extra_forbidden":
        allowed = sorted(_fields_at(model, location[:-1]))
        near = difflib.get_close_matches(location[-1], allowed, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return f"{field}: no such field.{hint} Allowed here: {', '.join(allowed)}."
    if detail["type"] == "value_error":
        return f"{field}: {detail['ctx']['error']}" if "ctx" in detail else detail["msg"]
    return f"{field}: {detail['msg']} (given: {detail['input']!r}).{_nearest(detail)}"


def _nearest(detail: ErrorDetails) -> str:
    expected = re.findall(r"'([^']+)'", str(detail.get("ctx", {}).get("expected", "")))
    near = difflib.get_close_matches(str(detail["input"]), expected, n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""


def _fields_at(model: type[BaseModel], location: Sequence[str]) -> set[str]:
    """Names of the fields that stand at `location`; a discriminator's value in it is skipped."""
    here: list[type[BaseModel]] = [model]
    for part in location:
        inner = [
            found
            for each in here
            if part in each.model_fields
            for found in _models_in(each.model_fields[part].annotation)
        ]
        tagged = [each for each in here if _tag_of(each) == part]
        here = inner or tagged or here
    return {name for each in here for name in each.model_fields}


def _tag_of(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("kind")
    return field.default if field is not None else None


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType):
        for argument in get_args(annotation):
            yield from _models_in(argument)
    elif get_args(annotation):
        yield from _models_in(get_args(annotation)[0])


def expand_path(text: str, field: str) -> Path:
    """Expand `~` and `${VAR}` in a path that a config gives.

    Raises:
        ConfigProblem: a variable is not set.
    """
    missing = [name for name in re.findall(r"\$\{(\w+)\}", text) if name not in os.environ]
    if missing:
        raise ConfigProblem(
            f"{field}: {text!r} needs the environment variable {', '.join(missing)}; "
            "set it, or write the path out"
        )
    return Path(os.path.expandvars(text)).expanduser()
