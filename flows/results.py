"""What `palimpsest run` prints at its end."""

from __future__ import annotations

from rich.console import Console

from flows.cli_options import print_json
from flows.estimates import said
from flows.publishing import Outcome
from flows.summary import generation_table, print_whole


def print_results(outcome: Outcome, as_json: bool) -> None:
    """Print the table, what was reused, and where the report is."""
    if as_json:
        print_json(outcome.standing)
        return
    console = Console(highlight=False, soft_wrap=True)
    print_whole(generation_table(outcome.standing))
    if outcome.redone == 0:
        console.print(
            f"Everything was on record: {outcome.reused} stages reused, no model was called."
        )
    else:
        console.print(
            f"{outcome.reused} stages reused, {outcome.redone} done, "
            f"{outcome.model_calls:,} model calls, {outcome.seconds:.0f} s."
        )
        for line in said(outcome.off):
            console.print(line)
    console.print(f"Report: {outcome.report}")
