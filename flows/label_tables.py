"""Tables of what human labels say of a rater."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from flows.cli_options import print_rows, short

SHORT = 12
WHY_UNMATCHED = {
    "not_rated": "not rated",
    "other_text": "another text was rated",
    "text_unknown": "text unknown",
}


def print_report(report: Mapping[str, Any]) -> None:
    """Print a row for each rater and principle and, where there is but one rater, its details."""
    entries = report["raters"]
    print_rows(
        (
            "ratings",
            "rater",
            "principle",
            "labels",
            "AUC",
            "Brier",
            "ECE",
            "threshold",
            "unmatched",
        ),
        [_row(entry) for entry in entries],
    )
    typer.echo(
        "AUC, Brier score and ECE (calibration error, 10 bins) ± standard error; threshold: the "
        "one of highest Youden's J, with its 95% bootstrap interval."
    )
    if any(entry["unmatched"]["other_text"] for entry in entries):
        typer.echo(
            "Where another text was rated, a generation had changed the labelled one: what is left "
            "is a selection, so such a row does not compare with one that has all labels."
        )
    if report["disputed"]:
        typer.echo(f"{report['disputed']:,} labels left out: annotators are evenly divided.")
    if report["ratings_gone"]:
        typer.echo(f"{len(report['ratings_gone'])} generations left out: their ratings are gone.")
    if len({entry["ratings"] for entry in entries}) == 1:
        for entry in entries:
            _print_details(entry)
    elif entries:
        typer.echo("--generation N shows what passes each threshold, and the reliability table.")


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    places = [f"{p['arm']}:{p['generation']}:{p['seed']}" for p in entry["generations"]]
    unmatched = {
        words: entry["unmatched"][name]
        for name, words in WHY_UNMATCHED.items()
        if entry["unmatched"][name]
    }
    if entry["unscored"]:
        unmatched["rated without a score"] = entry["unscored"]
    return (
        "\n".join((entry["experiment"], *places)),
        entry["rater"][:SHORT],
        entry["principle"] or "(whole)",
        f"{entry['n']:,} ({entry['desirable']:,} desirable)",
        *(_estimate(entry[name]) for name in ("rater_auc", "brier", "ece")),
        _threshold(entry["threshold"]),
        short(unmatched),
    )


def _estimate(number: Mapping[str, float | None]) -> str:
    if number["value"] is None:
        return "too few"
    error = number["stderr"]
    return short(number["value"]) + ("" if error is None else f" ± {short(error)}")


def _threshold(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "none parts them"
    return f"{short(found['value'])}\n[{short(found['lower'])}, {short(found['upper'])}]"


def _print_details(entry: Mapping[str, Any]) -> None:
    """Print what passes the suggested and the configured threshold, and the reliability table."""
    typer.echo(f"\n{entry['principle'] or 'whole documents, by their lowest score'}")
    cuts = [
        (name, entry[key])
        for name, key in (("suggested", "threshold"), ("configured", "configured"))
    ]
    names = ("desirable_pass", "desirable_fail", "undesirable_pass", "undesirable_fail")
    print_rows(
        ("threshold", "", *(name.replace("_", "\n") for name in names)),
        [
            (name, short(cut["value"]), *(f"{cut['confusion'][each]:,}" for each in names))
            for name, cut in cuts
            if cut is not None
        ],
    )
    print_rows(("score", "labels", "mean score", "desirable"), _reliability(entry["reliability"]))


def _reliability(bins: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            f"{each['lower']:.1f} to {each['upper']:.1f}",
            f"{each['n']:,}",
            short(each["mean_score"]),
            short(each["desirable"]),
        )
        for each in bins
        if each["n"]
    ]
