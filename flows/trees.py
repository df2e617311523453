"""Lineage drawn for the terminal: trees of artifacts, and the versions of a document."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from rich.console import Console, Group
from rich.text import Text
from rich.tree import Tree
from sqlalchemy.orm import Session

from db.lineage import identify_artifact
from db.lineage.ancestry import Direction, relatives
from flows.exports.reading import read_derivations
from flows.texts import Version
from flows.words import word_diff

SHORT = 12
# Marks as wdiff has them, for output without colours, and a colour for those that have.
_MARKS = {"same": ("", "", ""), "removed": ("red", "[-", "-]"), "added": ("green", "{+", "+}")}


def relatives_tree(session: Session, wanted: str, direction: Direction) -> Tree:
    """What an artifact was made from, or what of it, with every edge, depth first.

    An artifact that stands further up already is named again, and not what lies below it.

    Raises:
        UnknownId: there is no such artifact.
    """
    start = identify_artifact(session, wanted)
    reached = relatives(session, [start.id], direction)
    names = {each.key: (each.kind, each.id) for each in reached}
    edges = _edges(session, {start.id, *names}, direction)
    names[start.id] = (start.kind, start.digest)
    tree = Tree(Text(start.digest[:SHORT], style="bold"))
    shown = {start.id}
    # A loop and no recursion: a thousand generations are a thousand levels deep.
    todo = [(tree, iter(edges[start.id]))]
    while todo:
        branch, rest = todo[-1]
        edge = next(rest, None)
        if edge is None:
            todo.pop()
            continue
        relation, key = edge
        label = _label(relation, *names[key])
        if key in shown:
            branch.add(label.append(" (above)", "dim"))
            continue
        shown.add(key)
        todo.append((branch.add(label), iter(edges[key])))
    return tree


def _edges(
    session: Session, keys: set[int], direction: Direction
) -> dict[int, list[tuple[str, int]]]:
    """Where the walk goes on from each artifact, by which relation, in the order of the record."""
    onward: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for made, relation, source in read_derivations(session, keys):
        here, there = (made, source) if direction == "ancestors" else (source, made)
        onward[here].append((relation, there))
    for each in onward.values():
        each.sort()
    return onward


def _label(relation: str, kind: str, digest: str) -> Text:
    return Text.assemble((f"{relation} ", "dim"), f"{kind} ", (digest[:SHORT], "bold"))


def print_versions(doc_id: str, found: Iterable[Version]) -> None:
    """Print what was done to a document, generation by generation, with a word diff."""
    console = Console(highlight=False)
    console.print(Text(doc_id, style="bold"))
    for version in found:
        console.print(Group(Text(), _headline(version.row), _texts(version)))


def print_unchanged(found: dict[str, Any]) -> None:
    """Print a document to which no generation did anything, as `flows.texts.unchanged` gives it."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(found["doc_id"], style="bold"))
    console.print(Text("no generation changed it, or tried to"))
    for each in found["imports"]:
        head = Text.assemble("imported into corpus ", (each["corpus"][:SHORT], "bold"))
        source = f" from source {each['source']}" if each["source"] else ""
        console.print(Group(Text(), head.append(source), Text(f"  {each['text']}")))
    console.print()
    for each in found["held_by"]:
        of = ", ".join(each["generations"]) or "no generation: it is held out, or of no arm"
        console.print(Text.assemble("in corpus ", (each["id"][:SHORT], "bold"), f"  {of}"))
    experiments = sorted(
        {name.rsplit(":", 3)[0] for row in found["held_by"] for name in row["generations"]}
    )
    for name in experiments:
        words = shlex.join(["palimpsest", "lineage", "ratings", name, "--doc", found["doc_id"]])
        console.print(Text(f"its ratings: {words}", style="dim"))


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
