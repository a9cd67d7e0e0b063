"""What the branch at a T32 site displaces: proven by execution, or refused with the reason."""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random

import pytest

from armprobe.errors import Refused
from armprobe.isa.relocate import relocate_run
from armprobe.patching.window_t32 import BRANCH_SIZE, find_window

BASE = 0x8000
NOP, BX_LR, ADD, PUSH, POP = 0xBF00, 0x4770, 0x1888, 0xB510, 0xBD10
IT_EQ, ITTE_NE = 0xBF08, 0xBF1A
MOVW = (0xF240, 0x1034)  # movw r0, #0x134


def find(halves, offset, *, data=()):
    code = {BASE + 2 * n: half for n, half in enumerate(halves)}
    return find_window(
        code.get,
        BASE + offset,
        function=(BASE, BASE + 2 * len(halves)),
        is_code=lambda place: (place - BASE) // 2 not in data,
    )


@pytest.mark.parametrize(
    ("halves", "offset", "lengths"),
    [
        ([NOP, *MOVW, BX_LR], 2, [4]),
        ([*MOVW, NOP, BX_LR], 0, [4]),
        ([PUSH, ADD, NOP, POP], 2, [2, 2]),
        ([PUSH, ADD, *MOVW, POP], 2, [2, 4]),
        ([PUSH, IT_EQ, ADD, POP], 2, [2, 2]),
        ([PUSH, IT_EQ, *MOVW, POP], 2, [2, 4]),
        ([PUSH, ITTE_NE, ADD, *MOVW, ADD, POP], 2, [2, 2, 4, 2]),
        ([PUSH, ADD, IT_EQ, ADD, POP], 2, [2, 2, 2]),
        ([PUSH, IT_EQ, *MOVW, POP], 4, [4]),  # the last of its block may be a branch
        ([PUSH, ADD, 0xF000, 0xF800, POP], 2, [2, 4]),  # a call as the second returns behind the branch
    ],
)
def test_the_window_holds_what_loses_bytes_and_whole_blocks(halves, offset, lengths):
    window = find(halves, offset)
    assert [insn.length for insn in window.insns] == lengths
    assert window.places[0] == BASE + offset
    assert window.end == BASE + offset + sum(lengths)


@pytest.mark.parametrize(
    ("halves", "offset", "reason"),
    [
        ([NOP, *MOVW, BX_LR], 4, "no instruction of the function begins at 0x00008004"),
        (
            [ITTE_NE, ADD, ADD, ADD, BX_LR],
            2,
            "0x00008002 lies in an IT block, and only the last instruction of one may be a branch",
        ),
        (
            [IT_EQ, ADD, NOP, BX_LR],
            2,
            "0x00008002 has 16 bits and ends an IT block: the branch would depend on its condition",
        ),
        ([PUSH, 0x4780, NOP, POP], 2, "the call at 0x00008002 returns into the window"),
        ([PUSH, ADD, POP], 4, "0x00008006, the second half of a branch, is not code of the function"),
        ([PUSH, ADD, NOP, 0xD0FD, POP], 2, "the branch at 0x00008006 goes to the branch's second half, 0x00008004"),
        ([PUSH, ADD, NOP, 0x4718, POP], 2, "the indirect branch at 0x00008006 may go to the branch's second half"),
        (
            [PUSH, ADD, NOP, 0xE8DF, 0xF000, POP],
            2,
            "the indirect branch at 0x00008006 may go to the branch's second half",
        ),
        ([0x4686, ADD, NOP, BX_LR], 2, "the return at 0x00008006 goes where LR says, which 0x00008000 sets"),
        (
            [PUSH, ADD, NOP, 0xF85F, 0x0008, POP],
            2,
            "0x00008006 uses the address 0x00008000, which lies in the window, as data",
        ),
        (
            [0xE851, 0x0F00, ADD, NOP, 0xE841, 0x0200, BX_LR],
            4,
            "0x00008004 lies between the load-exclusive at 0x00008000 and the store-exclusive at 0x00008008",
        ),
    ],
)
def test_a_place_that_bears_no_branch_is_refused_with_the_reason(halves, offset, reason):
    with pytest.raises(Refused, match=f"^{re.escape(reason)}$"):
        find(halves, offset)


def test_what_cannot_reach_the_middle_of_one_instruction_is_not_asked_for():
    assert find([*MOVW, 0x4718, BX_LR], 0).insns[0].length == BRANCH_SIZE  # bx r3


def test_code_that_ends_in_data_is_refused():
    with pytest.raises(Refused, match=r"^0x00008006, the second half of a branch, is not code of the function$"):
        find([PUSH, NOP, POP, 0x1234], 4, data=(3,))


# Execution: a function with a branch at each of its places does what it does without.

#: instructions without memory and branches; some set flags, and some do so outside of a block only
PIECES = [
    (0x1888,), (0x4288,), (0x3201,), (0x2300,), (0x006C,), (0x4140,), (0xBF00,), (0xEB01, 0x0002), (0xEBB3, 0x0F04),
    (0xF240, 0x1534), (0xF1B3, 0x0601),
    (0x4678,), (0xA101,), (0x4479,),  # mov r0, pc; adr r1, . + 8; add r1, pc
]  # fmt: skip


def some_function(random: Random) -> list[int]:
    halves: list[int] = []
    while len(halves) < 24:
        if random.random() < 0.4:
            length = random.randint(1, 4)
            cond, mask = random.randrange(14), random.getrandbits(4) >> 5 - length << 5 - length | 1 << 4 - length
            halves.append(0xBF00 | cond << 4 | mask & 15)
        else:
            length = 1
        for _ in range(length):
            halves += random.choice(PIECES)
    return [*halves, BX_LR]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_function_with_a_branch_at_each_place_does_what_it_does_without(seed):
    random = Random(seed)
    halves = some_function(random)
    branched = noticed = 0
    for offset in range(0, 2 * len(halves) - 2, 2):
        try:
            window = find(halves, offset)
        except Refused:
            continue
        branched += 1
        plans = relocate_run(window.insns, window.address)
        less = (*plans[:-1], replace(plans[-1], steps=()))  # what a copy without its last instruction leads to
        for state in range(4):
            values = [random.getrandbits(32) for _ in range(8)]
            plain = run(halves, values, state)
            assert run(halves, values, state, site=window.address, plans=plans) == plain, f"at 0x{window.address:x}"
            noticed += run(halves, values, state, site=window.address, plans=less) != plain
    assert branched >= 8
    assert noticed > branched


def run(halves, values, flags, *, site=0, plans=()):
    """Registers and flags at the end of the function, with a branch at `site` to the copy that `plans` make."""
    import unicorn
    from unicorn import arm_const as arm

    from armprobe.codegen.assembler_t32 import AssemblerT32
    from armprobe.isa.branch_t32 import branch_t32

    copy, stop = 0x20000, 0x30000
    uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB)
    for base in (BASE, copy, stop, 0x40000):
        uc.mem_map(base, 0x1000)
    uc.mem_write(BASE, b"".join(half.to_bytes(2, "little") for half in halves))
    if plans:
        asm = AssemblerT32(copy)
        asm.emit_run(plans)
        asm.emit_jump(plans[-1].way_back)
        uc.mem_write(copy, asm.finish())
        uc.mem_write(site, branch_t32("b.w", site, copy))
    uc.reg_write(arm.UC_ARM_REG_CPSR, flags << 29 | 0x30)
    for number, value in enumerate(values):
        uc.reg_write(arm.UC_ARM_REG_R0 + number, value)
    uc.reg_write(arm.UC_ARM_REG_SP, 0x40800)
    uc.reg_write(arm.UC_ARM_REG_LR, stop | 1)
    uc.emu_start(BASE | 1, stop)
    cpsr = uc.reg_read(arm.UC_ARM_REG_CPSR)
    return [uc.reg_read(arm.UC_ARM_REG_R0 + number) for number in range(13)] + [uc.reg_read(arm.UC_ARM_REG_SP), cpsr]
