"""How code reads a value that no core register holds: as data, from which code is generated.

A value has 32 bits, but for those of `WideRegister`, `Routine`, and `Load` with a size of 8. Reading never fails:
whoever makes one of these knows that the register and the memory are there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Constant:
    """A number of 32 bits that is known."""

    value: int


@dataclass(frozen=True, slots=True)
class CoreRegister:
    """A core register as it is at the probe: `r0` to `r12`, `sp`, `lr`, `cpsr`."""

    name: str


@dataclass(frozen=True, slots=True)
class SystemRegister:
    """A register of 32 bits that MRC reads, in the order of the manual (DDI 0406C B3.17)."""

    crn: int
    opc1: int
    crm: int
    opc2: int
    coprocessor: int = 15

    @property
    def word(self) -> int:
        """`mrc` to r0 (A8.8.107)."""
        low = self.coprocessor << 8 | self.opc2 << 5 | 0x10 | self.crm
        return 0xEE100000 | self.opc1 << 21 | self.crn << 16 | low


@dataclass(frozen=True, slots=True)
class WideRegister:
    """A register of 64 bits that MRRC reads."""

    crm: int
    opc1: int
    coprocessor: int = 15

    @property
    def word(self) -> int:
        """`mrrc` to r0, the lower half, and r1 (A8.8.108)."""
        return 0xEC510000 | self.coprocessor << 8 | self.opc1 << 4 | self.crm


@dataclass(frozen=True, slots=True)
class Load:
    """What is in memory at `address + offset`: `size` bytes (1, 2, 4 or 8), aligned to their size, zeros above."""

    address: Reading
    offset: int = 0
    size: int = 4


@dataclass(frozen=True, slots=True)
class Masked:
    """The bits of a value of 32 bits that `mask` has, where they stand."""

    value: Reading
    mask: int


@dataclass(frozen=True, slots=True)
class Sum:
    """A value of 32 bits and a number, modulo 2**32."""

    value: Reading
    addend: int


@dataclass(frozen=True, slots=True)
class Routine:
    """The 64 bits that the function `name` at `address` returns: one of AAPCS, without arguments.

    It needs SP at a multiple of 4 only, and at most 64 bytes below it.
    """

    name: str
    address: int


Reading = Constant | CoreRegister | SystemRegister | WideRegister | Load | Masked | Sum | Routine


def width(reading: Reading) -> int:
    """The bits that the value has: 32 or 64."""
    return (
        64 if isinstance(reading, WideRegister | Routine) or (isinstance(reading, Load) and reading.size == 8) else 32
    )


#: the virtual count of the generic timer, and its frequency in Hz (DDI 0406C B8.1)
CNTVCT = WideRegister(crm=14, opc1=1)
CNTFRQ = SystemRegister(crn=14, opc1=0, crm=0, opc2=0)
#: which processor this is: bits 7:0 count within a cluster, 15:8 clusters (B4.1.106)
MPIDR = SystemRegister(crn=0, opc1=0, crm=0, opc2=5)
PROCESSOR = Masked(MPIDR, 0xFFFF)
#: thread and process identifiers (B4.1.150): Linux has the task in TPIDRURO, the offset of per-CPU data in TPIDRPRW
TPIDRURO = SystemRegister(crn=13, opc1=0, crm=0, opc2=3)
TPIDRPRW = SystemRegister(crn=13, opc1=0, crm=0, opc2=4)
