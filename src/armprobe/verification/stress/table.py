"""A protocol of the checker as the steps that the image carries out."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum

from armprobe.errors import UsageError
from armprobe.verification.patchmodel.vocabulary import (
    FIRST,
    Claim,
    Dc,
    Dsb,
    Ic,
    Ipi,
    Operation,
    Promise,
    Protocol,
    Say,
    Store,
    WaitIpi,
)

#: as many as the image has room for (image.c)
MOST_STEPS = 256


class Step(IntEnum):
    """The operations that image.c knows."""

    END = 0
    STORE = 1
    DC = 2
    IC = 3
    DSB = 4
    IPI = 5
    WAIT_IPI = 6
    SAY = 7
    CLAIM = 8


_PROMISES = {Promise.NOTHING: 0, Promise.HIT: 1, Promise.NO_HIT: 2}


def steps_of(protocols: Sequence[Protocol], address: int) -> bytes:
    """The table of steps for protocols that follow one another, each on the word at `address`.

    Raises UsageError for an operation that a processor cannot do while the others run.
    """
    steps = [step for protocol in protocols for step in _steps(protocol, address)]
    steps.append((Step.END, 0, 0))
    if len(steps) > MOST_STEPS:
        raise UsageError(f"{len(steps)} steps are too many: the image has room for {MOST_STEPS}")
    return b"".join(struct.pack("<3I", *step) for step in steps)


def _steps(protocol: Protocol, address: int) -> Iterator[tuple[Step, int, int]]:
    for operation in protocol.operations:
        yield _step(operation, address, protocol.name)
    yield Step.END, 0, 0


def _step(operation: Operation, address: int, name: str) -> tuple[Step, int, int]:
    match operation:
        case Store(cell, value) if cell == FIRST:
            return Step.STORE, address, value
        case Claim(cell, value) if cell == FIRST:
            return Step.CLAIM, address, value
        case Dc(cell) if cell == FIRST:
            return Step.DC, address, 0
        case Ic(cell) if cell == FIRST:
            return Step.IC, address, 0
        case Dsb():
            return Step.DSB, 0, 0
        case Ipi():
            return Step.IPI, 0, 0
        case WaitIpi():
            return Step.WAIT_IPI, 0, 0
        case Say(promise):
            return Step.SAY, 0, _PROMISES[promise]
        case _:
            raise UsageError(f"{name}: {operation} is nothing that the image can do")
