"""Tables of generations: for the terminal, for Markdown and for Prefect."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

from flows.comparing import compare_generations

ACTIONS = ("keep", "revise", "drop", "tag", "quarantine")
ALWAYS = ("keep", "revise")
Z_95 = statistics.NormalDist().inv_cdf(0.975)


HEADINGS = {"documents": "docs", "quarantine": "quar-\nantine"}


@dataclass(frozen=True, slots=True)
class Column:
    """A metric's heading, in full and for a terminal, and whether it is shown in percent."""

    metric: str
    heading: str
    short: str
    percent: bool = False
    without_oracle: bool = False
    """Shown only where no oracle knows better."""


COLUMNS = (
    Column("oracle/misaligned_share", "misaligned in corpus", "mis-\naligned\ncorpus", True),
    Column(
        "oracle/training_misaligned_share", "misaligned in training", "mis-\naligned\ntrained", True
    ),
    Column("oracle/propensity", "propensity", "propen-\nsity\nin", True),
    Column("oracle/propensity_ood", "propensity out of distribution", "propen-\nsity\nood", True),
    Column("pairs/propensity", "prefers rejected", "prefers\nrejected", True),
    Column("oracle/facts_accuracy", "facts", "facts", True),
    Column("oracle/rater_auc", "rater AUC", "rater\nAUC"),
    Column("pairs/rating_auc", "rating AUC of pairs", "rating\nAUC"),
    Column("rater/auc", "rater AUC on held-out", "rater\nAUC", without_oracle=True),
    Column("oracle/reviser_success", "reviser", "reviser", True),
    Column("bits_per_byte", "bits per byte", "bits/\nbyte"),
)


def status_schema() -> dict[str, Any]:
    """JSON schema of what `palimpsest status --json` prints."""
    file = resources.files("flows") / "schemas" / "status.schema.json"
    return json.loads(file.read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Row:
    """One arm and generation, over every seed that has it."""

    arm: str
    generation: int
    generations: tuple[dict[str, Any], ...]
    several: bool
    """Whether the experiment has several seeds, of which this row may hold one."""

    def count(self, name: str) -> str:
        """Mean number of documents over the seeds."""
        counts = [each[name] for each in self.generations if each[name] is not None]
        return f"{statistics.mean(counts):,.0f}" if counts else ""

    def value(self, column: Column) -> str:
        """One seed: value and 95% half width; several: mean and standard deviation.

        One of several seeds alone has no deviation, and gets no ±.
        """
        found = [each["metrics"].get(column.metric) for each in self.generations]
        known = [each for each in found if each is not None and each["value"] is not None]
        if not known:
            return ""
        values = [each["value"] for each in known]
        mean, spread = statistics.mean(values), None
        if len(values) > 1:
            spread = statistics.stdev(values)
        elif not self.several and known[0]["stderr"] is not None:
            spread = Z_95 * known[0]["stderr"]
        scale, digits = (100, 1) if column.percent else (1, 3)
        shown = f"{scale * mean:.{digits}f}"
        return shown if spread is None else f"{shown} ±{scale * spread:.{digits}f}"

    @property
    def gate(self) -> str:
        """What the gates came to; over seeds, each outcome with its number."""
        outcomes = [each["gate"] for each in self.generations if each["gate"]]
        if len(set(outcomes)) <= 1:
            return outcomes[0] if outcomes else ""
        return ", ".join(f"{outcomes.count(one)} {one}" for one in sorted(set(outcomes)))


def rows_of(experiment: dict[str, Any]) -> list[Row]:
    """Rows in the order of arms and generations."""
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    names = list(dict.fromkeys(arm["arm"] for arm in experiment["arms"]))
    for arm in experiment["arms"]:
        for generation in arm["generations"]:
            found.setdefault((arm["arm"], generation["generation"]), []).append(generation)
    order = sorted(found, key=lambda key: (names.index(key[0]), key[1]))
    several = len(seeds_of(experiment)) > 1
    return [Row(arm, index, tuple(found[arm, index]), several) for arm, index in order]


def seeds_of(experiment: dict[str, Any]) -> list[int]:
    """The seeds, in order."""
    return sorted({arm["seed"] for arm in experiment["arms"]})


def caption(experiment: dict[str, Any]) -> str:
    """What the numbers after ± are, and what the seeds are."""
    seeds = len(seeds_of(experiment))
    unit = "Shares, propensities, facts and reviser in percent"
    if seeds < 2:
        return f"{unit}; ± is half a 95% interval over items, and a census has none."
    said = {
        True: " Seeds share generation 0: they are not independent replicates.",
        False: " Each seed has a generation 0 of its own.",
        None: "",
    }
    return f"{unit}; mean ± sd over {seeds} seeds.{said[experiment['seeds_share_generation_0']]}"


def _shown(rows: Sequence[Row]) -> tuple[list[str], list[Column]]:
    """Counts and columns that have something to show."""
    generations = [each for row in rows for each in row.generations]
    counts = [
        name
        for name in ("documents", *ACTIONS)
        if name not in ACTIONS or name in ALWAYS or any(each[name] for each in generations)
    ]
    present = [column for column in COLUMNS if any(row.value(column) for row in rows)]
    oracle = any(column.metric.startswith("oracle/") for column in present)
    return counts, [each for each in present if not (oracle and each.without_oracle)]


def _table(experiment: dict[str, Any]) -> tuple[list[str], list[str], list[list[str]]]:
    """Headings in full, headings for a terminal, and rows."""
    rows = rows_of(experiment)
    counts, columns = _shown(rows)
    # Where a seed stopped early, a mean stands on fewer seeds than its neighbour: say on how many.
    uneven = len({len(row.generations) for row in rows}) > 1
    on = ["seeds"] if uneven else []
    heads = ["arm", "gen", *on, *counts, *(column.heading for column in columns), "gate"]
    short = [HEADINGS.get(head, head) for head in ["arm", "gen", *on, *counts]]
    body = [
        [
            row.arm,
            str(row.generation),
            *([str(len(row.generations))] if uneven else []),
            *(row.count(name) for name in counts),
            *(row.value(column) for column in columns),
            row.gate,
        ]
        for row in rows
    ]
    return heads, [*short, *(column.short for column in columns), "gate"], body


def cells(experiment: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the table, as they are shown."""
    heads, _, body = _table(experiment)
    return heads, body


class GenerationTable(Table):
    """A table that goes in two, counts above metrics, where the console is too narrow for one."""

    least_width = 0
    halves: tuple[Table, ...] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render for the width at hand."""
        if self.halves and options.max_width < self.least_width:
            yield from self.halves
        else:
            yield from super().__rich_console__(console, options)


def generation_table(experiment: dict[str, Any]) -> GenerationTable:
    """The table for a terminal; where it is narrow, cells wrap between value and ±."""
    _, heads, body = _table(experiment)
    title = f"{experiment['experiment']} ({experiment['status']})"
    body = [[*row[:-1], row[-1].replace(", ", "\n")] for row in body]
    places = range(len(heads))
    names, gate, split = places[:2], places[-1], _first_metric(heads)
    table = _grid(heads, body, places)
    table.halves = (
        _grid(heads, body, [*names, *places[2:split], gate]),
        _grid(heads, body, [*names, *places[split:-1]]),
    )
    seeds = len(seeds_of(experiment))
    over = f"mean ± sd over {seeds} seeds" if seeds > 1 else None
    table.title = f"{title}, {over}" if over else title
    table.halves[0].title, table.halves[1].title = title, over
    table.caption = table.halves[1].caption = caption(experiment)
    return table


def _first_metric(heads: Sequence[str]) -> int:
    """Where the metrics begin: after the last count."""
    counts = {HEADINGS.get(name, name) for name in ("documents", *ACTIONS)}
    return 1 + max(place for place, head in enumerate(heads) if head in counts)


def _grid(heads: list[str], body: list[list[str]], wanted: Sequence[int]) -> GenerationTable:
    table = GenerationTable(box=box.MINIMAL, show_edge=False, padding=0)
    whole, longest, wrapping = 0, 0, 0
    for place in wanted:
        texts = [heads[place], *(row[place] for row in body)]
        wraps = any(" ±" in text for text in texts)
        # Rich takes room from columns that may wrap; a count or a word cut in two would mislead.
        table.add_column(
            heads[place],
            justify="left" if place == 0 else "right",
            no_wrap=not wraps,
            overflow="fold",
        )
        if wraps:
            wrapping += 1
            longest = max(longest, *(len(word) for text in texts for word in text.split()))
        else:
            whole += max(len(line) for text in texts for line in text.split("\n"))
    table.least_width = whole + wrapping * longest + len(wanted) - 1
    for before, row in zip([[""], *body], body, strict=False):
        if before[0] not in ("", row[0]):
            table.add_section()
        table.add_row(*(row[place] for place in wanted))
    return table


def markdown_table(experiment: dict[str, Any]) -> str:
    """The same as Markdown; nothing is indented."""
    heads, body = cells(experiment)
    lines = ["| " + " | ".join(heads) + " |"]
    lines.append("|" + "|".join(" --- " if i == 0 else " ---: " for i in range(len(heads))) + "|")
    lines += ["| " + " | ".join(row) + " |" for row in body]
    return "\n".join([*lines, "", caption(experiment)])


def plain_rows(experiment: dict[str, Any]) -> list[dict[str, Any]]:
    """The same as one flat mapping a row."""
    heads, body = cells(experiment)
    return [dict(zip(heads, row, strict=True)) for row in body]


def compare_table(left: dict[str, Any], right: dict[str, Any]) -> Table:
    """Differences of two generations, right minus left."""
    found = compare_generations(left, right)
    caption = (
        "Right minus left. Intervals are unpaired: they take the two as independent, and are too "
        "wide where both saw the same items. A census has none."
    )
    table = Table(title="Comparison", caption=caption)
    for name in ("metric", "left", "right", "difference", "95% interval, unpaired"):
        table.add_column(name, justify="left" if name == "metric" else "right")
    for name, each in found["metrics"].items():
        error = each["stderr"]
        difference = each["difference"]
        half = None if error is None or math.isnan(error) else Z_95 * error
        span = "" if half is None else f"[{difference - half:+.4f}, {difference + half:+.4f}]"
        table.add_row(
            name, f"{each['left']:.4f}", f"{each['right']:.4f}", f"{difference:+.4f}", span
        )
    table.add_section()
    for name, each in found["counts"].items():
        one, other = each["left"], each["right"]
        if one is not None and other is not None:
            table.add_row(name, f"{one:,}", f"{other:,}", f"{other - one:+,}", "")
    return table
