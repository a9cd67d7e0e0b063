"""Conditions on the host, against the model of filters and by hand."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.codegen.filter_model import holds as model_holds
from tests.codegen.test_handlers import INTERESTING, conditions, state

from armprobe import emulate
from armprobe.codegen.filters import Compare, CompareText, Constant, Fetch, Not
from armprobe.codegen.python_host import Fault
from armprobe.codegen.text_pattern import exactly
from armprobe.events.record import NAMED_TYPES, FieldType
from armprobe.events.source import Memory, Number, Operation, Wide
from armprobe.probes.host_conditions import Looking, holds

DEMO = Path(str(files("armprobe") / "demo" / "demo.elf"))
START = 0x1000
MEMORY = (0x1008).to_bytes(4, "little") + b"\x80\xff\x01\x02" + b"eth0\0" + b"xyz"


def read(address: int, size: int) -> bytes:
    if not START <= address <= START + len(MEMORY) - size:
        raise Fault
    return MEMORY[address - START :][:size]


def nothing(source: object) -> NoReturn:
    raise AssertionError(f"{source!r} is not in memory, nor in a register")


@pytest.mark.slow
@given(
    condition=conditions, values=st.lists(st.sampled_from(INTERESTING), min_size=8, max_size=8), seed=st.integers(0, 99)
)
@settings(max_examples=150)
def test_filters_of_registers_hold_as_in_the_model(condition, values, seed):
    registers = state(seed, **dict(zip(("r0", "r1", "r3", "r4", "r5", "lr", "sp", "pc"), values, strict=True)))
    looking = Looking(registers.__getitem__, read, nothing, nothing)
    assert holds(condition, looking) is model_holds(condition, registers.__getitem__)


def at(source, kind: str | FieldType = "u32") -> Fetch:
    return Fetch(source, NAMED_TYPES[kind] if isinstance(kind, str) else kind)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Compare("==", at(Memory("r0", 4), "u8"), Constant(0x80)), True),
        (Compare("==", at(Memory("r0", 4), "s8"), Constant(-128)), True),
        (Compare("==", at(Memory("r0", 4), FieldType(4, "u", (8, 8))), Constant(0xFF)), True),
        (Compare("==", at(Memory("r0", 4), FieldType(4, "s", (8, 8))), Constant(-1)), True),
        (Compare("==", at(Memory("r0", 0), "u64"), Constant(0x0201FF80_00001008)), True),
        (Compare("==", at(Memory(Memory("r0", 0), 0), "u32"), Constant(int.from_bytes(b"eth0", "little"))), True),
        (Compare("==", at(Operation("+", Memory("r0", 4, 1), Number(-1))), Constant(0x7F)), True),
        (Compare("==", at(Wide("r0", Number(1)), "u64"), Constant(0x1_0000_1000)), True),
        (Compare("==", at(Memory("r1", 0)), Constant(0)), False),
        (Compare("!=", at(Memory("r1", 0)), Constant(0)), False),
        (Not(Compare("==", at(Memory("r1", 0)), Constant(0))), True),
        (CompareText(Memory("r0", 8), exactly(b"eth0"), True), True),
        (CompareText(Memory("r0", 8), exactly(b"eth"), True), False),
        (CompareText(Memory("r0", 8), exactly(b"eth"), False), True),
        (CompareText(Memory("r1", 8), exactly(b"eth"), False), False),
        (CompareText(Memory("r0", 13), exactly(b"xyz"), True), False),  # it runs out of memory
    ],
)
def test_what_is_in_memory_is_read_and_what_is_not_holds_nothing(condition, expected):
    assert holds(condition, Looking({"r0": START, "r1": 0}.__getitem__, read, nothing, nothing)) is expected


def test_handlers_that_share_a_place_look_at_variables_of_the_program():
    with emulate(DEMO, output=lambda _: None) as session:
        seen = {"long": [], "short": []}
        session.probe("parse_packet", lambda hit: seen["long"].append(hit.regs.r1), when="length > 64")
        session.probe("parse_packet", lambda hit: seen["short"].append(hit.regs.r1), when="length <= 8")
        session.optimize_now()
        session.run()
        assert seen["long"]
        assert min(seen["long"]) > 64
        assert seen["short"]
        assert max(seen["short"]) <= 8
