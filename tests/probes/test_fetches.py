"""Records of compiled definitions, executed on Unicorn, against a model in Python."""

from __future__ import annotations

import random

import pytest
from tests.codegen.test_handlers import SYMBOLS, state
from tests.probes.definition_model import (
    REGIONS,
    STACK,
)
from tests.probes.fetch_machine import CAPACITY, FetchMachine, run_random_definition
from unicorn import UC_HOOK_MEM_READ

from armprobe.codegen.actions import Record
from armprobe.codegen.handlers import compile_actions
from armprobe.codegen.memory import readable_ranges
from armprobe.errors import Refused
from armprobe.events.record import make_header
from armprobe.events.ring import drain
from armprobe.events.values import unpack
from armprobe.probes.definition import parse_definition
from armprobe.targets.base import Region

CONFIGURATIONS = [(7, False), (7, True), (6, False), (5, False), (4, False)]


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
