"""An experiment's budget, and what its runs have spent of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from configs.budget import Budget
from db.lineage.spending import Spent
from workers.engines.interface import Usage
from workers.problems import WorkProblem


class BudgetSpent(WorkProblem):
    """A limit of the budget was reached."""


@dataclass
class Spending:
    """What was spent before this run, and what this run spends."""

    budget: Budget = field(default_factory=Budget)
    before: Spent = field(default_factory=Spent)
    tokens: int = 0
    """What this run has asked and been answered."""
    began: float = field(default_factory=time.monotonic)

    def note(self, usage: Usage) -> None:
        """Count what models were asked."""
        self.tokens += usage.prompt_tokens + usage.output_tokens

    def seconds(self) -> float:
        """What all runs have taken by the clock, up to now."""
        return self.before.seconds + time.monotonic() - self.began

    def check(self) -> None:
        """Stop before more is spent.

        Raises:
            BudgetSpent: names the field, its limit and what was spent.
        """
        reached = self.reached()
        if reached is not None:
            raise BudgetSpent(reached)

    def reached(self) -> str | None:
        """Which limit is reached, and how to go on; None while none is."""
        hours = self.seconds() / 3600
        per_hour = self.budget.cost_per_hour or 0.0
        limits = {
            "hours": (self.budget.hours, hours),
            "tokens": (self.budget.tokens, self.before.tokens + self.tokens),
            "cost": (self.budget.cost, hours * per_hour),
        }
        for name, (limit, spent) in limits.items():
            if limit is not None and spent >= limit:
                return (
                    f"budget.{name}: {spent:,.4g} of {limit:,.4g} are spent. Finished stages and "
                    f"shards are kept; raise budget.{name}, and the same command goes on."
                )
        return None
