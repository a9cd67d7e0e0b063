"""A board in QEMU whose stub does not mask interrupts in single steps: nothing is counted twice, nobody is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.targets.contract import BASE
from tests.targets.qemu_board import board, raw

from armprobe import Image, Region, Session, StopReason
from armprobe.isa.branch import branch_word
from armprobe.symbols.table import SymbolTable
from armprobe.targets.gdbremote import GdbRemoteTarget

#: A timer interrupts 400 passes of a loop, each of which adds 1 to a variable; interrupts are counted, too.
WORDS = (
    0xE321F0D2,  # 8000 msr CPSR_c, #210
    0xE3A0D802,  # 8004 mov sp, #131072
    0xE321F0D3,  # 8008 msr CPSR_c, #211
    0xE3A0D803,  # 800c mov sp, #196608
    0xE3A04A09,  # 8010 mov r4, #36864
    0xE59F5058,  # 8014 ldr r5, [pc, #88]
    0xE59F1058,  # 8018 ldr r1, [pc, #88]
    0xE3A00010,  # 801c mov r0, #16
    0xE5810010,  # 8020 str r0, [r1, #16]
    0xE3A0003C,  # 8024 mov r0, #60
    0xE5850000,  # 8028 str r0, [r5]
    0xE3A000E2,  # 802c mov r0, #226
    0xE5850008,  # 8030 str r0, [r5, #8]
    0xE3A06E19,  # 8034 mov r6, #400
    0xE321F053,  # 8038 msr CPSR_c, #83
    0xE5940100,  # 803c ldr r0, [r4, #256]   loop
    0xE2800001,  # 8040 add r0, r0, #1
    0xE5840100,  # 8044 str r0, [r4, #256]
    0xE2566001,  # 8048 subs r6, r6, #1
    0x1AFFFFFA,  # 804c bne 3c
    0xE321F0D3,  # 8050 msr CPSR_c, #211
    0xEAFFFFFE,  # 8054 b 54   done
    0xE92D0003,  # 8058 push {r0, r1}   handler
    0xE5941104,  # 805c ldr r1, [r4, #260]
    0xE2811001,  # 8060 add r1, r1, #1
    0xE5841104,  # 8064 str r1, [r4, #260]
    0xE585000C,  # 8068 str r0, [r5, #12]
    0xE8BD0003,  # 806c pop {r0, r1}
    0xE25EF004,  # 8070 subs pc, lr, #4
    0x101E2000,  # 8074 .word 0x101e2000
    0x10140000,  # 8078 .word 0x10140000
)
LOOP, DONE, HANDLER = BASE + 0x3C, BASE + 0x54, BASE + 0x58
PASSES, VARIABLE, INTERRUPTS = 400, 0x9100, 0x9104
IRQ_VECTOR = 0x18
IMAGE = Image.from_words(WORDS, base=BASE)
RAM = Region(0, 0x40000, name="ram")
SLOTS = Region(0x200000, 0x201000, name="slots")
UNDEFINED = 0xE7F000F0.to_bytes(4, "little") * 0x400
pytestmark = pytest.mark.slow


@pytest.fixture
def target(tmp_path: Path) -> Iterator[GdbRemoteTarget]:
    # Time is that of instructions, so that interrupts come at the same ones each time.
    options = ["-cpu", "cortex-a8", "-icount", "shift=10,sleep=off", *raw(WORDS, tmp_path / "code.bin", base=BASE)]
    with board(*options, machine="versatilepb") as running:
        target = GdbRemoteTarget.connect(running.address)
        # As QEMU offers it to GDB's `maintenance packet`: steps as such, with interrupts and timers.
        assert target.ask(b"Qqemu.sstep=0x1") == b"OK"
        target.write_memory(IRQ_VECTOR, branch_word(IRQ_VECTOR, HANDLER).to_bytes(4, "little"))
        target.write_memory(SLOTS.start, UNDEFINED)
        yield target
        target.detach()


def start(target: GdbRemoteTarget) -> Session:
    return Session(target, symbols=SymbolTable.from_image(IMAGE), slots=[SLOTS], image=IMAGE)


def word(target: GdbRemoteTarget, address: int) -> int:
    return int.from_bytes(target.read_memory(address, 4), "little")


def test_an_access_before_which_an_interrupt_came_is_seen_once(target: GdbRemoteTarget):
    seen: list[tuple[int, int]] = []
    interrupted = 0
    last = 0
    with start(target) as session:

        def on_access(access: object) -> None:
            nonlocal interrupted, last
            now = word(target, INTERRUPTS)
            interrupted, last = interrupted + (now != last), now
            seen.append((access.old, access.value))

        watch = session.watch(VARIABLE, on_access)
        assert session.run(until=DONE).reason is StopReason.ADDRESS
        assert seen == [(number, number + 1) for number in range(PASSES)]
        assert watch.hits == word(target, VARIABLE) == PASSES
        watch.remove()
    assert interrupted > 10


def test_a_thread_is_led_out_of_a_slot_though_an_interrupt_comes_before_each_step(target: GdbRemoteTarget):
    offset, passed = 0, 0
    while True:
        session = start(target)
        session.count(LOOP + 4)
        session.optimize_now()
        code = session.explain(LOOP + 4).code
        if code.base + offset > code.way_back:
            break
        target.run(lambda _: False, until=code.base + offset)
        before = word(target, INTERRUPTS)
        session.close()
        passed += word(target, INTERRUPTS) - before
        assert session.in_place == (), f"at 0x{code.base + offset:08x}"
        assert target.read_memory(SLOTS.start, len(UNDEFINED)) == UNDEFINED
        offset += 4
    session.close()
    assert passed > 20, "no interrupts came on the way out"
    assert target.run(lambda _: False, until=DONE).reason is StopReason.ADDRESS
    assert word(target, VARIABLE) == PASSES
