"""Memory of a machine in QEMU: what its monitor tells of physical memory, and where its program sees that.

Without an MMU, addresses are physical ones. With one, they are looked up in the translation tables of the processor
that stopped. Where nobody can follow these, it is not known where memory is, until the program changes that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Self

from armprobe.errors import ProtocolError, TargetError, TargetFault, TargetLost
from armprobe.targets.base import Region
from armprobe.targets.capabilities import HYPERVISOR, MODE, AskedProcessor
from armprobe.targets.connection import Connection
from armprobe.targets.memorytree import COMMAND, Part, read_tree, seen_by_processors, views_of_processors
from armprobe.targets.pagetables import LongDescriptors, PageTables, ShortDescriptors
from armprobe.targets.remotemonitor import execute_command
from armprobe.targets.rsp import data_of, error_of
from armprobe.targets.rspxml import Register
from armprobe.targets.spans import Span, whole_pages, without

#: of registers of which a processor has two, that of its secure state has this name more
_SECURE = "_S"
_SHOWN = ("SCTLR", "TTBCR", "TTBR0_EL1", "TTBR0", "HCR", "VBAR")
#: what stands for these registers in hypervisor mode; TTBCR is HTCR there, whose tables have 64 bits always
_HYPERVISORS = {"SCTLR": "SCTLR_EL2", "TTBCR": "TCR_EL2", "TTBR0": "HTTBR"}
#: of a processor that has a hypervisor's mode (DDI 0406C B4.1.71): translation in a second stage is on
_SECOND_STAGE = 1
#: SCTLR (DDI 0406C B4.1.130): MMU, or MPU, on; format of tables as from ARMv6 on, which ARMv7 has always
_MMU_ON, _EXTENDED_PAGES = 1, 1 << 23
#: TTBCR (B4.1.153): tables in 64-bit format; anything but one table for all addresses, in either format
_LONG, _SPLIT_SHORT, _SPLIT_LONG = 1 << 31, 0x17, 0x7_0087
#: HTCR.T0SZ
_SIZE = 7
_SHORT_BASE, _LONG_BASE = 0xFFFF_C000, (1 << 40) - 32
#: ID_MMFR0.VMSA (B4.1.89): VMSAv7, which has ATS1CPR; with descriptors of 64 bits
_VMSA, _VMSA7, _VMSA_LONG = 0xF, 3, 5
#: exception vectors (B1.8.1)
_HIGH, _HIGH_VECTORS, _UNDEFINED, _PREFETCH = 1 << 13, 0xFFFF_0000, 4, 12
_MONITOR = 0x16
_END = 1 << 32
#: the name of regions that can't be read
NOT_SEEN = "ram that the program does not see"
#: asks where the emulator itself has memory: what is twice in the machine, as an alias, is there once
_PLACE = "gpa2hva 0x{address:x}"
_PLACED = re.compile(r"Host virtual address for 0x[0-9a-f]+ \(.*\) is (0x[0-9a-f]+)\s*")


class MachineMemory:
    """The `parts` of physical memory, and the `hidden` RAM beside them, of a machine behind a connection.

    `read` reads (address, size) ranges through the stub. What was found out of the MMU is kept until `forget`, which is
    to be called when the program has run.
    """

    def __init__(
        self,
        connection: Connection,
        registers: Mapping[str, Register],
        *,
        architecture: int,
        parts: Sequence[Part],
        hidden: Sequence[Span],
        read: Callable[[Sequence[tuple[int, int]]], list[bytes]],
    ) -> None:
        self._connection = connection
        self._registers = registers
        self._architecture = architecture
        self._parts = tuple(parts)
        self._memory = [part for part in parts if part.kind != "device"]
        self._hidden = list(hidden)
        self._places = self._find_places()
        self._read = read
        #: the control registers as they are, None while they may have changed
        self._control: dict[str, int] | None = None
        self._regions: tuple[Region, ...] | None = None
        #: what was seen when it was looked for last; the program may have run since
        self.seen_last: tuple[Region, ...] = ()
        #: (start, end, physical address) of what is seen
        self._seen: list[tuple[int, int, int]] = []
        #: where the emulator has the RAM that was found to be seen, when it is looked for
        self._taken: list[Span] = []
        self._vmsa = self._ask("ID_MMFR0").get("ID_MMFR0", 0) & _VMSA
        self._asked = AskedProcessor(
            tuple(
                sorted(
                    whole_pages([(part.start, min(part.end, _END)) for part in self._memory if part.start < _END]),
                    key=lambda span: span[0] - span[1],
                )
            ),
            translates=architecture >= 7 and self._vmsa >= _VMSA7,
            wide=self._vmsa >= _VMSA_LONG,
            hypervisor=_HYPERVISORS["SCTLR"] in registers,
        )

    @classmethod
    def find(
        cls,
        connection: Connection,
        registers: Mapping[str, Register],
        *,
        architecture: int,
        read: Callable[[Sequence[tuple[int, int]]], list[bytes]],
    ) -> Self | None:
        """Ask a stub of QEMU what memory its machine has. None where it is another stub.

        Raises TargetError where it is QEMU's, and it does not tell, ProtocolError what nobody understands.
        """
        if connection.ask(b"qqemu.PhyMemMode") != b"0":
            return None
        spaces = read_tree(execute_command(connection, COMMAND))
        parts = seen_by_processors(spaces)
        ram = [(part.start, part.end) for part in parts if part.kind == "ram"]
        some = [(part.start, part.end) for view in views_of_processors(spaces) for part in view if part.kind == "ram"]
        return cls(
            connection,
            registers,
            architecture=architecture,
            parts=parts,
            hidden=[span for span in without(some, ram) if span[0] < _END],
            read=read,
        )

    def forget(self) -> None:
        """The program ran: it may have changed its MMU."""
        self._control = self._regions = None

    @property
    def regions(self) -> tuple[Region, ...] | None:
        """Where the program sees memory now; RAM that it does not see can't be read. None where that is not known."""
        if self._regions is None:
            self._seen = []
            found = self._look()
            self._regions = self.seen_last = () if found is None else tuple(found)
        return self._regions or None

    def physical(self, address: int, size: int) -> int | None:
        """The physical address of memory that is seen at `address`, in one piece; None where it is not."""
        if self.regions is None:
            return None
        return next((at + address - start for start, end, at in self._seen if start <= address <= end - size), None)

    def at(self, address: int) -> str:
        """What is at an address at which the program sees no RAM, for people."""
        if self._registers_now().get("SCTLR", 0) & _MMU_ON:
            return "no RAM by the program's translation tables"
        part = next((part for part in self._parts if part.start <= address < part.end), None)
        return "nothing" if part is None else f"{part.name} ({part.kind})"

    @property
    def translation(self) -> AskedProcessor | None:
        """How handlers find out whether they can read memory; None where they can't: `no_memory`."""
        return None if self.no_memory else self._asked

    @property
    def no_memory(self) -> str:
        """Why handlers read no memory; empty where they do."""
        if self._registers_now().get("HCR", 0) & _SECOND_STAGE:
            return "a hypervisor has switched a second stage of translation on, of which the program knows nothing"
        if not self._asked.translates and self._registers_now().get("SCTLR", 0) & _MMU_ON:
            return "the processor has its MMU or MPU on, and can't be asked what an address stands for (ATS1CPR)"
        return ""

    @property
    def vectors(self) -> tuple[int, ...]:
        """See `Target.vectors`; as the processor has them now."""
        control = self._registers_now()
        if "VBAR" not in control and "TTBR0_EL1" not in control:
            return ()  # in hypervisor mode LR says nothing
        base = _HIGH_VECTORS if control["SCTLR"] & _HIGH else control.get("VBAR", 0)
        return base + _UNDEFINED, base + _PREFETCH

    def _look(self) -> list[Region] | None:
        control = self._registers_now()
        self._taken = []
        if "SCTLR" not in control:
            return None
        low = [part for part in self._memory if part.start < _END]
        protected = self._architecture >= 7 and self._vmsa < _VMSA7  # an MPU moves nothing
        if protected or not control["SCTLR"] & _MMU_ON:
            self._seen = [(part.start, min(part.end, _END), part.start) for part in low]
            regions = [self._region(part, (part.start, min(part.end, _END)), part.start) for part in low]
            unseen = self._hidden
        else:
            try:
                with self._physical_addresses():
                    tables = self._tables(control)
                    if tables is None:
                        return None
                    regions = self._mapped(tables)
            except TargetFault:
                return None  # tables where no memory is
            ram = [part for part in low if part.kind == "ram"]
            unseen = self._hidden + [
                (start - place + part.start, end - place + part.start)
                for part in ram
                for place in [self._places.get(part, part.start)]
                for start, end in without([(place, place + part.end - part.start)], self._taken)
            ]
        hidden = [
            Region(start, min(end, _END), readable=False, executable=False, name=NOT_SEEN, lasting=False)
            for start, end in unseen
        ]
        return [*regions, *hidden]

    def _mapped(self, tables: PageTables) -> list[Region]:
        regions = []
        for mapping in tables.mappings():
            size = mapping.end - mapping.start
            for part in self._memory:
                first, last = max(part.start, mapping.physical), min(part.end, mapping.physical + size)
                if first < last:
                    start = mapping.start + first - mapping.physical
                    self._seen.append((start, start + last - first, first))
                    region = self._region(part, (start, start + last - first), first, writable=mapping.writable)
                    regions.append(replace(region, executable=mapping.executable))
        return regions

    def _tables(self, control: Mapping[str, int]) -> PageTables | None:
        """The tables by which all addresses are translated, where they are of a kind that is known."""
        split = control.get("TTBCR", 0)
        if split & _LONG and self._asked.wide:
            if split & _SPLIT_LONG or "TTBR0" not in control:
                return None
            return LongDescriptors(self._table, control["TTBR0"] & _LONG_BASE)
        known = self._architecture >= 7 or (self._architecture == 6 and control["SCTLR"] & _EXTENDED_PAGES)
        base = control.get("TTBR0_EL1", control.get("TTBR0"))
        if not known or split & _SPLIT_SHORT or base is None:
            return None
        return ShortDescriptors(self._table, base & _SHORT_BASE)

    def _table(self, place: int, size: int) -> bytes:
        if not any(part.start <= place and place + size <= part.end for part in self._memory):
            raise TargetFault(f"there is no memory for a table at 0x{place:08x}", address=place, size=size)
        return self._read([(place, size)])[0]

    @contextmanager
    def _physical_addresses(self) -> Iterator[None]:
        if self._connection.ask(b"Qqemu.PhyMemMode:1") != b"OK":
            raise ProtocolError(f"the stub at {self._connection.name} gives no access to physical memory")
        try:
            yield
        finally:
            if self._connection.alive:
                self._connection.ask(b"Qqemu.PhyMemMode:0")

    def _region(self, part: Part, seen: Span, physical: int, *, writable: bool = True) -> Region:
        """Memory as it is seen: handlers ask before they read it (`lasting`), and an alias is not searched again."""
        name: str = part.kind
        if part.kind == "ram":
            first = self._places.get(part, part.start) + physical - part.start
            place = (first, first + seen[1] - seen[0])
            if not without([place], self._taken):
                writable, name = False, "alias of ram"
            elif writable:
                self._taken.append(place)
        return Region(*seen, writable=writable and part.kind == "ram", name=name, lasting=False)

    def _find_places(self) -> dict[Part, int]:
        """Where the emulator has each part of RAM; nothing where it does not tell of one."""
        places = {}
        for part in self._memory:
            if part.kind == "ram":
                try:
                    found = _PLACED.fullmatch(execute_command(self._connection, _PLACE.format(address=part.start)))
                except TargetLost:
                    raise
                except TargetError:
                    return {}
                if found is None:
                    return {}
                places[part] = int(found[1], 16)
        return places

    def _registers_now(self) -> dict[str, int]:
        """The control registers by their names, those of the state that the processor is in."""
        if self._control is None:
            shown = self._ask(
                "SCR", "SCR_S", "cpsr", *_SHOWN, *(name + _SECURE for name in _SHOWN), *_HYPERVISORS.values()
            )
            if shown.get("cpsr", 0) & MODE == HYPERVISOR:
                self._control = {name: shown[other] for name, other in _HYPERVISORS.items() if other in shown}
                self._control["TTBCR"] = self._control.get("TTBCR", 0) & _SIZE | _LONG
                return self._control
            security = shown.get("SCR_S", shown.get("SCR"))
            monitor = shown.get("cpsr", 0) & MODE == _MONITOR
            secure = security is not None and (monitor or not security & 1)
            self._control = {
                name: shown[name + _SECURE if secure and name + _SECURE in shown else name]
                for name in _SHOWN
                if name in shown or (secure and name + _SECURE in shown)
            }
        return self._control

    def _ask(self, *names: str) -> dict[str, int]:
        """The registers of these names that the stub shows."""
        there = [name for name in names if name in self._registers]
        replies = self._connection.exchange([b"p%x" % self._registers[name].number for name in there])
        return {
            name: int.from_bytes(data_of(reply, what="a register")[:8], "little")
            for name, reply in zip(there, replies, strict=True)
            if reply and error_of(reply) is None
        }
