"""A target that is a piece of memory, logs what is done to it, and fails on demand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from armprobe.errors import Refused, TargetFault
from armprobe.targets.base import Registers

BASE = 0x8000
SIZE = 0x4000


class Bench:
    """Memory [BASE, BASE + SIZE), CPUs, code synchronisation and executable memory, in one object.

    `before` is called with each action and its address ahead of the action, and may raise.
    """

    name = "bench"
    architecture = 7
    trap = 0xE1200070
    concurrent = False
    own_faults = shared_memory = None
    regions = ()
    breakpoints = None
    bulk = None
    journal = None
    clock = None
    no_clock = "it is a bench"
    processors = None
    task = None
    no_task = "it is a bench"
    no_memory = ""
    vectors = ()
    translation = None

    def __init__(self) -> None:
        self.memory = bytearray(range(256)) * (SIZE // 256)
        self.log: list[tuple[str, int]] = []
        self.before: Callable[[str, int], None] = lambda action, address: None
        self.cpus = [Registers([n] * 16, 0x1D3) for n in range(2)]
        self.free_ranges: list[tuple[int, int]] = []
        self.given_out: set[tuple[int, int]] = set()
        self.code_sync: Bench | None = self
        self.threads: Bench | None = self
        self.executable_memory: Bench | None = self

    def note(self, action: str, address: int) -> None:
        self.before(action, address)
        self.log.append((action, address))

    def read_memory(self, address: int, size: int) -> bytes:
        self.note("read", address)
        if not BASE <= address <= address + size <= BASE + SIZE:
            raise TargetFault(f"no memory at 0x{address:08x}", address=address, size=size)
        return bytes(self.memory[address - BASE : address - BASE + size])

    def write_memory(self, address: int, data: bytes) -> None:
        self.note("write", address)
        self.memory[address - BASE : address - BASE + len(data)] = data

    def synchronize(self, ranges: Sequence[tuple[int, int]]) -> None:
        for start, _ in ranges:
            self.note("sync", start)

    def ids(self) -> Sequence[int]:
        return range(len(self.cpus))

    def read_registers(self, thread: int = 0) -> Registers:
        self.note("read registers", thread)
        return self.cpus[thread].copy()

    def write_registers(self, thread: int | Registers, registers: Registers | None = None) -> None:
        thread, registers = (0, thread) if isinstance(thread, Registers) else (thread, registers)
        self.note("write registers", thread)
        assert registers is not None
        self.cpus[thread] = registers.copy()

    def allocate(self, size: int, low: int, high: int) -> int:
        assert size % 4096 == 0
        for index, (start, end) in enumerate(self.free_ranges):
            address = -(-max(start, low) // 4096) * 4096
            if address + size <= min(end, high):
                rest = [(a, b) for a, b in ((start, address), (address + size, end)) if a < b]
                self.free_ranges[index : index + 1] = rest
                self.given_out.add((address, size))
                return address
        raise Refused("the map is full")

    def free(self, address: int, size: int) -> None:
        self.given_out.remove((address, size))
        self.free_ranges.append((address, address + size))


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture(scope="session")
def make_bench() -> type[Bench]:
    """For tests that need many, as those that draw cases do."""
    return Bench
