"""Which parts the actors of a pool hold: one that is worked on, and one that waits behind it.

With the next part at hand an actor goes on at once, while the driver still records the last one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ray

from workers.jobs import Part
from workers.members import Member

HELD = 2
"""Parts that an actor holds at most."""


@dataclass(slots=True)
class Held:
    """A part that an actor works on, or is to work on next."""

    member: Member
    part: Part
    began: float | None
    """When it became the actor's first; None while another is before it."""
    overdue: bool = False


class Holding:
    """Parts by the reference to their outcome. An actor works on its own in the order given."""

    def __init__(self) -> None:
        """Begin with none."""
        self._held: dict[Any, Held] = {}

    def __len__(self) -> int:
        """Number of parts."""
        return len(self._held)

    def __contains__(self, reference: object) -> bool:
        """Whether the reference is that of a part."""
        return reference in self._held

    def __iter__(self) -> Iterator[Any]:
        """References, the first given first."""
        return iter(self._held)

    @property
    def actors(self) -> int:
        """Number of actors that hold a part."""
        return len({held.member.index for held in self._held.values()})

    def add(self, reference: Any, member: Member, part: Part) -> None:
        """Note that an actor was given a part."""
        self._held[reference] = Held(member, part, None if member.held else time.monotonic())
        member.held += 1

    def first_of(self, reference: Any) -> Any:
        """The part that the actor of this one works on, or has done before it.

        Where any of an actor's parts has an outcome its first has one, and of several that are
        there `ray.wait` returns whichever it likes; when an actor is lost, all its parts are.

        Args:
            reference: one of the actor's parts.
        """
        return next(iter(self._of(self._held[reference].member)))

    def pop(self, reference: Any) -> Held:
        """Take out a part that is done or has failed; the one behind it is the actor's first."""
        now = self._held.pop(reference)
        now.member.held -= 1
        behind = next(iter(self._of(now.member).values()), None)
        if behind is not None and behind.began is None:
            behind.began = time.monotonic()
        return now

    def take_back(self, member: Member) -> list[Part]:
        """Take out all that an actor still holds: it is asked for anew, and they are not at fault.

        Args:
            member: whose parts.
        """
        return [self.pop(reference).part for reference in self._of(member)]

    def clear(self) -> None:
        """Forget all parts, so that their actors can be given others; those queue behind them."""
        for reference in list(self._held):
            self.pop(reference)

    def stop_overdue(self, limit_s: float) -> None:
        """End the actors that have worked on one part for longer than `limit_s` seconds."""
        now = time.monotonic()
        for reference, held in self._held.items():
            if held.began is None or now - held.began <= limit_s:
                continue
            # It may have been done for long, and the driver elsewhere.
            if not ray.wait([reference], timeout=0)[0]:
                ray.kill(held.member.actor)
                held.began, held.overdue = now, True

    def _of(self, member: Member) -> dict[Any, Held]:
        return {each: held for each, held in self._held.items() if held.member is member}
