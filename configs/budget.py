"""What an experiment may spend before it stops."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from configs.section import Positive, Section

Amount = Annotated[float, Field(gt=0)]


class Budget(Section):
    """Limits over all runs of an experiment; a run that reaches one begins no stage or shard.

    What is under way is finished and kept, and the same command with a larger budget goes on.
    """

    hours: Amount | None = None
    """Hours of the experiment's runs, by the clock, together."""
    tokens: Positive | None = None
    """Tokens of the questions put to models and of their replies, together."""
    cost: Amount | None = None
    """Money, in the currency of `cost_per_hour`."""
    cost_per_hour: Amount | None = None
    """What an hour of all the machines costs that a run works on."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.cost is not None and self.cost_per_hour is None:
            raise ValueError("budget.cost_per_hour: without it nothing is known to cost anything")
        return self
