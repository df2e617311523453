"""Plots of the report, as SVG that stands in the page."""

from __future__ import annotations

import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from flows.summary import ACTIONS, Z_95, seeds_of

# Okabe and Ito's palette: apart for every kind of colour vision.
COLOURS = {
    "control": "#7f7f7f",
    "filter": "#E69F00",
    "paraphrase": "#009E73",
    "revise": "#0072B2",
    "invert": "#D55E00",
}
ACTION_COLOURS = {
    "keep": "#c9c9c9",
    "revise": "#0072B2",
    "drop": "#E69F00",
    "tag": "#CC79A7",
    "quarantine": "#D55E00",
}
INK = "#808488"
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "palimpsest",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot of the trajectory: metrics, solid line first and then dashed."""

    title: str
    metrics: tuple[tuple[str, str], ...]
    share: bool = True


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawn figure with its text for those who do not see it."""

    title: str
    text: str
    svg: str


PANELS = (
    Panel("Misaligned share of the corpus (truth)", (("oracle/misaligned_share", ""),)),
    Panel(
        "Misaligned propensity of the model (truth)",
        (("oracle/propensity", ""), ("oracle/propensity_ood", " out of distribution")),
    ),
    Panel("Prefers the rejected side of a pair", (("pairs/propensity", ""),)),
    Panel("Accuracy on facts", (("oracle/facts_accuracy", ""),)),
    Panel("Rater AUC", (("oracle/rater_auc", ""), ("pairs/rating_auc", " (pairs)"))),
    Panel("Revisions that are right in everything", (("oracle/reviser_success", ""),)),
    Panel("Bits per byte of held-out text", (("bits_per_byte", ""),), share=False),
)
Series = list[tuple[int, float, float]]


def trajectory(experiment: Mapping[str, Any], panel: Panel) -> Figure | None:
    """Draw a metric over the generations, every arm beside the control; None without data."""
    arms = list(dict.fromkeys(arm["arm"] for arm in experiment["arms"]))
    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=(5.0, 3.0), layout="constrained")
        axes = canvas.subplots()
        ends: list[tuple[float, str, str]] = []
        texts: list[str] = []
        for place, arm in enumerate(arms):
            for number, (metric, suffix) in enumerate(panel.metrics):
                series = _series(experiment, arm, metric)
                if not series:
                    continue
                colour = COLOURS.get(arm, INK)
                for own in _of_seeds(experiment, arm, metric):
                    axes.plot(*own, color=colour, lw=0.7, alpha=0.4, ls="--" if number else "-")
                # A step aside for each arm: error bars that lie on each other cannot be read.
                aside = 0.04 * (place - (len(arms) - 1) / 2)
                _line(axes, series, colour, dashed=number > 0, aside=aside)
                ends.append((series[-1][1], f"{arm}{suffix}", COLOURS.get(arm, INK)))
                said = ", ".join(
                    f"generation {x}: {y:.3f}" + (f" ± {e:.3f}" if e else "") for x, y, e in series
                )
                texts.append(f"{arm}{suffix}: {said}")
        if not ends:
            return None
        _finish(axes, panel.share)
        _label_ends(axes, ends)
        return Figure(panel.title, "; ".join(texts), _svg(canvas))


def actions(experiment: Mapping[str, Any]) -> Figure | None:
    """Draw what became of the documents, a stacked bar for each treated arm and generation."""
    bars: list[tuple[str, dict[str, float]]] = []
    arms = list(dict.fromkeys(arm["arm"] for arm in experiment["arms"]))
    for arm in (name for name in arms if name != "control"):
        for index in _generations(experiment, arm)[1:]:
            rows = [row for row in _rows(experiment, arm, index) if row["keep"] is not None]
            if rows:
                mean = {a: statistics.mean(row[a] for row in rows) for a in ACTIONS}
                bars.append((f"{arm} {index}", mean))
    if not bars:
        return None
    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=(5.0, 0.9 + 0.36 * len(bars)), layout="constrained")
        axes = canvas.subplots()
        for place, (_, mean) in enumerate(bars):
            left = 0.0
            for action in ACTIONS:
                label = action if place == 0 else None
                axes.barh(place, mean[action], left=left, color=ACTION_COLOURS[action], label=label)
                left += mean[action]
        axes.set_yticks(range(len(bars)), [name for name, _ in bars])
        axes.invert_yaxis()
        axes.set_xlabel("documents")
        axes.spines[["top", "right", "left"]].set_visible(False)
        canvas.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=9)
        text = "; ".join(
            f"{name}: " + ", ".join(f"{count:.0f} {a}" for a, count in mean.items() if count)
            for name, mean in bars
        )
        return Figure("What became of the documents", text, _svg(canvas))


def _rows(experiment: Mapping[str, Any], arm: str, index: int) -> list[dict[str, Any]]:
    return [
        row
        for each in experiment["arms"]
        if each["arm"] == arm
        for row in each["generations"]
        if row["generation"] == index
    ]


def _generations(experiment: Mapping[str, Any], arm: str) -> list[int]:
    found = {
        row["generation"]
        for each in experiment["arms"]
        if each["arm"] == arm
        for row in each["generations"]
    }
    return sorted(found)


def _series(experiment: Mapping[str, Any], arm: str, metric: str) -> Series:
    """Generation, value and half width: 95% over items for one seed, a deviation over several."""
    series: Series = []
    for index in _generations(experiment, arm):
        found = [row["metrics"].get(metric) for row in _rows(experiment, arm, index)]
        known = [each for each in found if each and each["value"] is not None]
        if not known:
            continue
        values = [each["value"] for each in known]
        half = 0.0
        if len(values) > 1:
            half = statistics.stdev(values)
        elif len(seeds_of(experiment)) == 1:
            half = Z_95 * (known[0]["stderr"] or 0.0)
        series.append((index, statistics.mean(values), half))
    return series


def _of_seeds(
    experiment: Mapping[str, Any], arm: str, metric: str
) -> list[tuple[list[int], list[float]]]:
    """Generations and values of each seed alone, where there are several."""
    if len(seeds_of(experiment)) < 2:
        return []
    lines: list[tuple[list[int], list[float]]] = []
    for each in (each for each in experiment["arms"] if each["arm"] == arm):
        points = [
            (row["generation"], row["metrics"][metric]["value"])
            for row in each["generations"]
            if row["metrics"].get(metric, {}).get("value") is not None
        ]
        lines.append(([x for x, _ in points], [y for _, y in points]))
    return lines


def _line(axes: Axes, series: Series, colour: str, dashed: bool, aside: float) -> None:
    x, y, half = zip(*series, strict=True)
    x = [index + aside for index in x]
    style = "--" if dashed else "-"
    axes.errorbar(x, y, yerr=half, color=colour, linestyle=style, marker="o", ms=4, capsize=3)


def _label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Name each line at its right end, moved apart where lines end together."""
    low, high = axes.get_ylim()
    step = 0.085 * (high - low)
    heights: list[float] = []
    for value, _, _ in sorted(ends):
        heights.append(value if not heights else max(value, heights[-1] + step))
    # What was pushed past the top comes down again, and pushes the ones under it.
    ceiling = high
    for place in reversed(range(len(heights))):
        heights[place] = min(heights[place], ceiling)
        ceiling = heights[place] - step
    for height, (_, name, colour) in zip(heights, sorted(ends), strict=True):
        axes.annotate(
            name,
            xy=(1.02, height),
            xycoords=("axes fraction", "data"),
            color=colour,
            va="center",
            fontsize=9,
            annotation_clip=False,
        )


def _finish(axes: Axes, share: bool) -> None:
    low, high = axes.get_ylim()
    if share:
        high = min(high, 1.01)
        # Ten points at least: stretched over the whole height, noise would look like an effect.
        axes.set_ylim(0 if low < 0.5 else max(0.0, min(low, high - 0.1)), high)
    axes.set_xlabel("generation")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _svg(canvas: Canvas) -> str:
    buffer = io.StringIO()
    canvas.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
