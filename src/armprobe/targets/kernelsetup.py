"""What is found out about a Linux kernel before anything of it is touched: its page table, its code, its constants."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from armprobe.errors import Refused, UsageError
from armprobe.targets.connection import Connection
from armprobe.targets.pagetables import Mapping
from armprobe.targets.rsp import data_of, error_of
from armprobe.targets.rspxml import Register

_TABLE_ALIGN = 0x4000
_LARGE_ADDRESSES = 1 << 31


def system_register(connection: Connection, registers: dict[str, Register], name: str) -> int | None:
    """The register of the selected processor; None where the stub does not show it."""
    register = registers.get(name)
    reply = b"" if register is None else connection.ask(b"p%x" % register.number)
    if not reply or error_of(reply) is not None:
        return None
    return int.from_bytes(data_of(reply, what="a register")[:4], "little")


def root_of_tables(connection: Connection, registers: dict[str, Register]) -> int:
    """The physical address of the kernel's own page table: Linux has it in TTBR1 (arch/arm/mm/proc-v7-2level.S)."""
    values = {}
    for name in ("TTBR1_EL1", "TTBCR"):
        value = system_register(connection, registers, name)
        if value is None:
            raise UsageError(
                f"the stub at {connection.name} does not show {name}, so that nobody knows the kernel's page table",
                hint="QEMU's shows it: qemu-system-arm -M virt -cpu cortex-a15",
            )
        values[name] = value
    root = values["TTBR1_EL1"] & -_TABLE_ALIGN
    if values["TTBCR"] & _LARGE_ADDRESSES:
        raise Refused("the kernel is built for large physical addresses (LPAE): its page tables are not supported yet")
    if not root:
        raise UsageError(f"no Linux kernel runs at {connection.name}, or not yet: TTBR1 is 0", hint="let it boot first")
    return root


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
    for code, constants in pairwise(mappings):
        if code.executable and not code.writable and not constants.writable and code.end == constants.start:
            return code, constants
    raise UsageError(
        f"the kernel at {name} has no read-only code: it boots still, or is built without STRICT_KERNEL_RWX",
        hint="attach when it has booted",
    )
