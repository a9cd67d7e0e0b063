"""What is found out about a Linux kernel before anything of it is touched: its page table, its code, its constants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from armprobe.errors import UsageError
from armprobe.targets.connection import Connection
from armprobe.targets.pagetables import LongDescriptors, Mapping, PageTables, ShortDescriptors
from armprobe.targets.rsp import data_of, error_of
from armprobe.targets.rspxml import Register

#: TTBCR (DDI 0406C B4.1.153): long descriptors, and how many of the upper bits of an address are all ones for TTBR1
_EXTENDED, _SPLIT_SHIFT, _SPLIT_MASK = 1 << 31, 16, 7
_SHORT_ALIGN = 0x4000
_LONG_ADDRESS, _PAGE = (1 << 40) - 1, 0x1000
#: Linux has the tables of the second level behind that of the first (arch/arm/include/asm/pgtable-3level-hwdef.h)
_FIRST_LEVEL = {0: 0, 1: 2 * 8, 2: _PAGE * (1 + 3)}
_GIGABYTES, _TABLE_BITS = 4, 0b11


def system_register(connection: Connection, registers: dict[str, Register], name: str) -> int | None:
    """The register of the selected processor; None where the stub does not show it."""
    register = registers.get(name)
    reply = b"" if register is None else connection.ask(b"p%x" % register.number)
    if not reply or error_of(reply) is not None:
        return None
    return int.from_bytes(data_of(reply, what="a register")[:8], "little")


def kernel_tables(
    connection: Connection, registers: dict[str, Register], read: Callable[[int, int], bytes]
) -> PageTables:
    """The kernel's own page tables: Linux has them in TTBR1 (arch/arm/mm/proc-v7-2level.S, proc-v7-3level.S).

    `read(physical, size)` reads memory. Raises UsageError where no kernel runs yet, or the stub shows no TTBR1.
    """
    control = _shown(connection, registers, "TTBCR")
    long = bool(control & _EXTENDED)
    # The register has 64 bits with long descriptors, and QEMU shows its halves together by another name.
    base = _shown(connection, registers, *(("TTBR1", "TTBR1_EL1") if long else ("TTBR1_EL1", "TTBR1")))
    if not base:
        raise UsageError(f"no Linux kernel runs at {connection.name}, or not yet: TTBR1 is 0", hint="let it boot first")
    if not long:
        return ShortDescriptors(read, base & 0xFFFFFFFF & -_SHORT_ALIGN)
    base &= _LONG_ADDRESS
    before = _FIRST_LEVEL.get(control >> _SPLIT_SHIFT & _SPLIT_MASK)
    # TTBR1 names the part of the tables that its half of the addresses has: that of the last GiB, most often.
    if before is not None and (base - before) % 32 == 0:
        first = memoryview(read(base - before, _GIGABYTES * 8)).cast("Q")
        last = first[-1] & _LONG_ADDRESS & -_PAGE
        if first[-1] & _TABLE_BITS == _TABLE_BITS and (before != _FIRST_LEVEL[2] or last == base):
            return LongDescriptors(read, base - before)
    raise UsageError(
        f"the page tables of the kernel at {connection.name} are not where Linux has them (TTBCR 0x{control:08x}, "
        f"TTBR1 0x{base:x})",
        hint="attach when it has booted",
    )


def _shown(connection: Connection, registers: dict[str, Register], *names: str) -> int:
    for name in names:
        value = system_register(connection, registers, name)
        if value is not None:
            return value
    raise UsageError(
        f"the stub at {connection.name} does not show {names[0]}, so that nobody knows the kernel's page table",
        hint="QEMU's shows it: qemu-system-arm -M virt -cpu cortex-a15",
    )


def joined(mappings: Sequence[Mapping]) -> tuple[tuple[int, int, int], ...]:
    """(physical address, size, address), neighbours as one."""
    joined: list[tuple[int, int, int]] = []
    for mapping in mappings:
        size = mapping.end - mapping.start
        if joined and joined[-1][2] + joined[-1][1] == mapping.start:
            physical, before, start = joined[-1]
            joined[-1] = physical, before + size, start
        else:
            joined.append((mapping.physical, size, mapping.start))
    return tuple(joined)


def kernel_image(mappings: Sequence[Mapping], name: str) -> tuple[Mapping, Mapping]:
    """The code of a kernel, which is executable and read-only, and the constants behind it, which are read-only."""
    found = [
        (code, constants)
        for code, constants in pairwise(mappings)
        if code.executable and not code.writable and not constants.writable and code.end == constants.start
    ]
    if found:
        # Modules look the same, page by page; nothing of them is as large in one piece.
        return max(found, key=lambda pair: pair[0].end - pair[0].start)
    raise UsageError(
        f"the kernel at {name} has no read-only code: it boots still, or is built without STRICT_KERNEL_RWX",
        hint="attach when it has booted",
    )
