"""The routine by which code in the target asks the host, where the two share a mailbox: no hit stops it then."""

from __future__ import annotations

from collections.abc import Iterable

from armprobe.codegen.asking import ROUTINE, Question, build_asking
from armprobe.patching.slots import Slot, SlotAllocator
from armprobe.probes.instruments import Instruments
from armprobe.probes.probe import Probe
from armprobe.targets.base import Target, TrapHandler


class Asking:
    """The routine of one engine. `answer` is called with the place that asks, as at a trap there."""

    def __init__(self, target: Target, slots: SlotAllocator, instruments: Instruments, answer: TrapHandler) -> None:
        self._target = target
        self._instruments = instruments
        self._slots = slots
        #: where the routine is, once it was needed
        self.slot: Slot | None = None
        if target.mailbox is not None:
            target.mailbox.answer_with(answer)

    def question(self, probes: Iterable[Probe], *, first: bool = True) -> Question | None:
        """How code asks for the handlers of these probes, and counts where nobody answers; None where it can't ask.

        `first` is as for a Question. Raises Refused without memory.
        """
        routine, probes = self.routine, list(probes)
        if routine is None:
            return None
        return Question(routine, self._instruments.count_unanswered(probes) if probes else 0, first)

    @property
    def routine(self) -> int | None:
        """Its address, written when first needed; None where code can't ask. Raises Refused without memory for it."""
        target, mailbox = self._target, self._target.mailbox
        if self.slot is None and mailbox is not None:
            code = build_asking(0, mailbox.address, architecture=target.architecture)
            slot = self._slots.allocate(len(code.data))
            code = build_asking(slot.address, mailbox.address, architecture=target.architecture)
            target.write_memory(slot.address, code.data)
            if target.code_sync is not None:
                target.code_sync.synchronize([(slot.address, slot.end)])
            self.slot = slot
        return None if self.slot is None else self.slot.address + ROUTINE

    @property
    def returned(self) -> int | None:
        """Where a function that the host has called returns to, and asks; None where code can't ask."""
        return None if self.slot is None else self.slot.address
