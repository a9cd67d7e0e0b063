"""Which memory of the program handlers read, in the target and on the host, and the routines that do it with care."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from armprobe.codegen.memory import Ranges, readable_ranges
from armprobe.codegen.page_walk import make_routines
from armprobe.errors import Refused
from armprobe.patching.slots import Slot, SlotAllocator
from armprobe.targets.base import Target
from armprobe.targets.capabilities import AskedProcessor
from armprobe.targets.journal import Code, note


class ReadableMemory:
    """The memory of one target as its handlers read it."""

    def __init__(self, target: Target, slots: SlotAllocator) -> None:
        self._target = target
        self._slots = slots
        #: what can be read without asking: the memory of the program, not ours
        self._lasting = readable_ranges(target.regions)
        self._routines: dict[str, Slot] = {}

    @property
    def code(self) -> Sequence[Slot]:
        """Where the routines are, once there are some: a thread in one comes back to the slot that called it."""
        return list(self._routines.values())

    def includes(self, address: int, size: int) -> bool:
        """Whether handlers may read these bytes. Where that is not known, the host may try."""
        target = self._target
        ranges: Ranges = self._lasting
        if isinstance(target.translation, AskedProcessor):
            # What its regions do not have may be a device.
            if not target.translation.answers_in(target.read_registers().cpsr):
                return False
            ranges = self._now()
        elif target.translation is not None:
            return True
        elif not ranges:
            ranges = self._now()
            if not ranges:
                return True
        return any(start <= address and address + size <= end for start, end in ranges)

    def _now(self) -> Ranges:
        return readable_ranges(replace(region, lasting=True) for region in self._target.regions)

    def prepare(self) -> tuple[Ranges, dict[str, int]]:
        """What can be read without asking, and the addresses of the routines that read the rest, if there is any.

        They are written when they are needed first. Raises Refused with the reason where handlers read nothing.
        """
        target = self._target
        if target.translation is None:
            if not self._lasting:
                raise Refused(
                    f"handlers read only memory that is known, and here is none: "
                    f"{target.no_memory or f'{target.name} does not say what it has'}",
                    hint="name it (--memory START:END, memory=[...]), record registers, or use a host handler",
                )
            return self._lasting, {}
        if not self._routines:
            for name, words in make_routines(target.translation, architecture=target.architecture).items():
                slot = self._slots.allocate(4 * len(words))
                note(target.journal, Code(slot.address, slot.end, slot.address))
                target.write_memory(slot.address, b"".join(word.to_bytes(4, "little") for word in words))
                if target.code_sync is not None:
                    target.code_sync.synchronize([(slot.address, slot.end)])
                self._routines[name] = slot
        return self._lasting, {name: slot.address for name, slot in self._routines.items()}
