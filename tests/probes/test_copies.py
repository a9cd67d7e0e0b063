"""A program that copies its code with probes in it ends where it runs into one, and the run says why."""

from __future__ import annotations

import pytest

import armprobe
from armprobe.symbols.image import Image, Segment
from armprobe.targets.base import Stop, StopReason

START, COPY = 0x10000, 0x2000100
SITE, SITE_IN_COPY = START + 0x30, COPY + 0x10
WORDS = (
    0xE28F1018,  # 00 add  r1, pc, #0x18: the function
    0xE59F003C,  # 04 ldr  r0, [pc, #0x3c]: where its copy goes
    0xE3A0200A,  # 08 mov  r2, #10
    0xE4913004,  # 0c ldr  r3, [r1], #4
    0xE4803004,  # 10 str  r3, [r0], #4
    0xE2522001,  # 14 subs r2, r2, #1
    0x1AFFFFFB,  # 18 bne  0c
    0xE59FF024,  # 1c ldr  pc, [pc, #0x24]: the copy
    0xE2844001,  # 20 add  r4, r4, #1
    0xE2855002,  # 24 add  r5, r5, #2
    0xE2866003,  # 28 add  r6, r6, #3
    0xE2877004,  # 2c add  r7, r7, #4
    0xE2888005,  # 30 add  r8, r8, #5
    0xE2899006,  # 34 add  r9, r9, #6
    0xE28AA007,  # 38 add  r10, r10, #7
    0xE28BB008,  # 3c add  r11, r11, #8
    0xE28CC009,  # 40 add  r12, r12, #9
    0xE1200070,  # 44 bkpt #0
    COPY,
)


def program(words: tuple[int, ...] = WORDS) -> Image:
    """The code, the page it is copied to, and one beyond, so that nothing is next to the copy."""
    code = b"".join(word.to_bytes(4, "little") for word in words)
    places = (Segment(START, code, len(code)), Segment(COPY & -4096, b"", 4096), Segment(0x4000000, b"", 4))
    return Image("moves", START, places)


@pytest.mark.parametrize("kind", ["trap", "branch"])
def test_copy_of_a_probe_ends_the_run_with_the_reason(kind):
    with armprobe.emulate(program()) as session:
        session.optimization = kind == "branch"
        # The second and the third probe have neighbours of their own: the right one is found by what is around it.
        for site in (SITE - 8, SITE, SITE + 8):
            session.count(site)
        session.count(START)
        session.optimize_now()
        stop = session.run(until=COPY)
        # The copy of the first probe is mended, so that the second one is reached.
        session.target.write_memory(SITE_IN_COPY - 8, WORDS[10].to_bytes(4, "little"))
        assert stop.reason is StopReason.ADDRESS
        stop = session.run()
        assert stop.reason is (StopReason.TRAP if kind == "trap" else StopReason.FAULT)
        assert stop.message == (
            f"the program copied code while probes were in it: 0x02000110 holds a copy of the {kind} at 0x00010030; "
            "probe code that moves itself after it has moved"
        )


def test_trap_of_the_program_itself_is_not_taken_for_a_copy():
    with armprobe.emulate(program()) as session:
        session.optimization = False
        session.count(START)
        assert session.run() == Stop(StopReason.TRAP, COPY + 0x24)


def test_fault_of_the_program_itself_is_not_taken_for_a_copy():
    words = (*WORDS[:-2], 0xE7F000F0, COPY)  # udf #0
    with armprobe.emulate(program(words)) as session:
        session.count(START)
        session.optimize_now()
        stop = session.run()
        assert (stop.reason, stop.pc, stop.access) == (StopReason.FAULT, COPY + 0x24, "undefined")
        assert "copied" not in stop.message
