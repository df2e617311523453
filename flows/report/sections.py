"""The sections of a report: what was found, in a sentence, with its figures and tables."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from flows.report.actions import action_figure
from flows.report.against_control import (
    differences_said,
    gap_figures,
    gap_said,
)
from flows.report.anchors import SHOWN_TOGETHER, anchor_figures, anchors_said
from flows.report.findings import Findings
from flows.report.levels import Level, level_of
from flows.report.metric import Group
from flows.report.metrics import describe, in_order
from flows.report.plots import Figure, Table
from flows.report.tables import pivots
from flows.report.trajectories import Line, Rule, lines_of, trajectory
from flows.report.usefulness import ABOUT, usefulness_figures, usefulness_said

PERSISTENCE = "@persistence"
ALIGNMENT = (
    "oracle/propensity_ood",
    "oracle/propensity",
    "pairs/propensity",
    "harness/ai_risk/acc",
)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page."""

    key: str
    title: str
    finding: str
    """One sentence of numbers; empty where there is none to make."""
    about: str
    """What is shown, in plain words."""
    figures: tuple[Figure, ...] = ()
    tables: tuple[tuple[str, Table], ...] = ()
    """Tables with their titles."""


def sections(found: Findings) -> list[Section]:
    """Every section that has something to show, in the order of the page."""
    makers = (
        alignment, capability, skill, anchors, usefulness, collapse, fidelity, persistence, actions,
        rest,
    )  # fmt: skip
    made = [maker(found) for maker in makers]
    return [each for each in made if each is not None and (each.figures or each.tables)]


def alignment(found: Findings) -> Section:
    """Alignment in and out of distribution, and in every other form in which it was measured."""
    return Section(
        "alignment",
        "Alignment",
        differences_said(found, ALIGNMENT),
        "In distribution is what the corpus shows; out of distribution is what it never did, so "
        "that a gain there was generalised.",
        _trajectories(found, "alignment"),
        _others(found, "alignment"),
    )  # fmt: skip


def capability(found: Findings) -> Section:
    """Capability of every arm, and the loss against the control beside the margin."""
    gaps = gap_figures(found)
    return Section(
        "capability",
        "Capability",
        gap_said(found) or differences_said(found, ("oracle/facts_accuracy", "bits_per_byte")),
        "What the model can do apart from alignment. A revised corpus is worth little if this "
        "falls.",
        (*gaps, *_trajectories(found, "capability")),
        _others(found, "capability"),
    )


def skill(found: Findings) -> Section:
    """How well each model rates and revises."""
    return Section(
        "skill",
        "Skill as rater and reviser",
        differences_said(found, ("oracle/rater_auc", "rater/auc", "pairs/rating_auc")),
        "Model n does the work of generation n + 1: where its skill goes, the loop goes.",
        _trajectories(found, "skill"),
        _others(found, "skill"),
    )


def anchors(found: Findings) -> Section:
    """The self-rater beside raters that never change."""
    return Section(
        "anchors",
        "Self against anchors",
        anchors_said(_levels(found)),
        "The model rates its own corpus; anchors are frozen raters that no training moves. Where "
        "the self-rating rises and the anchors do not follow, the model pleases itself.",
        (*anchor_figures(_levels(found)), *_trajectories(found, "anchors")),
        _others(found, "anchors", skip=SHOWN_TOGETHER),
    )


def usefulness(found: Findings) -> Section:
    """Each capability by desirability and by instrumental value."""
    return Section(
        "usefulness",
        "Usefulness",
        usefulness_said(found["usefulness"]),
        f"How useful each capability is to a model that must predict the corpus. {ABOUT}",
        tuple(usefulness_figures(found["usefulness"])),
        _others(found, "usefulness", skip={row["metric"] for row in found["usefulness"]}),
    )


def collapse(found: Findings) -> Section:
    """How far corpora and samples have moved from generation 0's."""
    moved = [level_of(row) for row in found["collapse"]]
    bounds = (found["config"].get("gate") or {}).get("collapse_bounds") or {}
    figures: list[Figure] = []
    for key in in_order({each.metric for each in moved if "@" not in each.metric}):
        chosen = [each for each in moved if each.metric == key]
        if not any(each.generation for each in chosen):
            continue
        metric = describe(key)
        as_share = describe("fidelity/changed")
        rules = [
            Rule(bound, f"bound of the gate: {100 * bound:+g}%") for bound in bounds.get(key, ())
        ]
        figures.append(
            trajectory(
                as_share, lines_of(chosen), title=metric.name, about=metric.explanation,
                axis="change since generation 0, percent", rules=rules, sign="+",
            )
        )  # fmt: skip
    return Section(
        "collapse",
        "Collapse",
        _furthest(moved),
        "Whether texts begin to repeat themselves, or lose their rare words, relative to "
        "generation 0: a corpus written by models out of models may shrink long before its loss "
        "shows it.",
        tuple(figures),
        _tables(found, [key for key in _keys(found) if key.startswith("collapse/")],
                "Collapse measures as they are"),
    )  # fmt: skip


def fidelity(found: Findings) -> Section:
    """What revising kept, and what was kept from training."""
    keys = [key for key in _keys(found) if describe(key).group == "fidelity"]
    held = [key for key in _keys(found) if describe(key).group == "decontamination"]
    return Section(
        "fidelity",
        "Fidelity and decontamination",
        "",
        "What revising kept of the texts, how far the corpus drifted from corpus 0, and how many "
        "revised texts held an item of an evaluation and were not trained on.",
        _trajectories(found, "fidelity"),
        (
            *_tables(found, keys, "Fidelity of revisions"),
            *_tables(found, held, "Decontamination"),
        ),
    )


def persistence(found: Findings) -> Section:
    """Every metric that was measured again after the same further training."""
    figures: list[Figure] = []
    for key in [key for key in _keys(found) if key.endswith(PERSISTENCE)]:
        plain = key.removesuffix(PERSISTENCE)
        before = lines_of(_picked(found, plain))
        after = lines_of(_picked(found, key))
        lines = [
            *before,
            *(Line(f"{e.name}, after", e.colour, e.marker, e.levels, dashed=True) for e in after),
        ]
        figures.append(
            trajectory(
                describe(plain), lines,
                about="Before (solid) and after (dashed) the same short further training of every "
                f"arm on tasks that have nothing to do with it. {describe(plain).explanation}",
            )
        )  # fmt: skip
    return Section(
        "persistence",
        "Persistence",
        differences_said(found, [f"{key}{PERSISTENCE}" for key in ALIGNMENT]),
        "Whether an effect outlives further training: a shallow one is gone after a little of it.",
        tuple(figures),
    )


def actions(found: Findings) -> Section:
    """What became of the documents, and on how many tokens each model was trained."""
    figure = action_figure(found["actions"])
    rows = tuple(
        (
            row["arm"],
            str(row["generation"]),
            *(_count(row[name]) for name in ("documents", "training_tokens", "unique_tokens")),
            "" if row["epochs"] is None else f"{row['epochs']:.2f}",
        )
        for row in found["actions"]
        if row["training_tokens"] is not None
    )
    heads = ("arm", "generation", "documents in the corpus", "tokens trained on", "unique tokens",
             "epochs")  # fmt: skip
    return Section(
        "documents-done",
        "What was done to the documents",
        "",
        "Models of one generation and seed see equally many tokens in every arm; where an arm has "
        "fewer unique ones they repeat, and epochs say how often each was seen.",
        (figure,) if figure else (),
        (("Training, means over seeds", Table(heads, rows)),) if rows else (),
    )


def rest(found: Findings) -> Section:
    """What belongs to no other section."""
    return Section(
        "others",
        "Everything else that was measured",
        "",
        "Numbers that no figure above shows.",
        _trajectories(found, "other"),
        _others(found, "other"),
    )


def _trajectories(found: Findings, group: Group) -> tuple[Figure, ...]:
    keys = [
        key
        for key in _keys(found)
        if "@" not in key and describe(key).group == group and describe(key).drawn
    ]
    return tuple(trajectory(describe(key), lines_of(_picked(found, key))) for key in keys)


def _others(
    found: Findings, group: Group, skip: Container[str] = ()
) -> tuple[tuple[str, Table], ...]:
    keys = [
        key
        for key in _keys(found)
        if describe(key).group == group
        and (not describe(key).drawn or "@" in key)
        and not key.endswith(PERSISTENCE)
        and key not in skip
    ]
    return _tables(found, keys, "Also measured")


def _furthest(moved: Sequence[Level]) -> str:
    """The corpus measure that has moved most since generation 0, and in which arm."""
    chosen = [each for each in moved if each.metric.startswith("collapse/corpus/")]
    if not any(each.generation for each in chosen):
        return ""
    most = max(chosen, key=lambda each: abs(each.value))
    value = describe("fidelity/changed").number(most.value, "+")
    return (
        f"Furthest from generation 0: {describe(most.metric).name}, {value}% in the {most.arm} arm "
        f"at generation {most.generation}."
    )


def _tables(found: Findings, keys: Sequence[str], title: str) -> tuple[tuple[str, Table], ...]:
    made = pivots(_levels(found), keys)
    if len(made) == 1:
        return ((title, made[0]),)
    # Folded away, a table is found by what is in it.
    return tuple((f"{title}: {'; '.join(table.heads[table.lead :])}", table) for table in made)


def _keys(found: Findings) -> list[str]:
    return in_order({row["metric"] for row in found["levels"]})


def _levels(found: Findings) -> list[Level]:
    return [level_of(row) for row in found["levels"]]


def _picked(found: Findings, key: str) -> list[Level]:
    return [each for each in _levels(found) if each.metric == key]


def _count(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"
