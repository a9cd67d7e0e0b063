"""A small program for probes, and sessions on it."""

from __future__ import annotations

from collections.abc import Sequence

from armprobe import Image, Region, Session, emulate

BASE = 0x8000
PASSES = 100
LOOP = BASE + 0x08
CONDITIONAL = BASE + 0x10
END = BASE + 0x28
#: Calls `double` PASSES times; every other pass adds 1 to r4 by a conditional instruction.
WORDS = (
    0xE3A00000,  # 8000 mov r0, #0
    0xE3A01064,  # 8004 mov r1, #100
    0xE2800001,  # 8008 add r0, r0, #1           LOOP
    0xE3110001,  # 800c tst r1, #1
    0x12844001,  # 8010 addne r4, r4, #1         CONDITIONAL
    0xE92D4003,  # 8014 push {r0, r1, lr}
    0xEB000003,  # 8018 bl double
    0xE8BD4003,  # 801c pop {r0, r1, lr}
    0xE2511001,  # 8020 subs r1, r1, #1
    0x1AFFFFF7,  # 8024 bne LOOP
    0xE1A00000,  # 8028 nop                      END
    0xE1A00080,  # 802c lsl r0, r0, #1           double
    0xE59F2000,  # 8030 ldr r2, [pc, #0]
    0xE12FFF1E,  # 8034 bx lr
    0x12345678,  # 8038
)
DOUBLE = BASE + 0x2C
LITERAL_LOAD = BASE + 0x30
RETURN = BASE + 0x34
INSTRUCTIONS = tuple(range(BASE, RETURN + 4, 4))


def start(words: Sequence[int] = WORDS, *, cpu: str | None = None, slots: Sequence[Region] = ()) -> Session:
    """A session on `words` at BASE in the emulator."""
    return emulate(Image.from_words(words, base=BASE), cpu=cpu, slots=slots)


def contents(session: Session) -> dict[int, bytes]:
    """All memory that the target has, by the start of its region."""
    target = session.target
    return {region.start: target.read_memory(region.start, region.end - region.start) for region in target.regions}


def final_state(session: Session) -> tuple[list[int], int]:
    """Registers and CPSR once END is reached."""
    session.run(until=END)
    return session.regs.values, session.regs.cpsr


def word_at(session: Session, address: int) -> int:
    """What really stands at `address` now."""
    return int.from_bytes(session.target.read_memory(address, 4), "little")
