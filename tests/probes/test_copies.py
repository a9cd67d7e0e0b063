"""A program that copies its code with probes in it: a copy is mended where that is proven, else the run ends there."""

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
@pytest.mark.parametrize("sites", [(SITE - 8, SITE, SITE + 8), (SITE,)], ids=["three", "one"])
def test_a_copy_of_probes_is_mended_and_the_program_comes_to_its_result(kind, sites):
    with armprobe.emulate(program()) as session:
        assert session.run() == Stop(StopReason.TRAP, COPY + 0x24)
        expected, code = session.regs, session.read_memory(COPY, 40)
    with armprobe.emulate(program()) as session:
        session.optimization = kind == "branch"
        probes = [session.count(site) for site in (*sites, START)]
        session.optimize_now()
        assert session.run() == Stop(StopReason.TRAP, COPY + 0x24)
        assert session.copies == tuple((site, site - START - 0x20 + COPY) for site in sites)
        assert session.regs.values == expected.values
        assert session.read_memory(COPY, 40) == code
        assert [probe.hits for probe in probes] == [0] * len(sites) + [1]


@pytest.mark.parametrize("kind", ["trap", "branch"])
def test_a_copy_that_may_be_none_ends_the_run_with_the_reason(kind):
    with armprobe.emulate(program()) as session:
        session.optimization = kind == "branch"
        session.count(SITE)
        session.optimize_now()
        assert session.run(until=COPY).reason is StopReason.ADDRESS
        session.target.write_memory(SITE_IN_COPY + 4, 0xE1A00000.to_bytes(4, "little"))  # nop
        stop = session.run()
        assert stop.reason is (StopReason.TRAP if kind == "trap" else StopReason.FAULT)
        assert stop.message == (
            f"the program copied code while probes were in it: 0x02000110 holds a copy of the {kind} at 0x00010030; "
            "probe code that moves itself after it has moved"
        )
        assert session.copies == ()


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
