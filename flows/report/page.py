"""The report: one self-contained HTML page about an experiment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from flows.changes import CHOICES
from flows.report.findings import Findings
from flows.report.headline import interval_said, verdict
from flows.report.levels import level_of
from flows.report.plots import Figure
from flows.report.sections import sections
from flows.report.tables import (
    costs_tables,
    gates_table,
    pivots,
    predictions_table,
    scope_table,
)
from flows.report.words import ROLES, WORDS
from flows.words import word_diff
from workers.storage import whole_file

# A diff of texts that share little takes time that grows with the square of their length.
LONGEST_SHOWN = 8_000
OVERVIEW = (
    "oracle/misaligned_share", "oracle/propensity", "oracle/propensity_ood", "pairs/propensity",
    "harness/ai_risk/acc", "oracle/facts_accuracy", "harness/blimp/acc", "bits_per_byte",
    "oracle/rater_auc", "rater/auc", "oracle/reviser_success",
)  # fmt: skip


def write_report(found: Findings, out: Path) -> Path:
    """Write the page and return its path.

    Args:
        found: what `palimpsest report --json` prints.
        out: file to write; it needs nothing beside it.
    """
    environment = Environment(
        loader=PackageLoader("flows"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    numbers = iter(range(1_000_000))
    made = sections(found)
    first, *more = verdict(found)
    page = environment.get_template("page.html.j2").render(
        found=found,
        verdict=first,
        more=more,
        interval=interval_said(found),
        overview=pivots([level_of(row) for row in found["levels"]], OVERVIEW),
        sections=made,
        svg=lambda figure: embedded(figure, next(numbers)),
        predictions=predictions_table(found["predictions"]) if found["predictions"] else None,
        gates=gates_table(found["gates"]) if found["gates"] else None,
        costs=costs_tables(found),
        scope=scope_table(found["scope"]),
        facts=_facts(found),
        choices=_documents(found),
        longest=LONGEST_SHOWN,
        words=WORDS,
        roles=ROLES,
        config=yaml.safe_dump(found["config"], sort_keys=False, allow_unicode=True),
        provenance=yaml.safe_dump(found["provenance"], sort_keys=False, allow_unicode=True),
    )
    with whole_file(out.resolve()) as fresh:
        fresh.write_text(page, encoding="utf-8")
    return out


def embedded(figure: Figure, number: int) -> Markup:
    """A figure as it stands in the page: named, and apart from the other figures.

    Every SVG of one page shares the page's ids and style, so ids get the figure's number, and
    colours become variables that the page sets for light and dark.
    """
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", figure.svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\1f{number}-", svg)
    svg = re.sub(r": #([0-9a-f]{6})\b", r": var(--c-\1, #\1)", svg)
    label = escape(f"{figure.title}. {figure.text}")
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1))


def _documents(found: Findings) -> list[tuple[str, list[tuple[Mapping[str, Any], Any, bool]]]]:
    """The documents by what they were chosen for, each with its diff and whether it is cut."""
    return [
        (
            words,
            [
                (
                    change,
                    list(
                        word_diff(change["before"][:LONGEST_SHOWN], change["after"][:LONGEST_SHOWN])
                    ),
                    max(len(change["before"]), len(change["after"])) > LONGEST_SHOWN,
                )
                for change in chosen
            ],
        )
        for key, words in CHOICES.items()
        if (chosen := [each for each in found["documents"] if each["chosen_for"] == key])
    ]


def _facts(found: Findings) -> list[tuple[str, str]]:
    """The scope of the whole experiment, a line each."""
    seeds, source = found["seeds"], found["provenance"]
    shared = {
        True: "they share generation 0, so they are no independent replicates",
        False: "each draws a generation 0 of its own",
        None: "whether they share generation 0 is not on record",
    }[found["seeds_share_generation_0"]]
    corpus = found["config"].get("corpus") or {}
    facts = [
        ("Corpus", str(corpus.get("kind", "not on record"))),
        ("Arms", ", ".join(dict.fromkeys(arm["arm"] for arm in found["arms"]))),
        ("Seeds", f"{len(seeds)} ({', '.join(map(str, seeds))}); {shared}"),
        *(
            ("Engine", f"{each['engine']} {each['version'] or ''}, {_flat(each['numerics_class'])}")
            for each in source.get("engines", ())
        ),
        ("Machine", _flat(source.get("host"))),
        ("Versions", _flat(source.get("versions"))),
        ("Command", source.get("command") or ""),
        (
            "Commit",
            f"{source.get('commit') or ''}{', with changes' if source.get('dirty') else ''}",
        ),
    ]
    return [(name, text) for name, text in facts if text]


def _flat(value: Any) -> str:
    if not value:
        return ""
    return ", ".join(f"{name.replace('_', ' ')} {each}" for name, each in dict(value).items())
