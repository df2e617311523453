"""The report: one self-contained HTML page about an experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from flows import plots
from flows.summary import Z_95, caption, cells
from flows.words import word_diff
from workers.storage import whole_file


@dataclass(frozen=True)
class Change:
    """A revised document, before and after."""

    doc_id: str
    arm: str
    seed: int
    generation: int
    action: str
    reason: str
    before: str
    after: str
    principles: tuple[str, ...]
    score_before: float | None
    score_after: float | None
    similarity: float | None


def write_report(
    experiment: Mapping[str, Any],
    changes: Sequence[Change],
    *,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    out: Path,
) -> Path:
    """Write the page and return its path.

    Args:
        experiment: one entry of what `palimpsest status --json` prints.
        changes: documents to show as diffs, most changed first.
        config: the resolved config.
        provenance: command, commit, versions and kind of machine.
        out: file to write; it needs nothing beside it.
    """
    environment = Environment(
        loader=PackageLoader("flows"), autoescape=True, undefined=StrictUndefined
    )
    heads, body = cells(dict(experiment))
    page = environment.get_template("page.html.j2").render(
        experiment=experiment,
        verdict=verdict(experiment),
        figures=[
            (figure.title, figure.text, Markup(figure.svg)) for figure in _figures(experiment)
        ],
        heads=[head.replace("-\n", "-").replace("\n", " ") for head in heads],
        body=body,
        caption=caption(dict(experiment)),
        gates=_gates(experiment),
        changes=[(change, list(word_diff(change.before, change.after))) for change in changes],
        config=yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True),
        provenance=yaml.safe_dump(dict(provenance), sort_keys=False, allow_unicode=True),
    )
    with whole_file(out.resolve()) as fresh:
        fresh.write_text(page, encoding="utf-8")
    return out


def _figures(experiment: Mapping[str, Any]) -> list[plots.Figure]:
    panels = [plots.trajectory(experiment, panel) for panel in plots.PANELS]
    return [panel for panel in [*panels, plots.actions(experiment)] if panel is not None]


def verdict(experiment: Mapping[str, Any]) -> str:
    """One sentence made of the numbers: the newest revised generation beside the control's."""
    treated = _newest(experiment, "revise") or _newest(experiment, "filter")
    control = _newest(experiment, "control")
    if treated is None or control is None or treated["generation"] == 0:
        return "No treated generation has been evaluated yet."
    for metric, words in (
        ("oracle/propensity", "true misaligned propensity"),
        ("pairs/propensity", "share of pairs whose rejected side it prefers"),
        ("bits_per_byte", "bits per byte of held-out text"),
    ):
        one, other = _estimate(treated, metric), _estimate(control, metric)
        if one and other:
            sentence = (
                f"At generation {treated['generation']} the {treated['arm']} arm's {words} is "
                f"{one}, and the control's is {other}"
            )
            facts = [_value(each, "oracle/facts_accuracy") for each in (treated, control)]
            if None not in facts:
                points = 100 * (facts[0] - facts[1])
                sentence += f"; accuracy on facts differs by {points:+.1f} points"
            return sentence + "."
    return "No metric was measured on both the treated arm and the control."


def _newest(experiment: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """The newest evaluated generation of an arm's first seed."""
    for arm in experiment["arms"]:
        if arm["arm"] == name:
            done = [row for row in arm["generations"] if row["metrics"] and row["checkpoint"]]
            return {"arm": name, **done[-1]} if done else None
    return None


def _value(row: Mapping[str, Any], metric: str) -> Any:
    return row["metrics"].get(metric, {}).get("value")


def _estimate(row: Mapping[str, Any], metric: str) -> str | None:
    found = row["metrics"].get(metric)
    if found is None or found["value"] is None:
        return None
    half = "" if found["stderr"] is None else f" ± {Z_95 * found['stderr']:.3f}"
    return f"{found['value']:.3f}{half}"


def _gates(experiment: Mapping[str, Any]) -> list[tuple[str, int, int, str, str]]:
    return [
        (arm["arm"], arm["seed"], row["generation"], gate, outcome)
        for arm in experiment["arms"]
        for row in arm["generations"]
        for gate, outcome in row["gates"].items()
    ]
