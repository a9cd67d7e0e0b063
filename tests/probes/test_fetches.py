"""Records of compiled definitions, executed on Unicorn, against a model in Python."""

from __future__ import annotations

import random

import pytest
from tests.codegen.test_handlers import CODE, COUNTER, DATA, LOST, RING, SYMBOLS, Machine, state
from tests.probes.definition_model import (
    REGIONS,
    STACK,
    interesting_address,
    random_field,
    random_filter,
    random_memory,
)
from unicorn import UC_ARCH_ARM, UC_HOOK_MEM_READ, UC_HOOK_MEM_WRITE, UC_MODE_ARM, Uc, arm_const

from armprobe.codegen.actions import Record
from armprobe.codegen.handlers import compile_actions
from armprobe.codegen.memory import readable_ranges
from armprobe.codegen.page_walk import make_routines
from armprobe.errors import Refused
from armprobe.events.record import make_header
from armprobe.events.ring import Ring, drain, initialize
from armprobe.events.values import unpack
from armprobe.probes.definition import MAX_ARGUMENT, parse_definition
from armprobe.targets.base import Region, TranslationTables

CAPACITY = 1024
CONFIGURATIONS = [(7, False), (7, True), (6, False), (5, False), (4, False)]
SITE = SYMBOLS["site"]
#: pointers to what is in memory
TEXTS = REGIONS[1].start + 0x200


class FetchMachine(Machine):
    """A machine whose program has memory, with nothing around it: an access there ends the test."""

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

    def program_bytes(self, address: int, size: int) -> bytes | None:
        """What the program's memory holds, None unless all of it is there."""
        data = b""
        for at in range(address, address + size):
            region = next((region for region in self.pages if at in region), None)
            if region is None:
                return None
            data += self.pages[region][at - region.start : at - region.start + 1]
        return data


class WalkedMachine(FetchMachine):
    """A machine whose regions are reached by translation tables only: there is no memory at their addresses.

    The stack is a part of the linear map by itself; the rest of it holds the tables and, scattered, the pages.
    """

    LINEAR, PHYSICAL, SIZE, STACK_PHYSICAL = 0xA100_0000, 0x6000_0000, 0x40_0000, 0x7654_3000
    USER_END = 0x3000_0000
    TABLES = TranslationTables(
        ((PHYSICAL, SIZE, LINEAR), (STACK_PHYSICAL, 0x1000, STACK.start)), user_end=USER_END, kernel_table=LINEAR
    )

    def __init__(self) -> None:
        self.places: dict[int, int] = {}
        super().__init__()
        for region in REGIONS:
            self.uc.mem_unmap(region.start, region.end - region.start)
        self.uc.mem_map(self.LINEAR, self.SIZE)
        self.next_table = 0x8000
        pages = [address for region in REGIONS for address in range(region.start, region.end, 0x1000)]
        for number, address in enumerate(pages):
            self.places[address] = 0x10_0000 + 0x1000 * (7 * number % 16)
            self.map(address, self.PHYSICAL + self.places[address])
        # What must not be read: memory that is not RAM, and a page that no user may read.
        self.map(REGIONS[1].end, 0x5000_0000)
        self.map(REGIONS[0].end, self.PHYSICAL, access=0x10)
        self.map(REGIONS[4].start - 0x1000, self.PHYSICAL + self.SIZE)
        # TTBR0; its low bits are attributes.
        self.uc.reg_write(arm_const.UC_ARM_REG_CP_REG, (15, 0, 0, 2, 0, 0, 0, self.PHYSICAL + 0x4000 | 0x6A))
        self.routines: dict[str, int] = {}
        at = CODE + 0xE000
        for name, words in make_routines(self.TABLES, architecture=7).items():
            self.uc.mem_write(at, b"".join(word.to_bytes(4, "little") for word in words))
            self.routines[name] = at
            at += 4 * len(words)

    def map(self, address: int, physical: int, access: int = 0x30) -> None:
        """Map a page in the table of users or of the kernel."""
        first = self.LINEAR + (0x4000 if address < self.USER_END else 0) + (address >> 20) * 4
        entry = self.word(first)
        if not entry:
            entry = self.PHYSICAL + self.next_table | 1
            self.next_table += 0x400
            self.uc.mem_write(first, entry.to_bytes(4, "little"))
        second = self.LINEAR + (entry & -0x400) - self.PHYSICAL + (address >> 12 & 0xFF) * 4
        self.uc.mem_write(second, (physical | access | 2).to_bytes(4, "little"))

    def write(self, address: int, data: bytes) -> None:
        while data:
            page, offset = address & -0x1000, address & 0xFFF
            size = min(len(data), 0x1000 - offset)
            place = self.LINEAR + self.places[page] + offset if page in self.places else address
            self.uc.mem_write(place, data[:size])
            address, data = address + size, data[size:]


def run_random_definition(seed: int, *, architecture: int, atomic: bool, hits: int, walked: bool = False) -> set[str]:
    """Compile one random definition and compare the records of `hits` hits with the model; say what was seen."""
    chance = random.Random(seed)
    symbols = {"first": REGIONS[1].start + 0x120, "near_end": REGIONS[3].end - 6, "texts": TEXTS}
    fields = [random_field(chance, f"f{number}", symbols) for number in range(chance.randrange(1, 7))]
    shown = [field for field in fields if len(field.text) <= MAX_ARGUMENT]
    condition, holds = random_filter(chance, shown)
    text = f"p:e 0x8000 {' '.join(field.text for field in shown)}{condition}"
    definition = parse_definition(text, symbol_address=symbols.__getitem__)
    body = compile_actions(
        (Record(definition.layout(), CAPACITY, definition.filter),),
        architecture=architecture, atomic=atomic, walked=walked,
        readable=readable_ranges((STACK,) if walked else (*REGIONS, STACK)),
    )  # fmt: skip
    header = make_header(7, definition.layout().words)
    machine = WalkedMachine() if walked else FetchMachine()
    routines = machine.routines if isinstance(machine, WalkedMachine) else {}
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
            assert unpack(definition.layout(), record) == expected, where
            assert record[0] == len(record) // 4, where
        for field in shown:
            value = expected[field.name]
            failed = value is None or (isinstance(value, list) and None in value)
            seen.add(f"{field.kind}{', unreadable' if failed else ''}")
    return seen


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "atomic"), CONFIGURATIONS)
def test_records_hold_what_memory_and_registers_held(architecture, atomic):
    """70 definitions, 70 hits each, for each configuration: 24,500 hits."""
    seen: set[str] = set()
    first = 1000 * (1 + CONFIGURATIONS.index((architecture, atomic)))
    for seed in range(first, first + 70):
        seen |= run_random_definition(seed, architecture=architecture, atomic=atomic, hits=70)
    kinds = ("number", "bit-field", "array", "string", "array of strings")
    assert seen == {*kinds, *(f"{kind}, unreadable" for kind in kinds), "constant string"}


@pytest.mark.slow
def test_records_hold_what_is_behind_translation_tables():
    """60 definitions, 70 hits each, with no memory at the addresses that they read."""
    seen: set[str] = set()
    for seed in range(9000, 9060):
        seen |= run_random_definition(seed, architecture=7, atomic=True, hits=70, walked=True)
    assert len(seen) == 11


@pytest.mark.parametrize(
    ("address", "entry", "value"),
    [
        (0x5010_0000, 2, 0x1234_5678),
        (0x5010_0000, 2 | 1 << 18, None),
        (0x0010_0000, 2 | 0xC00, None),
        (0x5010_0000, 0, None),
    ],
    ids=["section", "supersection", "section of a user", "nothing"],
)
def test_sections_of_the_kernel_are_followed_and_no_others(address, entry, value):
    machine = WalkedMachine()
    table = machine.LINEAR + (0x4000 if address < machine.USER_END else 0)
    machine.write(
        table + (address >> 20) * 4, (machine.PHYSICAL + 0x20_0000 | entry if entry else 0).to_bytes(4, "little")
    )
    machine.write(machine.LINEAR + 0x20_0123, 0x1234_5678.to_bytes(4, "little"))
    definition = parse_definition("p:e 0x8000 value=+0x123(%r1):u32")
    body = compile_actions((Record(definition.layout(), CAPACITY),), readable=(), walked=True)
    header = {"header": make_header(7, definition.layout().words)}
    machine.run(body, state(r1=address, sp=STACK.end - 64, cpsr=0x1F), SYMBOLS | header | machine.routines)
    (record,) = drain(machine.ring, machine.read, machine.write).records
    assert unpack(definition.layout(), record) == {"value": value}


@pytest.mark.parametrize(
    ("address", "own", "value"),
    [
        (0x0200_3000, 0x101, 0x1234_5678),
        (0x0200_3000, 0x100, None),
        (0x0200_3000, 0x001, None),
        (0x0200_3000, 0x901, None),
        (0x5200_3000, 0x101, None),
    ],
    ids=["present", "swapped out", "of the kernel", "to be accessed by nobody", "address of the kernel"],
)
def test_a_page_that_is_there_but_hidden_from_the_processor_is_read_by_the_table_that_linux_keeps(address, own, value):
    machine = WalkedMachine()
    first = machine.LINEAR + (0x4000 if address < machine.USER_END else 0) + (address >> 20) * 4
    machine.uc.mem_write(first, (machine.PHYSICAL + 0x3_0800 | 1).to_bytes(4, "little"))
    entry = machine.PHYSICAL + 0x20_0000 | own
    machine.uc.mem_write(machine.LINEAR + 0x3_0000 + (address >> 12 & 0xFF) * 4, entry.to_bytes(4, "little"))
    machine.uc.mem_write(machine.LINEAR + 0x20_0123, 0x1234_5678.to_bytes(4, "little"))
    definition = parse_definition("p:e 0x8000 value=+0x123(%r1):u32")
    body = compile_actions((Record(definition.layout(), CAPACITY),), readable=(), walked=True)
    header = {"header": make_header(7, definition.layout().words)}
    machine.run(body, state(r1=address, sp=STACK.end - 64, cpsr=0x1F), SYMBOLS | header | machine.routines)
    (record,) = drain(machine.ring, machine.read, machine.write).records
    assert unpack(definition.layout(), record) == {"value": value}


@pytest.mark.parametrize("depth", range(1, 6))
def test_a_bad_pointer_at_any_depth_is_a_fault_and_good_ones_are_followed(depth):
    """Pointers 1 to `depth` lead to the value; then each of them in turn is bad, by one byte or wildly."""
    machine = FetchMachine()
    machine.fill(random.Random(depth))
    region = REGIONS[1]
    chain = [region.start + 0x10 * (number + 1) for number in range(depth)]
    text = "+0(" * depth + "%r4" + ")" * depth
    definition = parse_definition(f"p:e 0x8000 value={text}:u32 other=%r1 text={text}:string if %r0 != 7")
    body = compile_actions(
        (Record(definition.layout(), CAPACITY, definition.filter),), readable=readable_ranges((*REGIONS, STACK))
    )
    header = {"header": make_header(7, definition.layout().words)}
    bad = [region.start - 1, region.end - 3, region.end, STACK.start - 4, 0xFFFF_EFFF, REGIONS[3].end - 2]
    for broken in (None, *range(depth)):
        for pointer in bad if broken is not None else bad[:1]:
            links = [*chain, 0x0041_4243]
            if broken is not None:
                links[broken] = pointer
            for place, word in zip(chain, links[1:], strict=True):
                machine.write(place, word.to_bytes(4, "little"))
            machine.run(body, state(r4=links[0], r1=depth, sp=STACK.end), SYMBOLS | header)
            (record,) = drain(machine.ring, machine.read, machine.write).records
            values = unpack(definition.layout(), record)
            where = f"depth {depth}, pointer {broken} is {pointer:#x}"
            assert values["value"] == (0x0041_4243 if broken is None else None), where
            assert values["other"] == depth, where
            if broken is None or broken < depth - 1:
                assert values["text"] == ("CBA" if broken is None else None), where


@pytest.mark.parametrize(
    ("regions", "ranges"),
    [
        ([], ()),
        ([(0x1000, 0x2000), (0x2000, 0x3000), (0x8000, 0x9000)], ((0x1000, 0x3000), (0x8000, 0x9000))),
        ([(0x8000, 0xA000), (0x1000, 0x2000)], ((0x8000, 0xA000), (0x1000, 0x2000))),
        ([(0x1001, 0x2003), (0x3001, 0x3003)], ((0x1004, 0x2000),)),
        ([(0, 1 << 32)], ((0, 0xFFFF_FFFC),)),
        ([(0xFFFF_0000, 1 << 32)], ((0xFFFF_0000, 1 << 32),)),
        ([(0x1000, 0x9000), (0x2000, 0x3000)], ((0x1000, 0x9000),)),
    ],
)
def test_ranges_are_whole_words_joined_and_the_largest_first(regions, ranges):
    assert readable_ranges(Region(*pair) for pair in regions) == ranges


def test_memory_that_cannot_be_read_is_no_range():
    assert readable_ranges([Region(0x1000, 0x2000, readable=False)]) == ()


def test_without_known_memory_every_read_is_a_fault():
    definition = parse_definition("p:e 0x8000 value=+0(%sp) text=+0(%sp):string")
    machine = FetchMachine()
    machine.fill(random.Random(1))
    body = compile_actions((Record(definition.layout(), CAPACITY),), readable=())
    machine.run(body, state(sp=STACK.start), SYMBOLS | {"header": make_header(7, definition.layout().words)})
    (record,) = drain(machine.ring, machine.read, machine.write).records
    assert unpack(definition.layout(), record) == {"value": None, "text": None}


def test_a_long_string_is_cut_and_says_so():
    definition = parse_definition("p:e 0x8000 text=+0(%r1):string")
    machine = FetchMachine()
    place = REGIONS[1].start + 1
    machine.write(place, b"x" * 255 + b"\0" + b"y" * 300)
    body = compile_actions((Record(definition.layout(), CAPACITY),), readable=readable_ranges(REGIONS))
    for address, text in ((place, "x" * 255), (place + 256, "y" * 256 + "…")):
        machine.run(body, state(r1=address), SYMBOLS | {"header": make_header(7, definition.layout().words)})
        (record,) = drain(machine.ring, machine.read, machine.write).records
        assert unpack(definition.layout(), record) == {"text": text}


def test_what_a_filter_compared_is_what_the_record_shows():
    """One load for both, also when the program's memory changes between them: here, on every read."""
    definition = parse_definition("p:e 0x8000 a=+0(%r1) b=+4(+0(%r1)) if a != 0")
    machine = FetchMachine()
    body = compile_actions(
        (Record(definition.layout(), CAPACITY, definition.filter),), readable=readable_ranges(REGIONS)
    )
    place, loads = REGIONS[1].start, []
    machine.write(place, place.to_bytes(4, "little"))
    machine.uc.hook_add(UC_HOOK_MEM_READ, lambda *access: loads.append(access[2]), begin=place, end=place + 3)
    machine.run(body, state(r1=place), SYMBOLS | {"header": make_header(7, definition.layout().words)})
    assert loads == [place]


@pytest.mark.parametrize(("fetch", "size"), [("%r1", 23), ("+4(%r1)", 47), ("+4(+8(%r1))", 60)])
def test_a_field_costs_no_more_than_it_did(fetch, size):
    """In memory: a check of the one range, of the alignment, a load of each kind; once, the word of faults."""
    layout = parse_definition(f"p:e 0x8000 a={fetch}").layout()
    code = compile_actions((Record(layout, CAPACITY),), readable=((0x8000, 0x10_0000),)).code
    assert code <= size, f"{fetch}: {code} instructions, and it was {size}"


def test_a_handler_too_long_for_an_old_architecture_is_refused():
    arguments = " ".join(f"a{number}=+{4 * number}(%r0)" for number in range(100))
    layout = parse_definition(f"p:e 0x8000 {arguments}").layout()
    record, ranges = Record(layout, CAPACITY), readable_ranges(REGIONS)
    assert compile_actions((record,), readable=ranges).code > 1024
    with pytest.raises(
        Refused,
        match=r"^the handler has \d+ bytes of code: before architecture 7 its constants are within 4096 bytes$",
    ) as caught:
        compile_actions((record,), readable=ranges, architecture=5)
    assert caught.value.hint == "record less in one probe, or split it in two"
