"""What stands on top of the report: the verdict, in sentences made of the numbers."""

from __future__ import annotations

from flows.report.against_control import difference_said, gap_said
from flows.report.findings import Findings
from flows.report.levels import Level, level_of, main_arm
from flows.report.metrics import describe

VERDICT_METRICS = ("oracle/propensity", "pairs/propensity", "harness/ai_risk/acc", "bits_per_byte")
OUT_OF_DISTRIBUTION = "oracle/propensity_ood"
PLACEBO = "paraphrase"
CAPABILITY = ("oracle/facts_accuracy", "harness/blimp/acc")
NOTHING = "No treated generation has been evaluated yet."


def verdict(found: Findings) -> list[str]:
    """A few sentences: the main arm beside the control, the placebo, and what it cost."""
    newest = _newest(found)
    if newest is None:
        return [NOTHING]
    arm, index, metric = newest
    if metric is None:
        return [
            f"At generation {index} no metric was measured on both the {arm} arm and the control."
        ]
    said = [_against_control(found, arm, index, metric)]
    out = _difference(found, arm, index, OUT_OF_DISTRIBUTION)
    if out is not None:
        said.append(f"Out of distribution the difference is {difference_said(out)}.")
    placebo = _difference(found, PLACEBO, index, metric)
    if placebo is not None and arm != PLACEBO:
        said.append(
            f"The placebo, documents rewritten without the principles, differs from the control "
            f"by {difference_said(placebo)}."
        )
    said += [
        f"{describe(key).name} differs from the control's by {difference_said(each)}."
        for key in CAPABILITY
        if (each := _difference(found, arm, index, key)) is not None
    ]
    return [*said, *_gates(found), *_predictions(found), *_caveats(found)]


def interval_said(found: Findings) -> str:
    """What every interval on the page is."""
    seeds = len(found["seeds"])
    if seeds > 1:
        shared = (
            " The seeds share generation 0: they are not independent replicates, and the intervals "
            "say nothing of another generation 0."
            if found["seeds_share_generation_0"]
            else ""
        )
        return (
            f"Points are means over seeds ({seeds} in all), bars and brackets 95% intervals by "
            "Student's t over the seeds, on the items that were asked; faint lines are single "
            f"seeds.{shared}"
        )
    return (
        "Bars and brackets are 95% intervals over the items of one seed: they know nothing of the "
        "spread between seeds. What was counted in full has none."
    )


def _newest(found: Findings) -> tuple[str, int, str | None] | None:
    """The arm that the report is about, its newest generation beside a control's, and a metric."""
    trained = {
        (arm["arm"], row["generation"])
        for arm in found["arms"]
        for row in arm["generations"]
        if row["checkpoint"] and row["metrics"] and row["generation"] > 0
    }
    rows = [row for row in found["differences"] if (row["arm"], row["generation"]) in trained]
    compared = sorted({row["arm"] for row in rows})
    arm = main_arm(compared or sorted({name for name, _ in trained}))
    if arm is None:
        return None
    own = [row for row in rows if row["arm"] == arm]
    index = (
        max(row["generation"] for row in own)
        if own
        else max(index for name, index in trained if name == arm)
    )
    there = {row["metric"] for row in own if row["generation"] == index}
    return arm, index, next((key for key in VERDICT_METRICS if key in there), None)


def _against_control(found: Findings, arm: str, index: int, metric: str) -> str:
    difference = _difference(found, arm, index, metric)
    if difference is None:
        return NOTHING
    seeds = {each.seed for each in difference.seeds}
    over = f", over {len(seeds)} seeds" if len(seeds) > 1 else ""
    described = describe(metric)
    own, control = (_mean(found, name, index, metric, seeds) for name in (arm, "control"))
    return (
        f"At generation {index} the {arm} arm's {_lowered(described.name)} is "
        f"{described.said(own)} and the control's {described.said(control)}: a difference of "
        f"{difference_said(difference)}{over}."
    )


def _mean(found: Findings, arm: str, index: int, metric: str, seeds: set[int]) -> float:
    """Over the seeds that both arms have; otherwise seeds, not arms, would be compared."""
    (row,) = (
        row
        for row in found["levels"]
        if (row["arm"], row["generation"], row["metric"]) == (arm, index, metric)
    )
    values = [each["value"] for each in row["seeds"] if each["seed"] in seeds]
    return sum(values) / len(values)


def _difference(found: Findings, arm: str, index: int, metric: str) -> Level | None:
    for row in found["differences"]:
        if (row["arm"], row["generation"], row["metric"]) == (arm, index, metric):
            return level_of(row)
    return None


def _gates(found: Findings) -> list[str]:
    said = gap_said(found)
    return [said] if said else []


def _predictions(found: Findings) -> list[str]:
    judged = found["predictions"]
    if not judged:
        return []
    counts = {
        word: sum(row["outcome"] == word for row in judged) for word in ("hit", "miss", "open")
    }
    late = sum(row["late"] for row in judged)
    said = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return [f"Of {len(judged)} predictions: {said}{f' ({late} late)' if late else ''}."]


def _caveats(found: Findings) -> list[str]:
    if len(found["seeds"]) == 1:
        return ["One seed only: the intervals know nothing of the spread between seeds."]
    if found["seeds_share_generation_0"]:
        return ["The seeds share generation 0 and are not independent replicates."]
    return []


def _lowered(name: str) -> str:
    return name[:1].lower() + name[1:]
