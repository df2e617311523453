"""What a card says in words and tables, as Markdown; most of it from what `show` answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from db.models import Evaluation, Generation
from flows.exports.labels import generation_name, spans
from flows.exports.markdown import as_json, block, code, plain, table
from flows.exports.reading import fates

_COUNTS = ("documents_in", "keep", "revise", "drop", "tag", "quarantine")
_COSTS = (
    ("documents", "documents"),
    ("model_calls", "model calls"),
    ("prompt_tokens", "prompt tokens"),
    ("output_tokens", "output tokens"),
    ("seconds", "seconds"),
)
_MOST_ROWS = 30


def used_by(users: Sequence[Generation], kind: str) -> str:
    """In which arms and generations an artifact stands, and where it was promoted."""
    if not users:
        return f"No generation has this {kind} as its own."
    said = f"It is the {kind} of: {plain('; '.join(spans(users)))}."
    best = [each for each in users if each.arm.promoted_generation_id == each.id]
    return f"{said} Promoted: {plain('; '.join(spans(best)))}." if best else said


def lineage(known: dict[str, Any]) -> str:
    """Identity, recipe, commit and cost."""
    run, stage = known["run"] or {}, known["made_by"] or {}
    numerics = known.get("numerics_class")
    # Of every stage behind it, a corpus's ratings and revisions included.
    spent = {**stage, **(known["cost"] or {})}
    costs = [f"{spent[name]:,g} {words}" for name, words in _COSTS if spent.get(name) is not None]
    made_by = ""
    if stage:
        made_by = f"{stage['stage']}, algorithm version {plain(stage['algorithm_version'])}"
    rows = {
        known["kind"]: code(known["id"]),
        "parent": code(known["parent"]) if known["parent"] else "none",
        "recipe": code(known["recipe_id"]) if known["recipe_id"] else "",
        "made by": made_by,
        "cost": plain(", ".join(costs)),
        "created": known["created_at"],
        "tokens seen": f"{known['tokens_seen']:,}" if known.get("tokens_seen") else "",
        "commit": _commit(run),
        "numerics": code(json.dumps(numerics)) if numerics else "",
    }
    return table(("", ""), [(name, value) for name, value in rows.items() if value])


def sources(known: dict[str, Any]) -> str:
    """What it was made from."""
    if not known["from"]:
        return "It was made from nothing that is on record: it is where the experiment began."
    rows = [(each["relation"], each["kind"], code(each["id"])) for each in known["from"]]
    return table(("relation", "kind", "digest"), rows)


def remake(known: dict[str, Any]) -> str:
    """The commit and the command that would make it again, and with which software."""
    run = known["run"]
    if run is None:
        return "The record does not say which command made it."
    lines = [f"git checkout {run['commit']}"] if run["commit"] else []
    said = block("\n".join([*lines, run["command"]]), "sh")
    if run["dirty"]:
        said += "\n\nThe code's files differed from that commit."
    versions = [(plain(name), plain(value)) for name, value in run["versions"].items()]
    return f"{said}\n\n{table(('software', 'version'), versions)}" if versions else said


def metrics(numbers: Sequence[Evaluation]) -> str:
    """Every number with its standard error and the items that it stands on."""
    if not numbers:
        return "It was not evaluated."
    rows = [
        (
            code(each.metric),
            code(each.variant) if each.variant else "",
            "none scored" if each.value is None else f"{each.value:.4f}{_error(each)}",
            f"{each.n:,}",
            f"{each.unscored:,}",
        )
        for each in numbers
    ]
    header = ("metric", "variant", "value ± standard error", "n", "unscored")
    return table(header, rows)


def scope(found: dict[str, Any]) -> str:
    """On which slices alignment was measured, and that of all else nothing is said."""
    if not found["slices"]:
        return found["claim"]
    rows = [
        (
            code(each["metric"] + (f"@{each['variant']}" if each["variant"] else "")),
            plain(", ".join(each["principles"] or ["as the data set has them"])),
            plain(_distribution(each)),
            plain(", ".join(each["formats"] or ["as the data set has it"])),
            "none scored" if each["interval"] is None else _range(each["interval"]),
            f"{each['n']:,}",
        )
        for each in found["slices"]
    ]
    header = ("metric", "principles", "distribution", "format", "95% interval", "n")
    return f"{table(header, rows)}\n\n{found['claim']}"


def _distribution(each: dict[str, Any]) -> str:
    """In or out of the training's distribution, with how many kinds of each were held out."""
    if each["distribution"] is None:
        return "as the data set has it"
    held = [f"{len(kinds)} {name}" for name, kinds in each["held_out"].items() if kinds]
    return each["distribution"] + (f", {' and '.join(held)} held out" if held else "")


def _range(bounds: Sequence[float]) -> str:
    return f"{bounds[0]:.4f} to {bounds[1]:.4f}"


def recipe(known: dict[str, Any]) -> str:
    """All that decided the result, as the record holds it."""
    stage = known["made_by"]
    return as_json(stage["params"]) if stage else "No stage of this program made it."


def actions(users: Sequence[Generation]) -> str:
    """What each generation that has the corpus did to its documents; every document has one."""
    counted = [each for each in users if each.documents_in is not None]
    if not counted:
        return "No generation counted what it did."
    rows = [
        (plain(generation_name(each)), *(f"{getattr(each, name):,}" for name in _COUNTS))
        for each in counted[:_MOST_ROWS]
    ]
    said = table(("generation", "documents in", *_COUNTS[1:]), rows)
    more = len(counted) - _MOST_ROWS
    return f"{said}\n\nAnd {more} more generations." if more > 0 else said


def reasons(session: Session, users: Sequence[Generation]) -> str:
    """Actions by the principle that documents fell short of, in the generation that made it."""
    for each in users:
        found = fates(session, each)
        if found:
            rows = [(action, plain(name) or "none", f"{n:,}") for action, name, n in found]
            header = ("action", "principle", "documents")
            return (
                f"Documents that {plain(generation_name(each))} changed, refused to change, "
                f"dropped, tagged or quarantined:\n\n{table(header, rows)}"
            )
    return "No document was changed, refused, dropped, tagged or quarantined."


def _error(row: Evaluation) -> str:
    return " (census)" if row.stderr is None else f" ± {row.stderr:.4f}"


def _commit(run: dict[str, Any]) -> str:
    if not run.get("commit"):
        return ""
    return f"{code(run['commit'])}{' with other files' if run['dirty'] else ''}"
