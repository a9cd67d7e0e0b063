"""Records of what only translation tables lead to, executed on Unicorn, against a model in Python."""

from __future__ import annotations

import pytest
from tests.codegen.test_handlers import SYMBOLS, state
from tests.probes.definition_model import STACK
from tests.probes.fetch_machine import CAPACITY, run_random_definition
from tests.probes.walked_machine import LONG_ALIKE, OTHER, OWN_ALIKE, WalkedMachine

from armprobe.codegen.actions import Record
from armprobe.codegen.handlers import compile_actions
from armprobe.events.record import make_header
from armprobe.events.ring import drain
from armprobe.events.values import unpack
from armprobe.probes.definition import parse_definition

USER, KERNEL = 0x0200_3000, 0x5200_3000
#: where nothing else is, in the linear map and in high memory
LOW, HIGH, LONG_HIGH = 0x6020_0000, 0x9020_0000, 0x12_9020_0000
WORD = 0x1234_5678


@pytest.mark.slow
@pytest.mark.parametrize(
    ("long", "high"),
    [(False, False), (True, False), (False, True), (True, True)],
    ids=["short", "long", "high", "both"],
)
def test_records_hold_what_is_behind_translation_tables(long, high):
    """20 definitions, 70 hits each, with no memory at the addresses that they read."""
    seen: set[str] = set()
    first = 9000 + 1000 * (2 * long + high)
    for seed in range(first, first + 20):
        machine = WalkedMachine(long=long, high=high)
        seen |= run_random_definition(seed, architecture=7, atomic=True, hits=70, machine=machine)
    assert {"number", "number, unreadable", "string", "string, unreadable", "array"} <= seen


def value_behind(machine: WalkedMachine, address: int) -> int | None:
    """What a probe reads at `address + 0x123`."""
    definition = parse_definition("p:e 0x8000 value=+0x123(%r1):u32")
    body = compile_actions((Record(definition.layout(), CAPACITY),), readable=(), walked=True)
    header = {"header": make_header(7, definition.layout().words)}
    machine.run(body, state(r1=address, sp=STACK.end - 192, cpsr=0x1F), SYMBOLS | header | machine.routines)
    (record,) = drain(machine.ring, machine.read, machine.write).records
    machine.check(f"address {address:#x}")
    return unpack(definition.layout(), record)["value"]


@pytest.mark.parametrize(
    ("address", "entry", "value"),
    [
        (0x5010_0000, 2, WORD),
        (0x5010_0000, 2 | 1 << 18, None),
        (0x0010_0000, 2 | 0xC00, None),
        (0x5010_0000, 0, None),
    ],
    ids=["section", "supersection", "section of a user", "nothing"],
)
def test_sections_of_the_kernel_are_followed_and_no_others(address, entry, value):
    machine = WalkedMachine()
    first = machine.PHYSICAL + (0x4000 if address < machine.USER_END else 0) + (address >> 20) * 4
    machine.store(first, (LOW | entry if entry else 0).to_bytes(4, "little"))
    machine.store(LOW + 0x123, WORD.to_bytes(4, "little"))
    assert value_behind(machine, address) == value


@pytest.mark.parametrize(
    ("address", "own", "value"),
    [
        (USER, 0x101, WORD),
        (USER, 0x100, None),
        (USER, 0x001, None),
        (USER, 0x901, None),
        (KERNEL, 0x101, None),
    ],
    ids=["present", "swapped out", "of the kernel", "to be accessed by nobody", "address of the kernel"],
)
def test_a_page_that_is_there_but_hidden_from_the_processor_is_read_by_the_table_that_linux_keeps(address, own, value):
    machine = WalkedMachine()
    hide(machine, address, LOW | own)
    machine.store(LOW + 0x123, WORD.to_bytes(4, "little"))
    assert value_behind(machine, address) == value


def hide(machine: WalkedMachine, address: int, own: int) -> None:
    """Let the first level lead to a table of which only Linux's own part says something."""
    first = machine.PHYSICAL + (0x4000 if address < machine.USER_END else 0) + (address >> 20) * 4
    table = machine.memory + 0x3_0000
    machine.store(first, (table + 0x800 | 1).to_bytes(4, "little"))
    machine.store(table + (address >> 12 & 0xFF) * 4, own.to_bytes(4, "little"))


@pytest.mark.parametrize(("kind", "value"), [(OWN_ALIKE, WORD), (OTHER, None)])
def test_a_hidden_page_is_seen_through_a_window_where_its_memory_is_of_the_same_kind(kind, value):
    machine = WalkedMachine(high=True)
    hide(machine, USER, HIGH | 0x101 | kind)
    machine.store(HIGH + 0x123, WORD.to_bytes(4, "little"))
    assert value_behind(machine, USER) == value
    assert machine.looked > 0


@pytest.mark.parametrize(
    ("address", "entry", "value"),
    [
        (USER, 0x441, WORD),
        (USER, 0x041, WORD),
        (USER, 0x401, None),
        (KERNEL, 0x401, WORD),
        (USER, 0x440, None),
        (USER, 0x442, None),
    ],
    ids=["of a user", "not used for a while", "of the kernel", "kernel's own", "nothing", "invalid"],
)
@pytest.mark.parametrize("high", [False, True])
def test_blocks_of_2_mib_are_followed_where_they_may_be_read(address, entry, value, high):
    machine = WalkedMachine(long=True, high=high)
    place = LONG_HIGH if high else LOW
    first = machine.PHYSICAL + (0x20 if address < machine.USER_END else 0) + (address >> 30) * 8
    table = machine.memory + 0x3_0000
    machine.store(first, (table | 3).to_bytes(8, "little"))
    machine.store(table + (address >> 21 & 511) * 8, (place | entry | LONG_ALIKE).to_bytes(8, "little"))
    machine.store(place + (address & 0x1F_F000) + 0x123, WORD.to_bytes(4, "little"))
    assert value_behind(machine, address) == value


@pytest.mark.parametrize("high", [False, True])
def test_a_user_without_tables_in_memory_has_no_memory(high):
    """TTBR0 names memory that is mapped nowhere, or high memory, where no first level may be."""
    machine = WalkedMachine(high=high)
    machine.uc.reg_write(machine.TTBR0, (15, 0, 0, 2, 0, 0, 0, HIGH if high else 0x5000_0000))
    assert value_behind(machine, USER) is None
