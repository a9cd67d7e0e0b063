"""Which thread makes a system call: one that goes on afterwards as if it had not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from armprobe.errors import TargetError, TargetFault
from armprobe.targets.base import CPSR_T, Registers
from armprobe.targets.callingthread import calling_thread

SVC, THUMB_SVC, KUSER = 0x8000, 0x9002, 0xFFFF0FC4
CODE = {SVC: 0xEF000000, SVC + 4: 0xE1A00000, THUMB_SVC: 0xDF00}
NANOSLEEP, READ = 162, 3


def stands(pc: int, *, thumb: bool = False, r7: int = READ, r12: int = 0xBEEF) -> Registers:
    registers = Registers([0] * 16, CPSR_T if thumb else 0)
    registers.pc, registers.r7, registers.values[12] = pc, r7, r12
    return registers


class Process:
    """A stopped process: the stub, and its threads, in one."""

    name = "the program"

    def __init__(self, threads: Mapping[int, Registers | None], *, told: int | None, held: int = 0) -> None:
        self.threads, self.told, self._held, self._registers = self, told, held, threads

    def ids(self) -> list[int]:
        return list(self._registers)

    def is_held(self, thread: int) -> bool:
        return thread == self._held

    def read_registers(self, thread: int) -> Registers:
        registers = self._registers[thread]
        if registers is None:
            raise TargetError("the stub answers E01")
        return registers

    def read_memory(self, address: int, size: int) -> bytes:
        if address not in CODE:
            raise TargetFault("nothing is there", address=address, size=size)
        return CODE[address].to_bytes(4, "little")[:size]


def chosen(threads: Mapping[int, Registers | None], *, told: int | None = None, held: int = 0) -> int:
    return calling_thread(Process(threads, told=told, held=held))[0]  # type: ignore[arg-type]


def test_the_thread_whose_stop_was_told_makes_it_wherever_it_stands():
    elsewhere = stands(0x7000)
    for place in (stands(0x7000), stands(SVC + 4), stands(SVC, r7=READ), stands(KUSER), stands(0x7000, r12=1)):
        assert chosen({1: place, 2: elsewhere}, told=1) == 1


@pytest.mark.parametrize(
    "registers",
    [
        pytest.param(stands(SVC + 4), id="behind a call"),
        pytest.param(stands(THUMB_SVC + 2, thumb=True), id="behind a call of Thumb code"),
        pytest.param(stands(SVC + 4, r12=0), id="before the kernel begins"),
        pytest.param(stands(0x7000, r12=1), id="behind sigreturn"),
        pytest.param(None, id="ended"),
    ],
)
def test_another_thread_makes_none_where_it_may_be_in_a_call(registers: Registers | None):
    assert chosen({1: registers, 2: stands(KUSER)}) == 2
    with pytest.raises(TargetError) as failed:
        chosen({1: registers})
    assert failed.value.message == (
        "no thread of the program can make a system call: each of them may be in one of its own"
    )
    assert failed.value.hint == "let it run for a moment"


def test_a_thread_in_vfork_makes_none():
    assert chosen({1: stands(0x7000), 2: stands(0x7000)}, held=1) == 2


def test_a_wait_is_begun_anew_only_where_there_is_no_other_thread():
    waits, other = stands(SVC, r7=NANOSLEEP), stands(0x7000)
    assert chosen({1: waits, 2: other}, told=1) == 2
    assert chosen({1: waits, 2: stands(SVC + 4)}, told=1) == 1


def test_a_thread_about_to_begin_a_call_can_make_one():
    assert chosen({1: stands(SVC), 2: stands(SVC + 4)}) == 1


@pytest.mark.parametrize(("place", "size", "thumb"), [(SVC, 4, False), (THUMB_SVC, 2, True)])
@pytest.mark.parametrize("error", [512, 513, 514, 516])
def test_behind_an_interrupted_call_a_thread_begins_it_anew_afterwards(place: int, size: int, thumb: bool, error: int):
    registers = stands(place + size, thumb=thumb, r12=1)
    registers.r0 = -error & 0xFFFFFFFF
    program = Process({1: stands(SVC + 4), 2: registers}, told=None)
    thread, after = calling_thread(program, {2: 0x1234}.get)  # type: ignore[arg-type]
    assert (thread, after.pc, after.r0, after.r7) == (2, place, 0x1234, READ)
    with pytest.raises(TargetError):
        calling_thread(program)  # type: ignore[arg-type]
