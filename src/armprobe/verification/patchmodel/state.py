"""The state of a run: what all share, and one value for each core. Cores are alike, so their order means nothing."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from armprobe.verification.patchmodel import memory
from armprobe.verification.patchmodel.memory import Memory, View
from armprobe.verification.patchmodel.vocabulary import IDLE, Promise, Protocol


class Mode(IntEnum):
    """What a core is doing."""

    RUN = 0
    TRAPPED = 1  # between the trap and its handler
    STOPPED = 2
    STOPPED_IN_TRAP = 3


class Shared(NamedTuple):
    """`at` is the number of the next operation; `armed` the stub in the handler's table; `freed` has a bit a stub."""

    at: int
    memory: Memory
    armed: int | None
    slots: tuple[int, ...]
    freed: int = 0
    promise: Promise = Promise.NOTHING
    stopping: bool = False


class Core(NamedTuple):
    """One core: where it is, and how its present pass over the site went so far.

    `executed` counts the program's own instructions, `promise` is the one in force when the pass began, `asked` says
    that a CSE was asked for and has not happened.
    """

    place: int
    executed: int
    hits: int
    mode: Mode
    promise: Promise
    passes: int
    asked: bool
    view: View


#: A core that has done all its passes. It looks at nothing any more, so that nothing else about it matters.
FINISHED = Core(IDLE, 0, 0, Mode.RUN, Promise.NOTHING, 0, False, View((), ()))


class Violation(NamedTuple):
    """A broken invariant, I1 to I9 (docs/patch-safety.md), and what happened."""

    invariant: str
    text: str


def begin(protocol: Protocol, passes: int) -> tuple[Shared, Core]:
    """The initial state: every core is on its way to the site."""
    shared_memory, view = memory.initial(protocol.memory)
    shared = Shared(0, shared_memory, protocol.armed, protocol.slots)
    return shared, Core(IDLE, 0, 0, Mode.RUN, Promise.NOTHING, passes, False, view)
