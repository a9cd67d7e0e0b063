"""Two tasks on a board in QEMU: one sleeps in a slot, with its PC in memory only, when a session ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.probes.interrupted import Notes
from tests.targets.contract import BASE
from tests.targets.qemu_board import SLOTS, board, raw

from armprobe import Image, Region, Session, StopReason
from armprobe.isa.branch import branch_word
from armprobe.probes.recovery import recover
from armprobe.symbols.table import SymbolTable
from armprobe.targets.base import Registers, Target
from armprobe.targets.gdbremote import GdbRemoteTarget

#: `svc` switches between two tasks in user mode. The context of a task is r0 to r14, PC and CPSR.
WORDS = (
    0xE3A0D803,  # 8000 mov sp, #196608
    0xE321F0D0,  # 8004 msr CPSR_c, #208
    0xE3A0D802,  # 8008 mov sp, #131072
    0xE3A06064,  # 800c mov r6, #100
    0xE2844001,  # 8010 add r4, r4, #1   first
    0xEF000000,  # 8014 svc 0x00000000
    0xE0844006,  # 8018 add r4, r4, r6
    0xE2566001,  # 801c subs r6, r6, #1
    0x1AFFFFFA,  # 8020 bne 8010
    0xEAFFFFFE,  # 8024 b 8024   done
    0xE2855003,  # 8028 add r5, r5, #3   second
    0xEF000000,  # 802c svc 0x00000000
    0xEAFFFFFC,  # 8030 b 8028
    0xE92D0003,  # 8034 push {r0, r1}   handler
    0xE3A00A09,  # 8038 mov r0, #36864
    0xE5901200,  # 803c ldr r1, [r0, #512]
    0xE581E03C,  # 8040 str lr, [r1, #60]
    0xE14FE000,  # 8044 mrs lr, SPSR
    0xE581E040,  # 8048 str lr, [r1, #64]
    0xE281E008,  # 804c add lr, r1, #8
    0xE8CE7FFC,  # 8050 stmia lr, {r2-r14}^
    0xE8BD000C,  # 8054 pop {r2, r3}
    0xE881000C,  # 8058 stm r1, {r2, r3}
    0xE2211C01,  # 805c eor r1, r1, #256
    0xE5801200,  # 8060 str r1, [r0, #512]
    0xE591E040,  # 8064 ldr lr, [r1, #64]
    0xE16FF00E,  # 8068 msr SPSR_fsxc, lr
    0xE1A0E001,  # 806c mov lr, r1
    0xE8DE7FFF,  # 8070 ldm lr, {r0-r14}^
    0xE320F000,  # 8074 nop {0}
    0xE59EE03C,  # 8078 ldr lr, [lr, #60]
    0xE1B0F00E,  # 807c movs pc, lr
    0xE3E04000,  # 8080 mvn r4, #0   lost
    0xEAFFFFE6,  # 8084 b 8024
)
FIRST, YIELD, DONE, SECOND, HANDLER, LOST = (BASE + offset for offset in (0x10, 0x14, 0x24, 0x28, 0x34, 0x80))
CONTEXTS, CURRENT = (0x9000, 0x9100), 0x9200
IMAGE = Image.from_words(WORDS, base=BASE)
#: the tasks have their contexts and stacks here
RAM = Region(0, 0x40000, name="ram")
#: what `first` computes: 1 and what is left of 100 passes, in each
RESULT = 100 + sum(range(1, 101))
UNDEFINED = 0xE7F000F0.to_bytes(4, "little") * 0x4000
pytestmark = pytest.mark.slow


@pytest.fixture
def target(tmp_path: Path) -> Iterator[GdbRemoteTarget]:
    with board("-m", "16", *raw(WORDS, tmp_path / "code.bin", base=BASE)) as running:
        target = GdbRemoteTarget.connect(running.address)
        begin(target)
        yield target
        target.detach()


def begin(target: Target) -> None:
    """Let the first task be about to begin. Whoever runs into a slot that is gone comes to LOST."""
    for vector, place in ((4, LOST), (8, HANDLER)):
        target.write_memory(vector, branch_word(vector, place).to_bytes(4, "little"))
    target.write_memory(SLOTS.start, UNDEFINED)
    save(target, CONTEXTS[1], Registers([0] * 13 + [0x21000, 0, SECOND], 0x1D0))
    target.write_memory(CURRENT, CONTEXTS[0].to_bytes(4, "little"))
    target.write_registers(Registers([0] * 15 + [BASE], 0x1D3))
    target.run(lambda _: False, until=FIRST)


def save(target: Target, context: int, registers: Registers) -> None:
    words = [*registers.values, registers.cpsr]
    target.write_memory(context, b"".join(word.to_bytes(4, "little") for word in words))


def preempt(target: Target) -> None:
    """Switch to the other task, as an interrupt would."""
    current = int.from_bytes(target.read_memory(CURRENT, 4), "little")
    save(target, current, target.read_registers())
    other = current ^ CONTEXTS[0] ^ CONTEXTS[1]
    words = memoryview(target.read_memory(other, 68)).cast("I").tolist()
    target.write_memory(CURRENT, other.to_bytes(4, "little"))
    target.write_registers(Registers(words[:16], words[16]))


def start(target: Target) -> Session:
    return Session(target, symbols=SymbolTable.from_image(IMAGE), slots=[SLOTS], image=IMAGE)


def result(target: Target) -> int:
    assert target.run(lambda _: False, until=DONE).reason is StopReason.ADDRESS
    return target.read_registers().r4


def assert_kept(session: Session) -> None:
    """The end of the session says whose PC is in a slot; all but the memory for slots is as it was."""
    session.close()
    assert [slot.where for slot in session.in_place] == [f"the word at 0x{CONTEXTS[0] + 60:08x}"]
    assert session.target.read_memory(BASE, 4 * len(WORDS)) == IMAGE.segments[0].data


def test_a_task_that_was_preempted_anywhere_in_a_detour_goes_on_after_the_session(target: GdbRemoteTarget):
    assert result(target) == RESULT
    for depth in range(40):
        begin(target)
        session = start(target)
        session.count(FIRST)
        session.optimize_now()
        target.run(lambda _: False, limit=depth + 1)
        asleep = target.read_registers().pc in SLOTS
        preempt(target)
        if asleep:
            assert_kept(session)
        else:
            session.close()
            assert target.read_memory(SLOTS.start, len(UNDEFINED)) == UNDEFINED
        assert result(target) == RESULT, f"preempted after {depth + 1} instructions"
        if not asleep:
            break
    assert depth > 3


def test_a_task_that_gave_way_by_a_copied_svc_goes_on_after_the_session(target: GdbRemoteTarget):
    session = start(target)
    yields = session.count(YIELD)
    session.optimize_now()
    session.run(until=SECOND)
    assert yields.hits == 1
    assert_kept(session)
    assert result(target) == RESULT


def test_a_slot_in_which_a_task_sleeps_is_not_used_again_within_the_session(target: GdbRemoteTarget):
    few = Region(SLOTS.start, SLOTS.start + 0x100, name="slots")
    for depth in range(40):
        begin(target)
        session = Session(target, symbols=SymbolTable.from_image(IMAGE), slots=[few], image=IMAGE)
        first = session.count(FIRST)
        session.optimize_now()
        target.run(lambda _: False, limit=depth + 1)
        asleep = target.read_registers().pc in SLOTS
        preempt(target)
        first.unregister()
        used = 0
        for _ in range(7):
            other = session.count(SECOND)
            session.optimize_now()
            code = session.explain(SECOND).code
            assert code is not None
            used += code.end - code.base
            other.unregister()
        assert used > few.end - few.start, "nothing was used again"
        if asleep:
            assert_kept(session)
        else:
            session.close()
            assert session.in_place == ()
        assert result(target) == RESULT, f"preempted after {depth + 1} instructions"
        if not asleep:
            break
    assert depth > 3


def test_the_memory_is_given_back_later_when_the_task_is_awake(target: GdbRemoteTarget):
    target.journal = notes = Notes()
    session = start(target)
    session.count(YIELD)
    session.optimize_now()
    session.run(until=SECOND)
    assert_kept(session)
    assert not notes.left.unfinished
    asleep = recover(target, notes.left)
    assert [slot.where for slot in asleep.in_place] == [f"the word at 0x{CONTEXTS[0] + 60:08x}"]
    assert asleep.complete
    assert result(target) == RESULT
    assert recover(target, notes.left).in_place == []
    assert target.read_memory(SLOTS.start, len(UNDEFINED)) == UNDEFINED
    assert not notes.left
