"""A limit holds for code that was translated before, in a run without one."""

from __future__ import annotations

from armprobe.symbols.image import Image
from armprobe.targets.base import StopReason
from armprobe.targets.unicorn import UnicornTarget

LOOP = (
    0xE2800001,  # 8000: add r0, r0, #1
    0xE3500C01,  # 8004: cmp r0, #256
    0x1AFFFFFC,  # 8008: bne 8000
    0xE3A00000,  # 800c: mov r0, #0
    0xEAFFFFFA,  # 8010: b 8000
)


def test_a_limit_holds_behind_a_run_without_one():
    target = UnicornTarget.from_image(Image.from_words(LOOP, base=0x8000))
    calls = []

    def stop_at_trap(address: int) -> bool:
        calls.append(address)
        return False

    trap = target.trap.to_bytes(4, "little")
    target.write_memory(0x800C, trap)
    assert target.run(stop_at_trap).reason is StopReason.TRAP
    target.write_memory(0x800C, LOOP[3].to_bytes(4, "little"))
    target.code_sync.synchronize([(0x800C, 0x8010)])
    steps = [target.run(stop_at_trap, limit=1).pc for _ in range(6)]
    assert [hex(pc) for pc in steps] == ["0x8010", "0x8000", "0x8004", "0x8008", "0x8000", "0x8004"]
