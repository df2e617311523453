"""Figures of numbers over the generations: every arm beside the others, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from flows.report.levels import Level
from flows.report.metric import Metric
from flows.report.plots import (
    BAR,
    COLOURS,
    INK,
    MARKERS,
    Figure,
    Table,
    canvas_of,
    label_ends,
    over_generations,
    styled,
    svg_of,
)

ASIDE = 0.05
"""Generations between the arms' points: intervals that lie on each other cannot be read."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a figure: a name, its colour and marker, and its numbers."""

    name: str
    colour: str
    marker: str
    levels: tuple[Level, ...]
    dashed: bool = False
    """Drawn beside the solid line of its colour, which has the name; without single seeds."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A horizontal line that the numbers are held against, in the record's unit."""

    value: float
    name: str


def lines_of(found: Sequence[Level]) -> list[Line]:
    """A line for each arm."""
    return [
        Line(
            arm,
            COLOURS.get(arm, INK),
            MARKERS.get(arm, "o"),
            tuple(each for each in found if each.arm == arm),
        )
        for arm in dict.fromkeys(each.arm for each in found)
    ]


def trajectory(
    metric: Metric,
    lines: Sequence[Line],
    *,
    title: str | None = None,
    about: str | None = None,
    axis: str | None = None,
    rules: Sequence[Rule] = (),
    sign: str = "",
) -> Figure:
    """Draw lines over the generations.

    Args:
        metric: gives title, unit, explanation and scale.
        lines: what is drawn; at least one number.
        title: in place of the metric's name.
        about: in place of the metric's explanation.
        axis: in place of the metric's unit.
        rules: bounds to draw.
        sign: `+` where the numbers are differences.
    """
    solid = [line for line in lines if not line.dashed]
    with styled():
        canvas, axes = canvas_of(3.0)
        for place, line in enumerate(lines):
            aside = ASIDE * (place % len(solid) - (len(solid) - 1) / 2)
            _draw(axes, line, metric.scale, aside, seeds=len(solid) == len(lines))
        for rule in rules:
            _rule(axes, rule, metric.scale)
        if metric.unit == "%" and not sign:
            _share_limits(axes)
        _leave_room(axes)
        generations = [each.generation for line in lines for each in line.levels]
        over_generations(axes, axis or metric.axis, generations)
        ends = [(metric.scale * li.levels[-1].value, li.name, li.colour) for li in solid]
        label_ends(axes, ends)
        svg = svg_of(canvas)
    said = "; ".join(
        f"{line.name}: "
        + ", ".join(
            f"generation {each.generation}: {cell(metric, each, sign)}" for each in line.levels
        )
        for line in lines
    )
    table = levels_table(metric, lines, sign)
    return Figure(title or metric.name, about or metric.explanation, svg, table, said)


def cell(metric: Metric, level: Level, sign: str = "") -> str:
    """A number with its interval."""
    value = metric.number(level.value, sign)
    return f"{value} {interval_said(metric, level.lower, level.upper, sign)}".strip()


def interval_said(metric: Metric, lower: float | None, upper: float | None, sign: str = "") -> str:
    """An interval in brackets, or nothing."""
    if lower is None or upper is None:
        return ""
    return f"[{metric.number(lower, sign)}, {metric.number(upper, sign)}]"


def levels_table(metric: Metric, lines: Sequence[Line], sign: str = "") -> Table:
    """The numbers of a figure."""
    unit = ("points" if sign else "%") if metric.unit == "%" else metric.unit
    return Table(
        ("line", "generation", f"value ({unit})" if unit else "value", "95% interval", "over"),
        tuple(
            (
                line.name,
                str(each.generation),
                metric.number(each.value, sign),
                interval_said(metric, each.lower, each.upper, sign),
                over_said(each),
            )
            for line in lines
            for each in line.levels
        ),
    )


def over_said(level: Level) -> str:
    """What an interval is over, in words."""
    if level.over is not None:
        return f"{level.n:,} {level.over}"
    return "no interval"


def _draw(axes: Axes, line: Line, scale: int, aside: float, *, seeds: bool) -> None:
    style = "--" if line.dashed else "-"
    held = {each.seed for level in line.levels for each in level.seeds}
    for seed in sorted(held) if seeds and len(held) > 1 else ():
        own = [(le.generation, e.value) for le in line.levels for e in le.seeds if e.seed == seed]
        axes.plot(
            [index + aside for index, _ in own],
            [scale * value for _, value in own],
            color=line.colour, lw=0.7, alpha=0.35, ls=style,
        )  # fmt: skip
    axes.errorbar(
        [each.generation + aside for each in line.levels],
        [scale * each.value for each in line.levels],
        yerr=[scale * each.half for each in line.levels],
        color=line.colour, linestyle=style, marker=line.marker, **BAR,
    )  # fmt: skip


def _rule(axes: Axes, rule: Rule, scale: int) -> None:
    axes.axhline(scale * rule.value, color=INK, lw=1, ls=(0, (4, 3)))
    axes.annotate(
        rule.name,
        xy=(0.01, scale * rule.value),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        fontsize=8.5,
    )


def _share_limits(axes: Axes) -> None:
    """From 0 or near the data to 100, and ten points high at least: else noise looks like much."""
    low, high = axes.get_ylim()
    high = min(high, 101.0)
    axes.set_ylim(0 if low < 50 else max(0.0, min(low, high - 10)), high)


def _leave_room(axes: Axes) -> None:
    """Something over the highest rule's name, and a scale for numbers that are all the same."""
    low, high = axes.get_ylim()
    if high - low < 1e-6:
        axes.set_ylim(low - 0.5, high + 0.5)
    axes.margins(y=0.08)
