"""Compiled handlers, executed on Unicorn against models in Python."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.codegen.filter_model import convert, holds
from unicorn import UC_ARCH_ARM, UC_HOOK_CODE, UC_HOOK_MEM_WRITE, UC_MODE_ARM, Uc, arm_const

from armprobe.codegen.actions import Count, Record, Stop
from armprobe.codegen.body import Body, Exit
from armprobe.codegen.filters import And, Compare, Constant, Not, Or, Register
from armprobe.codegen.handlers import compile_actions, compile_guard
from armprobe.errors import Refused, UsageError
from armprobe.events.record import TYPES, make_header, make_layout
from armprobe.events.ring import BUFFER, Ring, drain, initialize
from armprobe.isa.branch import branch_word
from armprobe.isa.insn import REGISTER_NAMES

# Regions of one page each, with nothing mapped between them.
CODE, STACK, DATA = 0x0003_0000, 0x2000_0000, 0x8765_4000
#: where exits lead
OUT = 0x0003_8000
EXITS = {way: OUT + 4 * number for number, way in enumerate(Exit)}
PAGE = 0x1000
COUNTER, LOST, RING = DATA + 0x10, DATA + 0x20, DATA + 0x40
CAPACITY = 64
SYMBOLS = {
    "counter": COUNTER,
    "lost": LOST,
    "ring": RING,
    "header": make_header(0x123456, 3),
    "site": 0xFFFF_8004,
}
NAMES = (*REGISTER_NAMES, "cpsr")
SOURCES = ["r0", "r1", "r3", "r4", "lr", "cpsr", "sp", "pc"]
UC_REGISTERS = [getattr(arm_const, f"UC_ARM_REG_{name.upper()}") for name in NAMES]
NZCVQ_GE = 0xF80F_0000
CONFIGURATIONS = [(7, False), (7, True), (6, True), (6, False), (5, False), (4, False)]


class Machine:
    """Runs bodies; what they write is checked against where they may write."""

    def __init__(self, *, base: int = CODE + 0x100) -> None:
        self.uc = Uc(UC_ARCH_ARM, UC_MODE_ARM)
        self.base = base
        for address in (CODE, OUT, STACK, DATA):
            self.uc.mem_map(address, PAGE)
        self.uc.mem_write(DATA, b"\xa5" * PAGE)
        for address in (COUNTER, LOST):
            self.uc.mem_write(address, bytes(4))
        self.ring = Ring(RING, CAPACITY, 16)
        initialize(self.ring, self.write)
        self.lowest = STACK + PAGE
        self.uc.hook_add(UC_HOOK_CODE, lambda uc, *_: uc.emu_stop(), begin=OUT, end=OUT + PAGE - 1)
        self.uc.hook_add(UC_HOOK_MEM_WRITE, self._stack_written, begin=STACK, end=STACK + PAGE - 1)

    def _stack_written(self, _uc, _access, address, _size, _value, _data) -> None:
        self.lowest = min(self.lowest, address)

    def read(self, address: int, size: int) -> bytes:
        return bytes(self.uc.mem_read(address, size))

    def write(self, address: int, data: bytes) -> None:
        self.uc.mem_write(address, bytes(data))

    def word(self, address: int) -> int:
        return struct.unpack("<I", self.read(address, 4))[0]

    def enter(self, body: Body, registers: dict[str, int], symbols: dict[str, int]) -> dict[str, int]:
        """Set up what the caller of a body sets up; return the registers at its first word."""
        words, called = body.link(symbols)
        for index, function in called.items():
            words[index] = branch_word(self.base + 4 * index, function, cond=words[index] >> 28, link=True)
        for index, way in body.exits:
            distance = (EXITS[way] - self.base) // 4 - index - 2
            words[index] = words[index] & 0xFF000000 | distance & 0xFFFFFF
        self.write(self.base, struct.pack(f"<{len(words)}I", *words))
        state = dict(registers)
        stacked = 4 * sum(position >= 4 for position, _ in body.arguments)
        state["sp"] -= stacked
        for position, source in body.arguments:
            if position < 4:
                state[f"r{position}"] = registers[source]
            else:
                self.write(state["sp"] + 4 * (position - 4), struct.pack("<I", registers[source]))
        state["pc"] = self.base
        self.set_registers(state)
        return state

    def set_registers(self, state: dict[str, int]) -> None:
        # CPSR first: its mode decides which SP and LR are meant.
        for name in ("cpsr", *REGISTER_NAMES):
            self.uc.reg_write(UC_REGISTERS[NAMES.index(name)], state[name])

    def registers(self) -> dict[str, int]:
        return {name: self.uc.reg_read(number) for name, number in zip(NAMES, UC_REGISTERS, strict=True)}

    def run(self, body: Body, registers: dict[str, int], symbols: dict[str, int] | None = None) -> Exit | None:
        """Run a body; return the exit that it left by, after checking that nothing changed but what the body lists."""
        before = self.enter(body, registers, symbols or SYMBOLS)
        self.lowest = before["sp"]
        end = self.base + 4 * len(body.words)
        self.uc.emu_start(self.base, end, count=1_000_000)
        after = self.registers()
        left = ({place: way for way, place in EXITS.items()} | {end: None})[after["pc"]]
        assert left is None or left in {way for _, way in body.exits}
        for number, name in enumerate(NAMES[:15]):
            if not body.clobbers >> number & 1:
                assert after[name] == before[name], f"{name} changed, and is not among the clobbers"
        kept = NZCVQ_GE & ~((body.flags & 15 and 0xF000_0000) | (body.flags & 16 and 0x0800_0000))
        assert (after["cpsr"] ^ before["cpsr"]) & kept == 0, "flags changed that are not listed"
        assert before["sp"] - self.lowest <= body.stack, "more stack than listed"
        return left


def state(seed: int = 0, **given_registers: int) -> dict[str, int]:
    """Registers of a program; SP is aligned to four bytes only."""
    generator = random.Random(seed)
    registers = {name: generator.getrandbits(32) for name in NAMES}
    registers["cpsr"] = generator.getrandbits(5) << 27 | generator.getrandbits(4) << 16 | 0x10
    registers["sp"] = STACK + PAGE - 4 * generator.randrange(1, 9)
    return registers | {"pc": SYMBOLS["site"]} | given_registers


def fields(*names: str, kind: str = "x32"):
    return make_layout((name, name, TYPES[kind]) for name in names)


def test_a_counter_is_five_instructions_two_registers_and_no_flags():
    body = compile_actions((Count(),))
    assert [f"{word:08x}" for word in body.link({"counter": 0x12345678})[0]] == [
        "e3050678",  # movw r0, #0x5678
        "e3410234",  # movt r0, #0x1234
        "e5901000",  # ldr r1, [r0]
        "e2811001",  # add r1, r1, #1
        "e5801000",  # str r1, [r0]
    ]
    assert (body.clobbers, body.flags, body.stack, body.arguments, body.exits) == (0b11, 0, 0, (), ())


@pytest.mark.parametrize(("architecture", "atomic"), CONFIGURATIONS)
def test_a_counter_counts_and_wraps(architecture, atomic):
    machine = Machine()
    body = compile_actions((Count(),), architecture=architecture, atomic=atomic)
    for seed in range(5):
        machine.run(body, state(seed))
    assert machine.word(COUNTER) == 5
    machine.write(COUNTER, b"\xff" * 4)
    machine.run(body, state())
    assert machine.word(COUNTER) == 0


@pytest.mark.parametrize(
    ("name", "actions", "architecture", "atomic", "expected"),
    [
        ("count", (Count(),), 7, False, (5, 5)),
        ("count", (Count(),), 7, True, (7, 7)),
        ("count", (Count(),), 5, False, (5, 5)),
        ("count if r0 == 5", (Count(filter=Compare("==", Register("r0"), Constant(5))),), 7, False, (7, 7)),
        ("record", (Record(fields(), CAPACITY),), 7, False, (22, 14)),
        ("record r0 r1", (Record(fields("r0", "r1"), CAPACITY),), 7, False, (24, 16)),
        ("record r0 r1", (Record(fields("r0", "r1"), CAPACITY),), 7, True, (40, 24)),
        ("record r0 r1, stops", (Record(fields("r0", "r1"), CAPACITY, stops=True),), 7, False, (28, 19)),
        ("record r4 lr", (Record(fields("r4", "lr"), CAPACITY),), 7, False, (24, 16)),
    ],
)
def test_code_is_no_larger_and_no_slower_than_it_was(name, actions, architecture, atomic, expected):
    machine = Machine()
    body = compile_actions(actions, architecture=architecture, atomic=atomic)
    machine.enter(body, state(r0=5), SYMBOLS)
    steps = 0
    while machine.uc.reg_read(arm_const.UC_ARM_REG_PC) != machine.base + 4 * len(body.words):
        machine.uc.emu_start(machine.uc.reg_read(arm_const.UC_ARM_REG_PC), 0, count=1)
        steps += 1
    size, path = expected
    assert body.code <= size, f"{name}: {body.code} instructions, and it was {size}"
    assert steps <= path, f"{name}: {steps} instructions executed, and it was {path}"


def model_record(memory: bytearray, words: list[int]) -> bool:
    """What target code does to a ring at the start of `memory`; False when the record is lost."""
    write, read, lost, mask = struct.unpack_from("<4I", memory)
    if (write + len(words) - read) % 2**32 > mask + 1:
        struct.pack_into("<I", memory, 8, (lost + 1) % 2**32)
        return False
    struct.pack_into("<I", memory, 0, (write + len(words)) % 2**32)
    struct.pack_into(f"<{len(words)}I", memory, BUFFER + 4 * (write & mask), *words)
    return True


@pytest.mark.parametrize(("architecture", "atomic"), CONFIGURATIONS)
@pytest.mark.parametrize("stops", [False, True])
@pytest.mark.parametrize(
    "names",
    [(), ("r0", "r1"), ("r3",), ("r4", "lr"), ("sp", "cpsr", "pc"), ("lr", "r12", "r3", "r2", "cpsr"), NAMES[:15]],
)
def test_records_stand_in_the_ring_as_the_model_writes_them(architecture, atomic, stops, names):
    machine = Machine()
    layout = fields(*names)
    body = compile_actions((Record(layout, CAPACITY, stops=stops),), architecture=architecture, atomic=atomic)
    start = 2**32 - 7  # `write` wraps on the way
    machine.write(RING, struct.pack("<II", start, start))
    memory = bytearray(machine.read(RING, DATA + PAGE - RING))
    lost = 0
    for seed in range(3 * CAPACITY // layout.words + 2):
        registers = state(seed)
        words = [SYMBOLS["header"], *(registers[name] for name in names)]
        kept = model_record(memory, words)
        lost += not kept
        write, read = struct.unpack_from("<2I", memory)
        full = not kept or (write - read) % 2**32 > CAPACITY * 3 // 4
        result = machine.run(body, registers)
        assert result is (Exit.DRAIN if full and stops else None)
        assert machine.read(RING, DATA + PAGE - RING) == bytes(memory)
        assert machine.word(LOST) == lost
        if lost == 3:  # the reader comes by
            struct.pack_into("<I", memory, 4, write)
            machine.write(RING + 4, struct.pack("<I", write))
    assert lost, "the ring never ran full"


@pytest.mark.slow
@given(
    types=st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=8),
    seed=st.integers(0, 1000),
    architecture=st.sampled_from([5, 7]),
)
@settings(max_examples=40)
def test_fields_of_any_type_read_back_as_the_registers_were(types, seed, architecture):
    machine = Machine()
    sources = random.Random(seed).choices([*NAMES[:15], "cpsr", "pc"], k=len(types))
    layout = make_layout(
        (f"f{number}", source, TYPES[name]) for number, (source, name) in enumerate(zip(sources, types, strict=True))
    )
    body = compile_actions((Record(layout, CAPACITY),), architecture=architecture)
    registers = state(seed)
    header = make_header(9, layout.words)
    machine.run(body, registers, SYMBOLS | {"header": header})
    (record,) = drain(machine.ring, machine.read, machine.write).records
    assert int.from_bytes(record[:4], "little") == header
    for field in layout.fields:
        stored = int.from_bytes(record[field.offset : field.offset + field.type.size], "little")
        assert convert(field.type, stored) == convert(field.type, registers[field.source]), field


INTERESTING = [0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFF80]
operands = st.one_of(
    st.builds(Register, st.sampled_from(SOURCES), st.sampled_from(list(TYPES.values()))),
    st.builds(Constant, st.sampled_from([*INTERESTING, -1, -128, -32768, -(2**31), 69, 1500])),
)  # fmt: skip


@st.composite
def comparisons(draw):
    op = draw(st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "&"]))
    try:
        return Compare(op, draw(operands), draw(operands))
    except UsageError:
        return Compare(
            op, draw(st.builds(Register, st.sampled_from(["r0", "r5"]))), Constant(draw(st.sampled_from(INTERESTING)))
        )


conditions = st.recursive(
    comparisons(),
    lambda inner: st.one_of(st.builds(Not, inner), st.builds(And, inner, inner), st.builds(Or, inner, inner)),
    max_leaves=8,
)


@pytest.mark.slow
@given(condition=conditions, values=st.lists(st.sampled_from(INTERESTING), min_size=8, max_size=8), data=st.data())
@example(
    # A chain of equalities, which LLVM would like to look up in a table.
    condition=Or(*[Or(*[Or(*[Or(*[Compare("==", Register("r0"), Constant(n + 8 * m + 4 * k + 2 * j)) for n in (0, 1)])
                    for j in (0, 1)]) for k in (0, 1)]) for m in (0, 1)]),
    values=[0] * 8, data=None,
)  # fmt: skip
@settings(max_examples=60)
def test_filters_hold_in_the_target_as_on_the_host(condition, values, data):
    for architecture in (7, 5):
        machine, guards = Machine(), Machine()
        body = compile_actions((Stop(condition),), architecture=architecture)
        guard = compile_guard(condition, architecture=architecture)
        for seed in range(6):
            registers = state(seed, **dict(zip(("r0", "r1", "r3", "r4", "r5", "lr"), values[seed % 3 :], strict=False)))
            expected = Exit.STOP if holds(condition, registers.__getitem__) else None
            assert machine.run(body, registers) is expected, f"{condition} with {registers}"
            passed = guards.run(guard, registers) is Exit.HOLDS
            assert passed is (expected is not None), f"{condition} with {registers}"


@pytest.mark.slow
@given(
    kinds=st.lists(
        st.tuples(st.sampled_from(["count", "record", "stop"]), st.none() | conditions), min_size=1, max_size=4
    ),
    values=st.lists(st.sampled_from(INTERESTING), min_size=6, max_size=6),
    configuration=st.sampled_from(CONFIGURATIONS),
)
@settings(max_examples=40)
def test_any_actions_together_do_what_each_does(kinds, values, configuration):
    """Against a model of the whole data page: counters at its start, one ring for all records."""
    actions, symbols = [], dict(SYMBOLS)
    for number, (kind, condition) in enumerate(kinds):
        symbols |= {f"counter{number}": DATA + 4 * number, f"header{number}": make_header(number, 4)}
        if kind == "count":
            actions.append(Count(f"counter{number}", condition))
        elif kind == "record":
            layout = fields("r0", "r4", "lr")
            actions.append(Record(layout, CAPACITY, condition, stops=number % 2 == 0, header=f"header{number}"))
        else:
            actions.append(Stop(condition))
    architecture, atomic = configuration
    body = compile_actions(tuple(actions), architecture=architecture, atomic=atomic)
    machine = Machine()
    memory = bytearray(machine.read(DATA, PAGE))
    # The actions of one filter happen together, at the place of the first.
    order = sorted(range(len(actions)), key=lambda n: [action.filter for action in actions].index(actions[n].filter))
    for seed in range(20):
        registers = state(seed, **dict(zip(("r0", "r1", "r3", "r4", "r5", "lr"), values[seed % 5 :], strict=False)))
        wanted = None
        for number in order:
            action = actions[number]
            if action.filter is not None and not holds(action.filter, registers.__getitem__):
                continue
            if isinstance(action, Stop):
                wanted = Exit.STOP
            elif isinstance(action, Count):
                (count,) = struct.unpack_from("<I", memory, 4 * number)
                struct.pack_into("<I", memory, 4 * number, (count + 1) % 2**32)
            else:
                ring = memory[RING - DATA :]
                kept = model_record(ring, [make_header(number, 4), *(registers[name] for name in ("r0", "r4", "lr"))])
                memory[RING - DATA :] = ring
                if not kept:
                    (lost,) = struct.unpack_from("<I", memory, LOST - DATA)
                    struct.pack_into("<I", memory, LOST - DATA, lost + 1)
                write, read = struct.unpack_from("<2I", ring)
                if action.stops and (not kept or write - read > CAPACITY * 3 // 4):
                    wanted = wanted or Exit.DRAIN
        result = machine.run(body, registers, symbols)
        assert result is wanted, f"{actions} with {registers}"
        assert machine.read(DATA, PAGE) == bytes(memory), f"{actions} with {registers}"


@pytest.mark.parametrize(
    ("condition", "values", "expected"),
    [
        (Compare("<", Register("r0"), Constant(0x80000000)), {"r0": 0x7FFFFFFF}, True),
        (Compare("<", Register("r0"), Constant(1)), {"r0": 0xFFFFFFFF}, False),
        (Compare("<", Register("r0", TYPES["s32"]), Constant(1)), {"r0": 0xFFFFFFFF}, True),
        (Compare("==", Register("r0"), Constant(-1)), {"r0": 0xFFFFFFFF}, True),
        (Compare("==", Register("r0", TYPES["u8"]), Constant(0x45)), {"r0": 0x12345645}, True),
        (Compare("<", Register("r0", TYPES["s8"]), Constant(-2)), {"r0": 0xFD}, True),
        (Compare("<", Register("r0", TYPES["s8"]), Register("r1", TYPES["u16"])), {"r0": 0xFF, "r1": 0xFFFF}, True),
        (Compare("&", Register("r0"), Constant(6)), {"r0": 9}, False),
        (Compare("&", Register("r0"), Constant(6)), {"r0": 4}, True),
        (Not(Compare("==", Register("pc"), Constant(0))), {"pc": 0}, False),
    ],
)
def test_what_a_filter_means(condition, values, expected):
    assert holds(condition, values.__getitem__) is expected
    symbols = {"site": values.get("pc", 0)}
    assert Machine().run(compile_actions((Stop(condition),)), state(**values), symbols) is (
        Exit.STOP if expected else None
    )


def test_the_actions_of_a_site_are_one_body_and_each_keeps_its_filter():
    small = Compare("<", Register("r0"), Constant(10))
    odd = Compare("&", Register("r5"), Constant(1))
    actions = (
        Count(filter=small),
        Record(fields("r5", "r6"), CAPACITY, filter=odd, stops=True),
        Count("counter1", filter=odd),
        Stop(small),
    )
    body = compile_actions(actions)
    machine = Machine()
    machine.write(DATA, bytes(4))
    expected = [0, 0, 0]
    for seed in range(16):
        registers = state(seed, r0=seed, r5=seed >> 1)
        is_small, is_odd = seed < 10, seed >> 1 & 1
        expected = [expected[0] + is_small, expected[1] + is_odd, expected[2] + 3 * is_odd]
        result = machine.run(body, registers, SYMBOLS | {"counter1": DATA})
        assert result is (Exit.STOP if is_small else None)
        assert [machine.word(COUNTER), machine.word(DATA), machine.word(RING)] == expected


@pytest.mark.parametrize("architecture", [6, 7])
@pytest.mark.parametrize("action", [Count(), Record(fields("r0", "r1"), CAPACITY)])
def test_atomic_code_counts_exactly_when_it_is_interrupted_anywhere(architecture, action):
    """The interrupt runs the same body, twice, between any two instructions of the interrupted one."""
    body = compile_actions((action,), architecture=architecture, atomic=True)
    for at in range(1, 40):
        machine = Machine()
        machine.enter(body, state(r0=1, r1=1), SYMBOLS)
        machine.uc.emu_start(machine.base, machine.base + 4 * len(body.words), count=at)
        interrupted = machine.registers()
        for value in (2, 3):
            machine.run(body, state(r0=value, r1=value, sp=interrupted["sp"] - 64))
        machine.set_registers(interrupted)
        if interrupted["pc"] != machine.base + 4 * len(body.words):
            machine.uc.emu_start(interrupted["pc"], machine.base + 4 * len(body.words), count=1000)
        if isinstance(action, Count):
            assert machine.word(COUNTER) == 3, f"interrupted after {at} instructions"
        else:
            records = [
                struct.unpack("<3I", record) for record in drain(machine.ring, machine.read, machine.write).records
            ]
            assert sorted(records) == [(SYMBOLS["header"], n, n) for n in (1, 2, 3)], f"after {at} instructions"


@pytest.mark.parametrize(("architecture", "atomic"), CONFIGURATIONS)
def test_a_reader_that_comes_between_any_two_instructions_gets_whole_records(architecture, atomic):
    body = compile_actions((Record(fields("r0", "r1"), CAPACITY),), architecture=architecture, atomic=atomic)
    for at in range(1, 30):
        machine = Machine()
        end = machine.base + 4 * len(body.words)
        machine.run(body, state(r0=1, r1=1))
        machine.enter(body, state(r0=2, r1=2), SYMBOLS)
        machine.uc.emu_start(machine.base, end, count=at)
        records = list(drain(machine.ring, machine.read, machine.write).records)
        if (pc := machine.uc.reg_read(arm_const.UC_ARM_REG_PC)) != end:
            machine.uc.emu_start(pc, end, count=1000)
        records += drain(machine.ring, machine.read, machine.write).records
        assert [struct.unpack("<3I", record) for record in records] == [
            (SYMBOLS["header"], 1, 1),
            (SYMBOLS["header"], 2, 2),
        ], f"read after {at} instructions"


def test_a_body_runs_at_any_address():
    body = compile_actions((Record(fields("r0", "r1"), CAPACITY),), architecture=5)
    for base in (CODE, CODE + 4, CODE + PAGE - 4 * len(body.words)):
        machine = Machine(base=base)
        machine.run(body, state())
        assert machine.word(RING) == 3


def test_one_compilation_serves_all_sites_of_a_shape():
    first, second = (compile_actions((Count(), Record(fields("r0"), CAPACITY))) for _ in range(2))
    assert first is second


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: compile_actions(()), UsageError, "there are no actions to compile"),
        (
            lambda: compile_actions((Count(),), architecture=5, atomic=True),
            Refused,
            (
                "counting exactly on several CPUs or in interrupts needs load-exclusive, which came with "
                "architecture 6; this target has architecture 5"
            ),
        ),
        (
            lambda: compile_actions((Record(fields("r0"), 100),)),
            UsageError,
            "a ring of 100 words is no ring for records of 2 words",
        ),
    ],
)
def test_what_cannot_be_compiled_is_refused(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
