"""Figures beside their targets, and the line that says which hold."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that was measured, and the bound that it is held to."""

    of: str
    """What was measured: a database, or a part of the work."""
    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    spread: tuple[float, float] | None = None

    @property
    def holds(self) -> bool:
        """Whether it is inside its bound; a figure without one is only reported."""
        if self.at_most is not None:
            return self.value <= self.at_most
        return self.at_least is None or self.value >= self.at_least

    @property
    def target(self) -> str:
        """The bound in words; empty where there is none."""
        if self.at_most is not None:
            return f"at most {_said(self.at_most)}"
        return f"at least {_said(self.at_least)}" if self.at_least is not None else ""

    def cells(self) -> tuple[str, ...]:
        """A row of the table."""
        spread = f"{_said(self.spread[0])} to {_said(self.spread[1])}" if self.spread else ""
        state = ("holds" if self.holds else "falls short") if self.target else ""
        return (
            self.of,
            self.name,
            f"{_said(self.value)} {self.unit}",
            spread,
            self.target,
            state,
        )


@dataclass(slots=True)
class Report:
    """All figures of a run, in the order in which they were taken."""

    figures: list[Figure] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def add(self, *figures: Figure) -> None:
        """Keep figures, and print them as they come."""
        for figure in figures:
            self.figures.append(figure)
            of, name, value, spread, target, state = figure.cells()
            beside = "; ".join(
                part for part in (f"spread {spread}" if spread else "", target) if part
            )
            said = f"  ({beside})" if beside else ""
            print(f"{of:12}  {name}: {value}{said}  {state}".rstrip(), flush=True)

    @property
    def short(self) -> list[Figure]:
        """Figures that fall short of their target."""
        return [figure for figure in self.figures if not figure.holds]

    def verdict(self) -> str:
        """The last line: what holds and what falls short, by name."""
        judged = [figure for figure in self.figures if figure.target]
        holding = [f"{each.of} {each.name}" for each in judged if each.holds]
        line = f"{len(holding)} of {len(judged)} targets hold: {', '.join(holding) or 'none'}"
        if not self.short:
            return f"{line}; none falls short"
        missed = [
            f"{each.of} {each.name} ({_said(each.value)} {each.unit}, {each.target})"
            for each in self.short
        ]
        return f"{line}; {len(missed)} fall short: {', '.join(missed)}"

    def as_json(self) -> dict[str, Any]:
        """The file of figures."""
        figures = [asdict(each) | {"holds": each.holds} for each in self.figures]
        return {**self.details, "figures": figures, "holds": not self.short}


def _said(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
