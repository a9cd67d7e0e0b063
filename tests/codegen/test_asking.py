"""The routine by which a thread asks the host, executed: what the host sees, and with what the thread goes on."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field

import pytest
from unicorn import UC_ARCH_ARM, UC_HOOK_INTR, UC_MODE_ARM, Uc
from unicorn.arm_const import (
    UC_ARM_REG_CPSR,
    UC_ARM_REG_LR,
    UC_ARM_REG_PC,
    UC_ARM_REG_R0,
    UC_ARM_REG_SP,
    UC_CPU_ARM_1176,
    UC_CPU_ARM_CORTEX_A15,
)

from armprobe.codegen.asking import ROUTINE, Question, build_asking, emit_ask, emit_ask_at_pad
from armprobe.codegen.assembler import Assembler
from armprobe.targets.mailboxlayout import (
    ANSWERED,
    ASKED,
    CALLS,
    CONTENT,
    DATA,
    DATA_SIZE,
    DECLINED,
    ENTRIES,
    ENTRY_SIZE,
    FREE,
    LINK,
    MASK,
    PROCESS,
    SIZE,
    SLEEPS,
    STATES,
    STORES,
    TAKEN,
    WAITS,
    WORK,
    WORK_ARGUMENTS,
)

_CODE, _CALLER, _MAILBOX, _STACK, _ELSEWHERE = 0x10000, 0x20000, 0x30000, 0x50000, 0x60000
_COUNTER = _ELSEWHERE + 0x100
_PROCESS, _OLD_MASK = 1234, 0x1122334455667788
_BLOCKED = 0xFFFFFFFF00000000
_GETPID, _NANOSLEEP, _SIGPROCMASK, _FUTEX = 20, 162, 175, 240
_FOR_THE_HOST = 192
_FLAGS = 0xF80F0000
_REGISTERS = [*(UC_ARM_REG_R0 + number for number in range(13)), UC_ARM_REG_SP, UC_ARM_REG_LR]


@dataclass
class Machine:
    """One thread that asks, and its kernel, in which `answer` is called when the thread sleeps."""

    architecture: int
    process: int = _PROCESS
    at_pad: bool = False
    counter: int = _COUNTER
    calls: list[int] = field(default_factory=list)
    masks: list[int] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    state: int = ANSWERED
    answer: list[int] | None = None
    #: what the thread does before it is answered: a state and the words of it; and the results
    work: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)
    arguments: list[int] = field(default_factory=list)
    results: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.uc = Uc(UC_ARCH_ARM, UC_MODE_ARM)
        self.uc.ctl_set_cpu_model(UC_CPU_ARM_1176 if self.architecture == 6 else UC_CPU_ARM_CORTEX_A15)
        for start in (_CODE, _CALLER, _MAILBOX, _STACK - 0x1000, _ELSEWHERE):
            self.uc.mem_map(start, 0x10000 if start == _MAILBOX else 0x1000)
        self.uc.mem_write(_CODE, build_asking(_CODE, _MAILBOX, architecture=self.architecture).data)
        asm = Assembler(_CALLER, architecture=self.architecture)
        if self.at_pad:
            asm.push_below(14, 8)
            asm.call(_CALLER + 8)
            emit_ask_at_pad(asm, Question(_CODE + ROUTINE, _COUNTER))
        else:
            emit_ask(asm, Question(_CODE + ROUTINE, self.counter))
        self.end = asm.here
        self.uc.mem_write(_CALLER, asm.finish().data)
        self.put(PROCESS, _PROCESS)
        self.uc.mem_write(_MAILBOX + MASK, struct.pack("<Q", _BLOCKED))
        self.uc.hook_add(UC_HOOK_INTR, self.system_call)

    def get(self, offset: int) -> int:
        return int.from_bytes(self.uc.mem_read(_MAILBOX + offset, 4), "little")

    def put(self, offset: int, value: int) -> None:
        self.uc.mem_write(_MAILBOX + offset, value.to_bytes(4, "little"))

    def system_call(self, uc: Uc, _number: int, _data: object) -> None:
        r0, r1, r2, r3 = (uc.reg_read(UC_ARM_REG_R0 + number) for number in range(4))
        self.calls.append(uc.reg_read(UC_ARM_REG_R0 + 7))
        result = 0
        match self.calls[-1]:
            case 20:
                result = self.process
            case 175:
                assert (r0, r3) == (2, 8)
                self.masks.append(int.from_bytes(uc.mem_read(r1, 8), "little"))
                if r2:
                    uc.mem_write(r2, _OLD_MASK.to_bytes(8, "little"))
            case 240 if r1 == 0:
                self.host(r0, r2)
            case 240:
                assert (r0, r1, r2) == (_MAILBOX + ASKED, 1, 1)
            case 162:
                self.put(STATES + 4, FREE)  # another thread goes on
            case number if number == _FOR_THE_HOST:
                self.arguments = [uc.reg_read(UC_ARM_REG_R0 + number) for number in range(6)]
                result = 0xFFFFFFEA
        uc.reg_write(UC_ARM_REG_R0, result)

    def host(self, place: int, expected: int) -> None:
        """What the host does when the thread sleeps on the state of its entry."""
        offset = place - _MAILBOX
        entry = (offset - STATES) // 4
        assert expected == self.get(offset) == WAITS
        content = _MAILBOX + CONTENT + ENTRY_SIZE * entry
        if self.calls.count(_FUTEX) > 1:
            self.results.append(self.get(content - _MAILBOX + WORK))
        if self.work:
            state, words = self.work.pop(0)
            self.uc.mem_write(content + WORK, struct.pack(f"<{len(words)}I", *words))
            self.put(offset, state)
            return
        self.seen = list(struct.unpack("<17I", self.uc.mem_read(content, 68)))
        if self.answer is not None:
            self.uc.mem_write(content, struct.pack("<17I", *self.answer))
        self.put(offset, self.state)

    def run(self, registers: list[int], flags: int, *, until: int) -> tuple[list[int], int]:
        """From the place that asks; give the registers and flags at the end."""
        for register, value in zip(_REGISTERS, registers, strict=True):
            self.uc.reg_write(register, value)
        self.uc.reg_write(UC_ARM_REG_CPSR, self.uc.reg_read(UC_ARM_REG_CPSR) & ~_FLAGS | flags)
        self.uc.emu_start(_CALLER, until, count=2000)
        assert self.uc.reg_read(UC_ARM_REG_PC) == until
        return [self.uc.reg_read(register) for register in _REGISTERS], self.uc.reg_read(UC_ARM_REG_CPSR) & _FLAGS


def some_registers(seed: int) -> tuple[list[int], int]:
    words = random.Random(seed)
    registers = [words.getrandbits(32) for _ in _REGISTERS]
    registers[13] = _STACK - 256 + 4 * words.randrange(32)
    return registers, words.getrandbits(32) & _FLAGS


@pytest.fixture(params=[6, 7], ids=["architecture 6", "architecture 7"])
def architecture(request) -> int:
    return request.param


@pytest.mark.parametrize("sleeps", [False, True], ids=["the host is awake", "the host sleeps"])
def test_the_host_sees_all_registers_and_its_answer_is_taken(architecture: int, sleeps: bool):
    machine = Machine(architecture)
    machine.put(SLEEPS, sleeps)
    registers, flags = some_registers(1)
    after, new_flags = some_registers(2)
    after[13] = 0xDEAD0004  # no stack of the thread
    machine.answer = [*after, _ELSEWHERE, new_flags | 0x10]
    assert machine.run(registers, flags, until=_ELSEWHERE) == (after, new_flags)
    assert machine.seen[:15] == registers
    assert (machine.seen[15], machine.seen[16] & _FLAGS) == (_CALLER + LINK, flags)
    wake = [_FUTEX] if sleeps else []
    assert machine.calls == [_GETPID, _SIGPROCMASK, *wake, _FUTEX, _SIGPROCMASK]
    assert machine.masks == [_BLOCKED, _OLD_MASK]
    assert (machine.get(STATES), machine.get(ASKED)) == (FREE, 1)


@pytest.mark.parametrize("at_pad", [False, True], ids=["in a detour", "at a pad"])
def test_a_thread_that_is_sent_on_has_the_registers_of_the_answer_but_for_sp(architecture: int, at_pad: bool):
    machine = Machine(architecture, at_pad=at_pad, state=DECLINED)
    registers, flags = some_registers(3)
    after, new_flags = some_registers(4)
    machine.answer = [*after, 0, new_flags | 0x10]
    found, found_flags = machine.run(registers, flags, until=machine.end)
    assert (found[:13], found_flags) == (after[:13], new_flags)
    assert machine.seen[:15] == registers
    if at_pad:
        # LR leads behind the pad, and that of the program is on the stack.
        assert (machine.seen[15], found[13], found[14]) == (_CALLER + LINK, registers[13] - 8, _CALLER + 8)
        assert int.from_bytes(machine.uc.mem_read(found[13], 4), "little") == after[14]
    else:
        assert (found[13], found[14]) == (registers[13], after[14])
    assert machine.masks == [_BLOCKED, _OLD_MASK]
    assert machine.get(STATES) == FREE
    assert bytes(machine.uc.mem_read(_COUNTER, 4)) == bytes(4)  # it was answered


@pytest.mark.parametrize("counter", [_COUNTER, 0], ids=["counted", "not counted"])
def test_a_child_asks_nobody_and_goes_on_as_it_came(architecture: int, counter: int):
    machine = Machine(architecture, process=_PROCESS + 1, counter=counter)
    machine.uc.mem_write(_COUNTER, (41).to_bytes(4, "little"))
    registers, flags = some_registers(5)
    assert machine.run(registers, flags, until=machine.end) == (registers, flags)
    assert machine.calls == [_GETPID]
    assert machine.get(ASKED) == 0
    assert int.from_bytes(machine.uc.mem_read(_COUNTER, 4), "little") == (42 if counter else 41)


def test_an_entry_that_another_thread_has_is_passed_over(architecture: int):
    machine = Machine(architecture, state=DECLINED)
    machine.put(STATES, WAITS)
    registers, flags = some_registers(6)
    assert machine.run(registers, flags, until=machine.end) == (registers, flags)
    assert (machine.get(STATES), machine.get(STATES + 4)) == (WAITS, FREE)


def test_a_thread_that_finds_no_entry_sleeps_until_there_is_one(architecture: int):
    machine = Machine(architecture, state=DECLINED)
    for entry in range(ENTRIES):
        machine.put(STATES + 4 * entry, TAKEN)
    registers, flags = some_registers(7)
    assert machine.run(registers, flags, until=machine.end) == (registers, flags)
    assert machine.calls == [_GETPID, _SIGPROCMASK, _NANOSLEEP, _FUTEX, _SIGPROCMASK]
    assert machine.get(STATES + 4) == FREE


def test_the_parts_of_a_mailbox_do_not_overlap():
    assert STATES + 4 * ENTRIES <= CONTENT
    assert CONTENT + ENTRY_SIZE * ENTRIES == DATA
    assert DATA + DATA_SIZE == SIZE
    assert WORK + 4 * (1 + WORK_ARGUMENTS) <= ENTRY_SIZE


def test_a_thread_that_waits_makes_calls_and_stores_words_for_the_host(architecture: int):
    machine = Machine(architecture)
    registers, flags = some_registers(7)
    machine.work = [
        (CALLS, (_FOR_THE_HOST, 11, 12, 13, 14, 15, 16)),
        (STORES, (_ELSEWHERE + 8, _ELSEWHERE + 20, _MAILBOX + DATA)),
    ]
    machine.uc.mem_write(_MAILBOX + DATA, b"three words!and more")
    machine.answer = [*registers, _ELSEWHERE, flags | 0x10]
    assert machine.run(registers, flags, until=_ELSEWHERE) == (registers, flags)
    assert machine.arguments == [11, 12, 13, 14, 15, 16]
    assert machine.results[0] == 0xFFFFFFEA
    assert machine.uc.mem_read(_ELSEWHERE, 32) == bytes(8) + b"three words!" + bytes(12)
    # It asked, and told twice that it waits again.
    assert machine.get(ASKED) == 3
    assert machine.masks == [_BLOCKED, _OLD_MASK]
