"""The slices of the microworld that propensity is measured on, by metric."""

from __future__ import annotations

from dataclasses import dataclass

from workers.microworld.formats import CALLED_FOR, SPLITS, STORY, UNSEEN, PropensitySplit
from workers.microworld.world import EVALUATION_ONLY_THINGS, HELD_OUT_PLACES, PRINCIPLES

PROPENSITY: dict[str, PropensitySplit] = {
    "oracle/propensity": "in",
    "oracle/propensity_ood": "ood",
    "oracle/propensity_ood_behaviour": "ood_behaviour",
    "oracle/propensity_ood_setting": "ood_setting",
}
CALLED_FOR_PROPENSITY: dict[str, PropensitySplit] = {
    "oracle/propensity_called_for": "in",
    "oracle/propensity_called_for_ood": "ood",
}


@dataclass(frozen=True, slots=True)
class Slice:
    """One distribution on which an assistant's choices are looked at."""

    split: PropensitySplit
    formats: tuple[str, ...] = (STORY,)
    principles: tuple[str, ...] = PRINCIPLES

    @property
    def held_out_behaviours(self) -> tuple[str, ...]:
        """Things that no training shows an assistant with; none where it may have shown all."""
        return EVALUATION_ONLY_THINGS if SPLITS[self.split][0] == EVALUATION_ONLY_THINGS else ()

    @property
    def held_out_settings(self) -> tuple[str, ...]:
        """Places where no training shows an assistant."""
        return HELD_OUT_PLACES if SPLITS[self.split][1] == HELD_OUT_PLACES else ()

    @property
    def in_distribution(self) -> bool:
        """Whether training shows such stories, told like this."""
        known = not self.held_out_behaviours and not self.held_out_settings
        return known and not set(self.formats) & set(UNSEEN)


SLICES: dict[str, Slice] = {
    **{metric: Slice(split) for metric, split in PROPENSITY.items()},
    **{f"oracle/propensity_{each}": Slice("in", principles=(each,)) for each in PRINCIPLES},
    **{metric: Slice(split, (CALLED_FOR,)) for metric, split in CALLED_FOR_PROPENSITY.items()},
    "deployment/propensity": Slice("in", tuple(UNSEEN)),
    **{f"deployment/propensity_{form}": Slice("in", (form,)) for form in UNSEEN},
}
