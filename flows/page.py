"""The report: one self-contained HTML page about an experiment."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from flows import plots
from flows.summary import Z_95, caption, cells, seeds_of
from flows.words import word_diff
from workers.storage import whole_file

# A diff of texts that share little takes time that grows with the square of their length.
LONGEST_SHOWN = 8_000
MAIN_ARMS = ("revise", "filter")
VERDICT_METRICS = (
    ("oracle/propensity", "true misaligned propensity"),
    ("pairs/propensity", "share of pairs whose rejected side it prefers"),
    ("bits_per_byte", "bits per byte of held-out text"),
)


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
            (figure.title, embedded(figure, number))
            for number, figure in enumerate(_figures(experiment))
        ],
        bars=_bars(experiment),
        heads=[head.replace("-\n", "-").replace("\n", " ") for head in heads],
        body=body,
        caption=caption(dict(experiment)),
        gates=_gates(experiment),
        changes=[(change, _diff(change), _is_long(change)) for change in changes],
        longest=LONGEST_SHOWN,
        config=yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True),
        provenance=yaml.safe_dump(dict(provenance), sort_keys=False, allow_unicode=True),
    )
    with whole_file(out.resolve()) as fresh:
        fresh.write_text(page, encoding="utf-8")
    return out


def _figures(experiment: Mapping[str, Any]) -> list[plots.Figure]:
    panels = [plots.trajectory(experiment, panel) for panel in plots.PANELS]
    return [panel for panel in [*panels, plots.actions(experiment)] if panel is not None]


def _is_long(change: Change) -> bool:
    return max(len(change.before), len(change.after)) > LONGEST_SHOWN


def _diff(change: Change) -> list[tuple[str, str]]:
    return list(word_diff(change.before[:LONGEST_SHOWN], change.after[:LONGEST_SHOWN]))


def embedded(figure: plots.Figure, number: int) -> Markup:
    """A figure as it stands in the page: named, and apart from the other figures.

    Every SVG of one page shares the page's ids and style, so ids get the figure's number, and
    colours become variables that the page sets for light and dark.
    """
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", figure.svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\1f{number}-", svg)
    svg = re.sub(r": #([0-9a-f]{6})\b", r": var(--c-\1, #\1)", svg)
    label = escape(f"{figure.title}. {figure.text}")
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1))


def _bars(experiment: Mapping[str, Any]) -> str:
    seeds = len(seeds_of(experiment))
    if seeds > 1:
        return (
            f"Points are means over {seeds} seeds, bars ± one standard deviation, and faint lines "
            "single seeds."
        )
    return "Bars are 95% intervals over items of one seed; a census has none."


def verdict(experiment: Mapping[str, Any]) -> str:
    """One sentence made of the numbers: a treated arm beside the control's same generation."""
    arms = dict.fromkeys(arm["arm"] for arm in experiment["arms"])
    treated = sorted(
        (arm for arm in arms if arm != "control"),
        key=lambda arm: MAIN_ARMS.index(arm) if arm in MAIN_ARMS else len(MAIN_ARMS),
    )
    for arm in treated:
        own, control = _evaluated(experiment, arm), _evaluated(experiment, "control")
        # A seed counts where both arms have it; otherwise seeds, not arms, would be compared.
        pairs = [(own[key], control[key]) for key in own if key in control]
        newest = max((row["generation"] for row, _ in pairs), default=0)
        if newest > 0:
            chosen = [pair for pair in pairs if pair[0]["generation"] == newest]
            return _sentence(arm, newest, chosen)
    return "No treated generation has been evaluated yet."


def _evaluated(experiment: Mapping[str, Any], name: str) -> dict[tuple[int, int], dict[str, Any]]:
    """The evaluated generations of an arm, by seed and index."""
    return {
        (arm["seed"], row["generation"]): row
        for arm in experiment["arms"]
        if arm["arm"] == name
        for row in arm["generations"]
        if row["metrics"] and row["checkpoint"]
    }


def _sentence(
    arm: str, generation: int, pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]]
) -> str:
    for metric, words in VERDICT_METRICS:
        one = _estimate([row for row, _ in pairs], metric)
        other = _estimate([row for _, row in pairs], metric)
        if one is None or other is None:
            continue
        over = f" (mean ± sd over {len(pairs)} seeds)" if len(pairs) > 1 else ""
        sentence = (
            f"At generation {generation} the {arm} arm's {words} is {one}, and the control's is "
            f"{other}{over}"
        )
        facts = [
            100 * (values[0] - values[1])
            for row, control in pairs
            if None
            not in (values := [_value(each, "oracle/facts_accuracy") for each in (row, control)])
        ]
        if facts:
            sentence += f"; accuracy on facts differs by {statistics.mean(facts):+.1f} points"
        return sentence + "."
    return (
        f"At generation {generation} no metric was measured on both the {arm} arm and the control."
    )


def _value(row: Mapping[str, Any], metric: str) -> Any:
    return row["metrics"].get(metric, {}).get("value")


def _estimate(rows: Sequence[Mapping[str, Any]], metric: str) -> str | None:
    """One seed: value and 95% half width; several: mean and standard deviation."""
    values = [_value(row, metric) for row in rows]
    if None in values:
        return None
    half: float | None = None
    if len(values) > 1:
        half = statistics.stdev(values)
    elif rows[0]["metrics"][metric]["stderr"] is not None:
        half = Z_95 * rows[0]["metrics"][metric]["stderr"]
    shown = f"{statistics.mean(values):.3f}"
    return shown if half is None else f"{shown} ± {half:.3f}"


def _gates(experiment: Mapping[str, Any]) -> list[tuple[str, int, int, str, str]]:
    return [
        (arm["arm"], arm["seed"], row["generation"], gate, outcome)
        for arm in experiment["arms"]
        for row in arm["generations"]
        for gate, outcome in row["gates"].items()
    ]
