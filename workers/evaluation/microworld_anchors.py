"""The microworld's two anchors: fitted once, on generated items that nothing else reads."""

from __future__ import annotations

from collections.abc import Set

from workers.evaluation.anchor_fitting import FittedAnchor, fit_anchor
from workers.evaluation.anchor_items import (
    AnchorRole,
    check_disjoint,
    microworld_items,
    skills_digests,
)
from workers.evaluation.anchors import Family
from workers.microworld.world import WorldParams

ROLES: dict[AnchorRole, Family] = {"gate": "logistic", "audit": "naive_bayes"}
FIELD = "evaluation.tasks (anchors)"
# The set that the shipped generation 0, the acceptance rater, learned rating from.
SHIPPED_SEED, SHIPPED_EXEMPLARS = 0, 12_000


def fit_microworld_anchors(skills: Set[str]) -> dict[AnchorRole, FittedAnchor]:
    """Fit the gate and the audit anchor; they are the same in every experiment.

    They know the default world, whatever an experiment's share of misaligned documents is, so that
    their scores can be compared across experiments.

    Args:
        skills: digests of the texts of the run's skills set.

    Raises:
        InputProblem: two raters would share a training item.
    """
    params = WorldParams()
    taught = skills | skills_digests(params, SHIPPED_SEED, SHIPPED_EXEMPLARS)
    fitted: dict[AnchorRole, FittedAnchor] = {
        role: fit_anchor(microworld_items(role, params, excluded=taught), role, family, FIELD)
        for role, family in ROLES.items()
    }
    owners = {f"the {role} anchor": anchor.digests for role, anchor in fitted.items()}
    check_disjoint({"the skills set": taught, **owners})
    return fitted
