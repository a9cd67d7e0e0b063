"""The one place at which all detours stop where the target sets traps by itself.

An emulator looks through all its breakpoints again and again, and takes a page with one instruction by instruction; a
processor has a handful. So slots have none: they call this place, which has a page for itself. Where its trap is gone,
it returns, and the code in slots goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from armprobe.codegen.common_stop import ROOM, WAY_BACK, build_place
from armprobe.codegen.frame import Handler
from armprobe.errors import Refused
from armprobe.patching.execute import execute
from armprobe.patching.plan import Write, plan_patch
from armprobe.patching.slots import Slot, SlotAllocator
from armprobe.targets.base import Target
from armprobe.targets.journal import Code, note

_PAGE = 0x1000
_WORD = 4
#: bytes that the user gave for slots, of which a page would be too many
_SMALL = 16 * _PAGE


class CommonStop:
    """The place of one engine."""

    def __init__(self, target: Target, slots: SlotAllocator) -> None:
        self._target = target
        self._slots = slots
        self._slot: Slot | None = None
        given = sum(region.end - region.start for region in slots.regions)
        self._wanted = target.breakpoints is not None and target.own_faults is None and not 0 < given < _SMALL

    @property
    def code(self) -> Sequence[Slot]:
        """Where it is, once there is one: a thread in it comes back to the slot that called it."""
        return [] if self._slot is None else [self._slot]

    def place_for(self, handler: Handler | None) -> int | None:
        """Where code with this handler stops, written and with its trap when first needed.

        None where the handler never stops, or does so at a trap of its own: in a process, whose traps are words in
        memory and cost nothing; and where there is no page to spare.
        """
        if handler is None or not handler.body.exits:
            return None
        if self._wanted:
            self._wanted = False
            with suppress(Refused):
                self._slot = self._make()
        return None if self._slot is None else self._slot.address

    def _make(self) -> Slot:
        slot = self._slots.allocate(_PAGE, align=_PAGE)
        try:
            note(self._target.journal, Code(slot.address, slot.end, slot.address))
            write = Write(slot.address, None, build_place(slot.address), "where detours stop")
            execute(plan_patch([], new_code=[write], set_traps=[slot.address]), self._target)
        except BaseException:
            self._slots.free(slot)
            raise
        return slot

    def way_back(self, pc: int) -> int:
        """Where the stopped thread stands for the dispatcher: in the slot that called, if it is at the common place.

        All its registers are as they were when the slot wanted to stop.
        """
        if self._slot is None or pc != self._slot.address:
            return pc
        registers = self._target.read_registers()
        registers.pc = registers.lr + WAY_BACK
        registers.lr = int.from_bytes(self._target.read_memory(registers.sp, _WORD), "little")
        registers.sp += ROOM
        self._target.write_registers(registers)
        return registers.pc

    def remove_trap(self) -> None:
        """Take its trap away. Raises TargetError."""
        if self._slot is not None and self._target.breakpoints is not None:
            self._target.breakpoints.remove([self._slot.address])
