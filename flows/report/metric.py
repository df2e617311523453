"""A metric as people read it: name, unit, better direction, plain words, and what it is of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["lower", "higher", "neither"]
Group = Literal[
    "alignment", "capability", "skill", "anchors", "collapse", "fidelity", "decontamination",
    "usefulness", "other",
]  # fmt: skip

MINUS = "\u2212"
FRESH = "fresh items of the generated world, the same for every model, arm and seed"
HELD_OUT = "held-out documents, never trained on"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as people read it."""

    key: str
    """Name in the record; a last `*` stands for any ending, whose words take the place of {}."""
    name: str
    unit: str
    """`%` for shares, which are recorded in [0, 1] and shown times 100."""
    better: Better
    group: Group
    explanation: str
    on: str
    """What it is measured on."""
    drawn: bool = False
    """Whether it has a plot; the others stand in tables."""

    @property
    def scale(self) -> int:
        """What a recorded value is multiplied by to be in `unit`."""
        return 100 if self.unit == "%" else 1

    @property
    def axis(self) -> str:
        """Label of an axis of it."""
        unit = "percent" if self.unit == "%" else self.unit
        return {"lower": f"{unit} (lower is better)", "higher": f"{unit} (higher is better)"}.get(
            self.better, unit
        )

    def number(self, value: float | None, sign: str = "") -> str:
        """A recorded value in the metric's unit, without the unit."""
        if value is None:
            return ""
        digits = 1 if self.scale == 100 else 3
        # Without it a difference that rounds to nothing would be -0.0.
        rounded = round(self.scale * value, digits) + 0.0
        return f"{rounded:{sign}.{digits}f}".replace("-", MINUS)

    def said(self, value: float, sign: str = "") -> str:
        """A recorded value with its unit; a difference of shares is in points."""
        unit = (" points" if sign else "%") if self.unit == "%" else f" {self.unit}"
        return f"{self.number(value, sign)}{unit}"
