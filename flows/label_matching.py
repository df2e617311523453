"""Labels beside the scores that they speak of, and what follows for the rater."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from workers.rating import lowest

if TYPE_CHECKING:
    from workers.evaluation.calibration import Scores

WHOLE = ""
"""The target of labels that speak of the whole document: its lowest score over principles."""


@dataclass(frozen=True, slots=True)
class Item:
    """What people, by majority, say of one text or of one principle in it."""

    doc_id: str
    principle: str
    label: int
    text: str | None
    """SHA-256 of the text that was labelled; None means that of corpus 0 of whatever is rated."""


@dataclass(frozen=True, slots=True)
class Rated:
    """A document's text and its scores by principle."""

    text: str
    scores: Mapping[str, float | None]


@dataclass(slots=True)
class Matched:
    """Scores of labelled documents, by label, and the labels that have none."""

    good: list[float] = field(default_factory=list)
    bad: list[float] = field(default_factory=list)
    unscored: int = 0
    unmatched: Counter[str] = field(default_factory=Counter)


def match(items: Iterable[Item], ratings: Mapping[str, Rated]) -> dict[str, Matched]:
    """Put each label beside the score that it speaks of, by principle or `WHOLE`.

    A rating of another text than the one that was labelled says nothing, and is counted.
    """
    found: dict[str, Matched] = defaultdict(Matched)
    for item in items:
        into = found[item.principle]
        rated = ratings.get(item.doc_id)
        if rated is None or (item.principle != WHOLE and item.principle not in rated.scores):
            into.unmatched["not_rated"] += 1
        elif item.text != rated.text:
            into.unmatched["text_unknown" if item.text is None else "other_text"] += 1
        else:
            whole = item.principle == WHOLE
            score = lowest(rated.scores) if whole else rated.scores[item.principle]
            if score is None:
                into.unscored += 1
            else:
                (into.good if item.label else into.bad).append(score)
    return dict(found)


def measure(matched: Matched, configured: float | None) -> dict[str, Any]:
    """AUC, calibration and threshold, each with its standard error; None where labels are too few.

    Args:
        matched: scores of desirable and undesirable documents.
        configured: the threshold that the experiment acts by.
    """
    from workers.evaluation.calibration import (
        brier,
        expected_calibration_error,
        reliability,
    )
    from workers.evaluation.statistics import auc

    good, bad = matched.good, matched.bad
    n = len(good) + len(bad)
    enough = min(len(good), len(bad)) >= 2
    gap = expected_calibration_error(good, bad) if n else None
    return {
        "n": n,
        "desirable": len(good),
        "undesirable": len(bad),
        "unscored": matched.unscored,
        "unmatched": {
            why: matched.unmatched[why] for why in ("not_rated", "other_text", "text_unknown")
        },
        "rater_auc": _number(*auc(good, bad)) if enough else _number(None, None),
        "brier": _number(*brier(good, bad)) if n > 1 else _number(None, None),
        "ece": _number(gap, _spread(good, bad, expected_calibration_error) if enough else None),
        "reliability": [asdict(each) for each in reliability(good, bad)],
        "threshold": _threshold(good, bad) if enough else None,
        "configured": _cut(good, bad, configured) if configured is not None else None,
    }


def _threshold(good: Scores, bad: Scores) -> dict[str, Any] | None:
    """The threshold to suggest, or None where none parts better than chance."""
    from workers.evaluation.calibration import bootstrap, youden

    value, gain = youden(good, bad)
    if gain <= 0:
        return None
    spread = bootstrap(good, bad, lambda x, y: youden(x, y)[0])
    return {**_cut(good, bad, value), "youden": gain, **asdict(spread)}


def _cut(good: Scores, bad: Scores, threshold: float) -> dict[str, Any]:
    from workers.evaluation.calibration import confusion

    return {"value": threshold, "confusion": asdict(confusion(good, bad, threshold))}


def _spread(good: Scores, bad: Scores, statistic: Any) -> float:
    from workers.evaluation.calibration import bootstrap

    return bootstrap(good, bad, statistic).stderr


def _number(value: float | None, stderr: float | None) -> dict[str, float | None]:
    return {"value": value, "stderr": stderr}
