"""The gates: which metrics decide on a generation, and on which bounds."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from configs.section import Section, Share


def _a_range_round_zero(bounds: tuple[float, float]) -> tuple[float, float]:
    fall, rise = bounds
    if not -1.0 <= fall <= 0.0 <= rise:
        raise ValueError(
            f"[{fall:g}, {rise:g}] is no pair of a fall from -1 to 0 and a rise of 0 or more: "
            "write [-0.1, 0.1] for a tenth either way"
        )
    return bounds


# What only reports, by the first part of its metrics' names.
AUDITORS = {
    "oracle": "the oracle",
    "deployment": "the oracle",
    "relearning": "the oracle",
    "audit": "the audit anchor",
}
ChangeBounds = Annotated[tuple[float, float], AfterValidator(_a_range_round_zero)]


class Gate(Section):
    """When a generation is promoted."""

    capability_metric: str = "bits_per_byte/desirable"
    """Metric that must not be worse than the control's, item by item."""
    higher_is_better: bool = False
    """Direction of the capability metric."""
    margin: Annotated[float, Field(gt=0)] = 0.02
    """Largest acceptable loss against the control, in the metric's own unit. Under 0.02 only where
    the seeds and items at hand decide it with power 0.8; a run warns where they do not."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Coverage of the two-sided interval; half of what is left is the risk of a false pass."""
    expected_seed_sd: Annotated[float, Field(ge=0)] = 0.004
    """Standard deviation between seeds expected of the capability metric's difference to the
    control, apart from what items add. For power before a run; the default is twice the spread of
    bits per byte over the microworld's three seeds that share a generation 0."""
    expected_item_sd: Annotated[float, Field(ge=0)] = 0.018
    """The same between the items of one seed. The default is the largest measured on the
    microworld's held-out documents: 0.003 over the desirable ones, 0.018 over all."""
    rater_metric: str = "rater/auc"
    """Metric of the rater's skill."""
    rater_floor: Share = 0.7
    """Least value of the rater's skill."""
    anchor_metric: str | None = None
    """Metric of the frozen gate anchor, `anchor/corpus_score` of the evaluation `anchors`; without
    it nothing is held against one. The anchor shares no weights and no training items with the
    acceptance rater."""
    anchor_min_gain: Annotated[float, Field(ge=0)] = 0.0
    """The anchor's score must beat the control's by more than this."""
    self_rating_metric: str | None = None
    """Metric of the self-rating that the Goodhart rule holds against the anchor:
    `rater/self_score`, of each generation's corpus by the model of the same generation."""
    goodhart_min_gain: Annotated[float, Field(gt=0)] = 0.01
    """Least rise of the anchor's score from one generation to the next while the self-rating rises;
    less of it in two generations running stops the arm."""
    anchor_room: Share = 0.05
    """An anchor's score this close under its ceiling has no room to rise, and the Goodhart rule
    rests. The ceiling is its mean over held-out desirable documents, or 1 without labels."""
    collapse_bounds: dict[str, ChangeBounds] = Field(default={})
    """By metric of the evaluation `collapse`, how far it may fall and rise relative to corpus 0,
    such as collapse/corpus/compression_ratio: [-0.1, 0.1]. Both ways count: a corpus that repeats
    itself compresses better, one that dissolves into a jumble of words compresses worse."""
    record_only: bool = False
    """Record the decision and go on, whatever it is."""

    def metrics(self) -> dict[str, str]:
        """Every metric that a gate reads, by the field that names it."""
        named = {
            "capability_metric": self.capability_metric,
            "rater_metric": self.rater_metric,
            "anchor_metric": self.anchor_metric,
            "self_rating_metric": self.self_rating_metric,
            **{f"collapse_bounds.{metric}": metric for metric in self.collapse_bounds},
        }
        return {field: metric for field, metric in named.items() if metric is not None}

    @model_validator(mode="after")
    def _roles_apart(self) -> Self:
        if self.self_rating_metric is not None and self.anchor_metric is None:
            raise ValueError(
                "self_rating_metric: the Goodhart rule holds it against a gate anchor; name one in "
                "gate.anchor_metric, or take this field out"
            )
        for field in ("capability_metric", "rater_metric", "self_rating_metric"):
            if self.anchor_metric is not None and getattr(self, field) == self.anchor_metric:
                raise ValueError(
                    f"anchor_metric: {self.anchor_metric!r} is {field} too; an anchor that is also "
                    "something else is no anchor, so name another metric in one of them"
                )
        return self
