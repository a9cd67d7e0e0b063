"""A machine whose program has memory, and definitions executed there against a model in Python."""

from __future__ import annotations

import random
from collections.abc import Mapping

from tests.codegen.test_handlers import CODE, COUNTER, DATA, LOST, RING, SYMBOLS, Machine, state
from tests.probes.definition_model import (
    REGIONS,
    STACK,
    interesting_address,
    random_field,
    random_filter,
    random_memory,
)
from unicorn import UC_ARCH_ARM, UC_HOOK_MEM_WRITE, UC_MODE_ARM, Uc

from armprobe.codegen.actions import Record
from armprobe.codegen.handlers import compile_actions
from armprobe.codegen.memory import readable_ranges
from armprobe.events.record import make_header
from armprobe.events.ring import Ring, drain, initialize
from armprobe.events.values import unpack
from armprobe.probes.definition import MAX_ARGUMENT, parse_definition

CAPACITY = 1024
SITE = SYMBOLS["site"]
#: pointers to what is in memory
TEXTS = REGIONS[1].start + 0x200


class FetchMachine(Machine):
    """A machine whose program has memory, with nothing around it: an access there ends the test."""

    #: the addresses of the routines that read the rest of memory
    routines: Mapping[str, int] = {}

    def __init__(self) -> None:
        self.uc = Uc(UC_ARCH_ARM, UC_MODE_ARM)
        self.base = CODE
        self.uc.mem_map(CODE, 0x10000)
        self.uc.mem_map(DATA, 0x4000)
        for region in (*REGIONS, STACK):
            self.uc.mem_map(region.start, region.end - region.start)
        for address in (COUNTER, LOST):
            self.uc.mem_write(address, bytes(4))
        self.ring = Ring(RING, CAPACITY)
        initialize(self.ring, self.write)
        self.lowest = STACK.end
        self.uc.hook_add(UC_HOOK_MEM_WRITE, self._stack_written, begin=STACK.start, end=STACK.end - 1)
        self.pages = {}

    def fill(self, chance: random.Random) -> None:
        for region in (*REGIONS, STACK):
            page = bytearray(random_memory(chance, region.end - region.start))
            if TEXTS in region:
                for at in range(TEXTS - region.start, TEXTS - region.start + 12, 4):
                    page[at : at + 4] = (region.start + chance.randrange(0x800)).to_bytes(4, "little")
            self.pages[region] = bytes(page)
            self.write(region.start, self.pages[region])

    def check(self, where: str) -> None:
        """Raise AssertionError when a hit left something behind."""

    def program_bytes(self, address: int, size: int) -> bytes | None:
        """What the program's memory holds, None unless all of it is there."""
        data = b""
        for at in range(address, address + size):
            region = next((region for region in self.pages if at in region), None)
            if region is None:
                return None
            data += self.pages[region][at - region.start : at - region.start + 1]
        return data


def run_random_definition(
    seed: int, *, architecture: int, atomic: bool, hits: int, machine: FetchMachine | None = None
) -> set[str]:
    """Compile one random definition and compare the records of `hits` hits with the model; say what was seen."""
    chance = random.Random(seed)
    symbols = {"first": REGIONS[1].start + 0x120, "near_end": REGIONS[3].end - 6, "texts": TEXTS}
    fields = [random_field(chance, f"f{number}", symbols) for number in range(chance.randrange(1, 7))]
    shown = [field for field in fields if len(field.text) <= MAX_ARGUMENT]
    condition, holds = random_filter(chance, shown)
    text = f"p:e 0x8000 {' '.join(field.text for field in shown)}{condition}"
    definition = parse_definition(text, symbol_address=symbols.__getitem__)
    walked = machine is not None
    body = compile_actions(
        (Record(definition.layout(), CAPACITY, definition.filter),),
        architecture=architecture, atomic=atomic, walked=walked,
        readable=readable_ranges((STACK,) if walked else (*REGIONS, STACK)),
    )  # fmt: skip
    header = make_header(7, definition.layout().words)
    machine = FetchMachine() if machine is None else machine
    routines = machine.routines
    seen: set[str] = set()
    for hit in range(hits):
        if hit % 25 == 0:
            machine.fill(chance)
        where = f"seed {seed}, architecture {architecture}, atomic {atomic}, hit {hit}: {text}"
        registers = {name: interesting_address(chance) for name in state() if name not in ("pc", "cpsr")}
        registers |= {"sp": STACK.end - 4 * chance.randrange(0, 24) - 64, "cpsr": 0x1F if walked else 0x10, "pc": SITE}
        machine.write(STACK.start, machine.pages[STACK])
        machine.run(body, registers, SYMBOLS | {"header": header} | routines)
        records = list(drain(machine.ring, machine.read, machine.write).records)
        expected = {
            field.name: field.value(registers, machine.program_bytes, definition.layout().text) for field in shown
        }
        assert len(records) == holds(registers, machine.program_bytes), where
        for record in records:
            values = unpack(definition.layout(), record)
            assert values == expected, f"{where}: {values} instead of {expected}"
            assert record[0] == len(record) // 4, where
        for field in shown:
            value = expected[field.name]
            failed = value is None or (isinstance(value, list) and None in value)
            seen.add(f"{field.kind}{', unreadable' if failed else ''}")
        machine.check(where)
    return seen
