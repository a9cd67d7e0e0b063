"""Handlers of all kinds with nothing mapped around what they may touch: their data, the memory they may read, and the
bytes below SP that they say they need. An access anywhere else stops the emulator."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.codegen.python_functions import define, shape_of
from tests.codegen.test_handlers import NAMES, UC_REGISTERS, state
from unicorn import UC_ARCH_ARM, UC_HOOK_CODE, UC_MODE_ARM, Uc, UcError, arm_const

from armprobe.codegen.actions import Action, BeginCall, Call, Count, EndCall, Record
from armprobe.codegen.body import Body
from armprobe.codegen.handlers import compile_actions, compile_guard
from armprobe.codegen.latency import BYTES, CALL_BYTES, CALLS
from armprobe.codegen.map_layout import KeyPart, MapKind, MapShape
from armprobe.codegen.python_subset import check_condition, check_handler
from armprobe.events.record import make_header
from armprobe.events.ring import Ring, initialize
from armprobe.events.source import Read
from armprobe.isa.insn import REGISTER_NAMES
from armprobe.isa.reading import Constant
from armprobe.probes.definition import Kind, parse_definition
from armprobe.probes.hist_trigger import parse_trigger
from armprobe.probes.hit_fields import NO_TARGET
from armprobe.probes.maps import Map

PAGE = 0x1000
CODE, OUT, STACK, READ, DATA = 0x0010_0000, 0x0020_0000, 0x2000_0000, 0x4000_0000, 0x8000_0000
CAPACITY = 1 << 10
SIZES = {"counter": 4, "lost": 4, "hits": 4, "faults": 4, "ring": Ring(0, CAPACITY).size}
SIZES |= {"missed": 4, "calls": CALLS * CALL_BYTES, "latency": BYTES}
SHAPES = {
    "h": MapShape(MapKind.HISTOGRAM, 40),
    "steps": MapShape(MapKind.HISTOGRAM, 5, 16, 8),
    "t": MapShape(MapKind.TABLE, 7),
    "c": MapShape(MapKind.COUNTER),
    "names": MapShape(MapKind.TABLE, 5, key=(KeyPart(16, text=True), KeyPart())),
    "left": MapShape(MapKind.TABLE, 5, removable=True),
    "gone": MapShape(MapKind.TABLE, 5, key=(KeyPart(4, text=True), KeyPart()), removable=True),
}
DEFINITIONS = (
    "0x8000 if %r0 > 5",
    "p:e 0x8000",
    "p:e 0x8000 a=%r0 b=%sp:u8 c=%lr:s16 d=%pc e=%cpsr",
    "p:e 0x8000 a=+0(%r0):u64 b=+1(%r1):u16 c=+0(+4(%r0)):u32 d=$stack0 e=$stack9",
    "p:e 0x8000 a=+0(%r0):string b=+0(%r1):x8[9] c=+0(%r1):string[3] d=-3(%r0):u32[2]",
    'p:e 0x8000 a=+0(%r0):string b=+0(%r1):u8 if a ~ "*b[a-c]*" || b > 5',
    "p:e 0x8000 a=+0(%r0):b3@2/32 b=+0(%r0):char if a & 1",
)
HANDLERS = (
    "def f(r0):\n    c.add(r0)\n",
    "def f(r0, lr):\n    h[log2(r0)] += 1\n    t[lr] += r0\n",
    "def f(r0, r1):\n    steps.observe(r0)\n    h.observe(r1)\n    t[r0 & 15] = r1\n    h[r1 & 63] = 5\n",
    "def f(r0, r1, r4, r5, r6, sp):\n    emit(a=u64(r0), b=u16(r1), c=r4 + r5, d=as_s64(r6), e=u32(sp))\n",
    "def f(r0, r1):\n    emit(a=string(r0), b=string(r1), c=string(r0 + 3) == 'abc', d=r1)\n",
    "def f(r0, r1):\n    if string(r0).endswith('b') or 'ca' in string(r1):\n        c.add()\n",
    "def f(r0):\n    n = 0\n    for i in range(9):\n        n += u8(r0 + i)\n        emit(v=n)\n    t[n] += 1\n",
    "def f(r0, r1):\n    names[string(r0), r1 & 3] += 1\n    names[string(r1), 7] += r0\n",
    "def f(r0, r1):\n    left[r0 & 7] += r1\n    del left[r1 & 7]\n    left[r0 & 3] = left[r1 & 7]\n",
    "def f(r0, r1):\n    gone[string(r0), r1 & 3] += 1\n    h[3] += gone.pop((string(r1), 2))\n",
    "def f(hit, r2):\n    x = as_u64(hit.regs.r0) * r2\n    emit(v=x // 16, w=hit.probe, y=-as_s32(r2) // 7)\n",
)
CONDITIONS = (
    "f = lambda r0, r5: r0 > 4096 or r5 & 3 == 1\n",
    "f = lambda r0: u8(r0) > 5 and string(r0 + 1).startswith('a')\n",
    "f = lambda r0, r1, r2, r3, r4, lr: r0 + r1 + r2 + r3 + r4 + lr > u64(r0)\n",
)
TRIGGERS = (
    "e.hist:keys=a.log2",
    "e.hist:keys=b:vals=hitcount,a if a > 5",
    "e.hist:keys=a.buckets=7:size=9",
    "e.hist:keys=b,s,t:vals=a",
)
#: 128 bytes at the end of what may be read, and all that is there
TEXT = (b"abc\0cab\0" + bytes(range(200, 224)) + b"b" * 40).rjust(128, b"\1")


def defined(text: str) -> Count | Record:
    parsed = parse_definition(text)
    if parsed.kind is Kind.COUNT:
        return Count(filter=parsed.filter)
    return Record(parsed.layout(), CAPACITY, parsed.filter, stops=True)


def actions() -> Iterator[tuple[str, Action, tuple[MapShape, ...]]]:
    for text in DEFINITIONS:
        yield text, defined(text), ()
    maps = {name: Map(name, shape, 0) for name, shape in SHAPES.items()}
    for source in HANDLERS:
        program = check_handler(define(source, **maps), shape_of).program
        yield source, Call(program, CAPACITY), program.maps
    fields = parse_definition("p:e 0x8000 a=+0(%r0):u32 b=%r1:u8 s=+0(%r0):string t=+4(%r1):string").arguments
    now = Read(Constant(1000))
    yield "a call begins", BeginCall(now), ()
    yield "a call ends", EndCall(now, 8), ()
    for text in TRIGGERS:
        trigger = parse_trigger(text)
        found = trigger.action({argument.name: (argument.source, argument.type) for argument in fields}, NO_TARGET)
        yield text, found, (found.shape,) * (1 + len(trigger.sums))


def run(body: Body, maps: tuple[MapShape, ...], registers: dict[str, int], *, at_end: bool) -> None:
    """Run a body once; raises UcError for an access to what it has no business with."""
    uc = Uc(UC_ARCH_ARM, UC_MODE_ARM)
    for start in (CODE, OUT):
        uc.mem_map(start, PAGE * 4)
    uc.mem_map(READ, PAGE)
    uc.mem_write(READ + PAGE - len(TEXT), TEXT)
    symbols = {"header": make_header(5, 2), "probe": 5, "site": registers["pc"]}
    sizes = SIZES | {f"map{number}": shape.bytes for number, shape in enumerate(maps)}
    for number, (name, size) in enumerate((name, sizes[name]) for name in sorted(body.symbols - set(symbols))):
        start = DATA + 0x10_0000 * number
        pages = -(-size // PAGE) * PAGE
        uc.mem_map(start, pages)
        symbols[name] = start + ((pages - size) & -8 if at_end else 0)
        if name == "ring":
            initialize(Ring(symbols[name], CAPACITY), lambda address, data: uc.mem_write(address, bytes(data)))
    stacked = 4 * sum(position >= 4 for position, _ in body.arguments)
    uc.mem_map(STACK, PAGE * 4)
    # Just so much as it says below SP, and just its arguments above.
    registers["sp"] = STACK + PAGE * 4 - stacked if at_end else STACK + body.stack
    words, called = body.link(symbols)
    assert not called
    for index, _ in body.exits:
        words[index] = words[index] & 0xFF000000 | (OUT - CODE) // 4 - index - 2 & 0xFFFFFF
    uc.mem_write(CODE, struct.pack(f"<{len(words)}I", *words))
    for name in ("cpsr", *REGISTER_NAMES):
        uc.reg_write(UC_REGISTERS[NAMES.index(name)], registers[name])
    for position, source in body.arguments:
        if position < 4:
            uc.reg_write(UC_REGISTERS[position], registers[source])
        else:
            uc.mem_write(registers["sp"] + 4 * (position - 4), struct.pack("<I", registers[source]))
    uc.hook_add(UC_HOOK_CODE, lambda engine, *_: engine.emu_stop(), begin=OUT, end=OUT)
    end = CODE + 4 * len(words)
    uc.emu_start(CODE, end, count=100_000)
    assert uc.reg_read(arm_const.UC_ARM_REG_PC) in (end, OUT)


def registers_for(chance: random.Random) -> dict[str, int]:
    """Pointers into what may be read, to its ends, and elsewhere."""
    registers = state(chance.getrandbits(32))
    for name in ("r0", "r1", "r4"):
        near = READ + PAGE - chance.randrange(140) if chance.random() < 0.7 else READ + chance.randrange(-9, 9)
        registers[name] = chance.choice((near, near, near, chance.getrandbits(32), chance.randrange(40)))
    return registers


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "atomic"), [(4, False), (5, False), (7, False), (7, True)])
def test_every_kind_of_handler_stays_within_its_data_and_its_stack(architecture, atomic):
    readable = ((READ, READ + PAGE),)
    chance = random.Random(architecture)
    for text, action, maps in actions():
        body = compile_actions((action,), architecture=architecture, atomic=atomic, readable=readable)
        for turn in range(10):
            registers = registers_for(chance)
            try:
                run(body, maps, registers, at_end=turn % 2 == 0)
            except Exception as error:
                error.add_note(f"{text!r} on architecture {architecture}, atomic {atomic}, with {registers}")
                raise
    for source in CONDITIONS:
        guard = compile_guard(
            check_condition(define(source), shape_of)[0], architecture=architecture, readable=readable
        )
        for turn in range(10):
            run(guard, (), registers_for(chance), at_end=turn % 2 == 0)


@pytest.mark.slow
def test_an_access_out_of_bounds_is_caught():
    """A counter said to be somewhere else, and a stack said to be smaller."""
    body = compile_actions((defined("0x8000"),))
    run(body, (), state(1), at_end=True)
    beyond = replace(body, relocations=tuple(replace(hole, addend=8) for hole in body.relocations))
    with pytest.raises(UcError):
        run(beyond, (), state(1), at_end=True)
    readable = ((READ, READ + PAGE),)
    compiled = ((compile_actions((action,), readable=readable), maps) for _, action, maps in actions())
    deep, maps = next((body, maps) for body, maps in compiled if body.stack)
    registers = {"r0": READ + PAGE - 64, "r1": READ + PAGE - 64}
    run(deep, maps, state(1) | registers, at_end=False)
    with pytest.raises(UcError):
        run(replace(deep, stack=0), maps, state(1) | registers, at_end=False)
