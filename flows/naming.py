"""How a person names a generation: EXPERIMENT:ARM:GENERATION, and :SEED where there are several."""

from __future__ import annotations

from dataclasses import dataclass

from workers.problems import InputProblem

FORM = "EXPERIMENT:ARM:GENERATION[:SEED]"


@dataclass(frozen=True, slots=True)
class GenerationName:
    """The parts of a generation's name."""

    experiment: str
    arm: str
    index: int
    seed: int | None


def generation_name(text: str) -> GenerationName:
    """Read a generation's name.

    Raises:
        InputProblem: it has not the form that it must have.
    """
    parts = text.split(":")
    numbers = parts[2:]
    if len(parts) not in (3, 4) or not all(part.isascii() and part.isdigit() for part in numbers):
        raise InputProblem(
            f"{text[:80]!r} names no generation; write {FORM}, for example microworld:revise:2"
        )
    seed = int(parts[3]) if len(parts) == 4 else None
    return GenerationName(parts[0], parts[1], int(parts[2]), seed)
