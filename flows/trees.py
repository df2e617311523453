"""Lineage drawn for the terminal: trees of artifacts, and the versions of a document."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from rich.console import Console, Group
from rich.text import Text
from rich.tree import Tree

from flows.texts import Version
from flows.words import word_diff

SHORT = 12
# Marks as wdiff has them, for output without colours, and a colour for those that have.
_MARKS = {"same": ("", "", ""), "removed": ("red", "[-", "-]"), "added": ("green", "{+", "+}")}


def relatives_tree(wanted: str, rows: Iterable[dict[str, Any]]) -> Tree:
    """What `ancestors` or `descendants` found, each below what it was reached from."""
    below: dict[str, list[dict[str, Any]]] = defaultdict(list)
    origin = wanted
    for row in rows:
        if row["depth"] == 1:
            origin = row["of"]
        below[row["of"]].append(row)
    tree = Tree(Text(origin[:SHORT], style="bold"))
    todo = [(tree, origin)]
    # A loop and no recursion: a thousand generations are a thousand levels deep.
    while todo:
        branch, digest = todo.pop()
        for row in below[digest]:
            label = Text.assemble(
                (f"{row['relation']} ", "dim"), f"{row['kind']} ", (row["id"][:SHORT], "bold")
            )
            todo.append((branch.add(label), row["id"]))
    return tree


def print_versions(doc_id: str, found: Iterable[Version]) -> None:
    """Print what was done to a document, generation by generation, with a word diff."""
    console = Console(highlight=False)
    console.print(Text(doc_id, style="bold"))
    for version in found:
        console.print(Group(Text(), _headline(version.row), _texts(version)))


def _headline(row: dict[str, Any]) -> Text:
    where = f"{row['experiment']}:{row['arm']}:{row['generation']}:{row['seed']}"
    text = Text.assemble((where, "bold"), "  ", (row["action"], "cyan"), f"  {row['reason']}")
    scores = [
        f"{words} {row[name]:.3f}"
        for name, words in (
            ("score_before", "score before"),
            ("score_after", "after"),
            ("acceptance_score", "acceptance rater"),
            ("edit_distance", "edit distance"),
        )
        if row[name] is not None
    ]
    said = [*scores, *([f"principle {row['principle']}"] if row["principle"] else [])]
    if row["rater"]:
        said.append(f"rated by {row['rater'][:SHORT]}")
    return text.append(f"\n  {', '.join(said)}", style="dim") if said else text


def _texts(version: Version) -> Text:
    if version.before is None:
        return Text("  (its text stands in no corpus that is here)", style="dim italic")
    text = Text("  ")
    if version.after is None:
        return text.append(version.before)
    for kind, words in word_diff(version.before, version.after):
        style, opened, closed = _MARKS[kind]
        text.append(f"{opened}{words}{closed}", style=style)
    return text
