"""Tables of generations: for the terminal, for Markdown and for Prefect."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

ACTIONS = ("keep", "revise", "drop", "tag", "quarantine")
ALWAYS = ("keep", "revise")
Z_95 = statistics.NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Column:
    """A metric's heading, and whether it is shown in percent."""

    metric: str
    heading: str
    percent: bool = False


COLUMNS = (
    Column("oracle/misaligned_share", "misaligned\nin corpus", True),
    Column("oracle/training_misaligned_share", "misaligned\nin training", True),
    Column("oracle/propensity", "propensity", True),
    Column("oracle/propensity_ood", "propensity\nout of dist.", True),
    Column("pairs/propensity", "prefers\nrejected", True),
    Column("oracle/facts_accuracy", "facts", True),
    Column("oracle/rater_auc", "rater\nAUC"),
    Column("pairs/rating_auc", "rating\nAUC"),
    Column("oracle/reviser_success", "reviser", True),
    Column("bits_per_byte", "bits per\nbyte"),
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

    def count(self, action: str) -> str:
        """Mean number of documents over the seeds."""
        counts = [each[action] for each in self.generations if each[action] is not None]
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


def seeds_of(experiment: Mapping[str, Any]) -> list[int]:
    """The seeds, in order."""
    return sorted({arm["seed"] for arm in experiment["arms"]})


def caption(experiment: dict[str, Any]) -> str:
    """What the numbers after ± are, and what the seeds are."""
    seeds = seeds_of(experiment)
    if len(seeds) < 2:
        return "Values in percent where they are shares; ± is half a 95% interval over items."
    shared = (
        " Seeds share generation 0: they are not independent replicates."
        if experiment["seeds_share_generation_0"]
        else ""
    )
    uneven = (
        " A seed that stopped early is missing from its later rows."
        if len({len(row.generations) for row in rows_of(experiment)}) > 1
        else ""
    )
    return (
        f"Values in percent where they are shares; mean ± standard deviation over {len(seeds)} "
        f"seeds.{uneven}{shared}"
    )


def _shown(rows: Sequence[Row]) -> tuple[list[str], list[Column]]:
    """Actions and columns that have something to show."""

    def happened(action: str) -> bool:
        return any(each[action] for row in rows for each in row.generations)

    actions = [action for action in ACTIONS if action in ALWAYS or happened(action)]
    return actions, [column for column in COLUMNS if any(row.value(column) for row in rows)]


def cells(experiment: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the table."""
    rows = rows_of(experiment)
    actions, columns = _shown(rows)
    heads = ["arm", "gen", *actions, *(column.heading for column in columns), "gate"]
    body = [
        [
            row.arm,
            str(row.generation),
            *(row.count(action) for action in actions),
            *(row.value(column) for column in columns),
            row.gate,
        ]
        for row in rows
    ]
    return heads, body


def generation_table(experiment: dict[str, Any]) -> Table:
    """The table for a terminal."""
    heads, body = cells(experiment)
    title = f"{experiment['experiment']} ({experiment['status']})"
    table = Table(title=title, caption=caption(experiment), box=box.SIMPLE_HEAD, padding=(0, 1))
    for number, head in enumerate(heads):
        table.add_column(head, justify="left" if number == 0 else "right", no_wrap=True)
    for before, row in zip([[""], *body], body, strict=False):
        if before[0] not in ("", row[0]):
            table.add_section()
        table.add_row(*row)
    return table


def print_whole(table: Table) -> None:
    """Print a table at its full width: cells that are cut off would be no use to anyone."""
    console = Console(highlight=False)
    needed = Measurement.get(console, console.options.update(max_width=1000), table).maximum
    Console(highlight=False, width=max(needed, console.width)).print(table)


def markdown_table(experiment: dict[str, Any]) -> str:
    """The same as Markdown; nothing is indented."""
    heads, body = cells(experiment)
    heads = [head.replace("-\n", "-").replace("\n", " ") for head in heads]
    lines = ["| " + " | ".join(heads) + " |"]
    lines.append("|" + "|".join(" --- " if i == 0 else " ---: " for i in range(len(heads))) + "|")
    lines += ["| " + " | ".join(row) + " |" for row in body]
    return "\n".join([*lines, "", caption(experiment)])


def plain_rows(experiment: dict[str, Any]) -> list[dict[str, Any]]:
    """The same as one flat mapping a row."""
    heads, body = cells(experiment)
    names = [head.replace("\n", " ") for head in heads]
    return [dict(zip(names, row, strict=True)) for row in body]


def compare_table(found: dict[str, Any]) -> Table:
    """What `compare` found, as a table."""
    table = Table(title=f"{found['right']} minus {found['left']}", box=box.SIMPLE_HEAD)
    for name in ("metric", "left", "right", "difference", "95% interval", "items"):
        table.add_column(name, justify="left" if name == "metric" else "right")
    for name, each in found["metrics"].items():
        error = each["stderr"]
        difference = each["difference"]
        half = None if error is None or math.isnan(error) else Z_95 * error
        span = "" if half is None else f"[{difference - half:+.4f}, {difference + half:+.4f}]"
        items = f"{each['n']:,} {'paired' if each['paired'] else ''}"
        one, other = f"{each['left']:.4f}", f"{each['right']:.4f}"
        table.add_row(name, one, other, f"{difference:+.4f}", span, items)
    table.add_section()
    for name, each in found["counts"].items():
        one, other = each["left"], each["right"]
        if one is not None and other is not None:
            table.add_row(name, f"{one:,}", f"{other:,}", f"{other - one:+,}", "", "")
    table.add_section()
    for name, count in (found["corpus"] or {}).items():
        table.add_row(f"documents {name.replace('_', ' ')}", "", "", f"{count:,}", "", "")
    for name, values in found["config"].items():
        table.add_row(name, str(values["left"]), str(values["right"]), "", "", "")
    return table
