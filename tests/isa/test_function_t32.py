"""Functions in T32: every instruction with its place in an IT block, or the reason why there is no telling."""

from __future__ import annotations

import re

import pytest

from armprobe.errors import Refused
from armprobe.isa.flow import exclusive_sequence_among
from armprobe.isa.function_t32 import decode_function

BASE = 0x8000
NOP, BX_LR, ITE_EQ, ADD = 0xBF00, 0x4770, 0xBF0C, 0x1888
LDREX, STREX, CLREX = (0xE851, 0x0F00), (0xE841, 0x0200), (0xF3BF, 0x8F2F)  # ldrex r0, [r1]; strex r2, r0, [r1]


def decoded(halves, *, data=(), end=None):
    code = {BASE + 2 * n: half for n, half in enumerate(halves)}
    function = (BASE, BASE + 2 * len(halves) if end is None else end)
    return decode_function(code.get, function, is_code=lambda place: (place - BASE) // 2 not in data)


def test_instructions_of_both_sizes_and_blocks_are_told_apart():
    instructions = decoded([NOP, 0xF8DF, 0x0004, ITE_EQ, ADD, ADD, BX_LR])
    assert [(place - BASE, insn.length, insn.it) for place, insn in instructions.items()] == [
        (0, 2, 0), (2, 4, 0), (6, 2, 0), (8, 2, 0x0C), (10, 2, 0x18), (12, 2, 0),
    ]  # fmt: skip


def test_data_is_left_out():
    assert list(decoded([BX_LR, 0xFFFF, 0xFFFF, NOP], data=(1, 2))) == [BASE, BASE + 6]


@pytest.mark.parametrize(
    ("halves", "keywords", "reason"),
    [
        ([ITE_EQ, ADD], {}, "the function breaks off at 0x00008004, within an instruction or an IT block"),
        ([NOP, 0xF8DF], {}, "the function breaks off at 0x00008004, within an instruction or an IT block"),
        ([ITE_EQ, ADD, 0xFFFF], {"data": (2,)}, "an IT block goes on at 0x00008004, which is data"),
        ([NOP], {"end": BASE + 4}, "0x00008002, in the same function, cannot be read"),
        ([NOP, 0xF8DF], {"end": BASE + 6}, "0x00008002, in the same function, cannot be read"),
        (
            [ITE_EQ, ITE_EQ, ADD],
            {},
            "the function cannot be followed: at 0x00008002, 0xbf0c is UNPREDICTABLE (IT_T1: in_it)",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused_with_the_reason(halves, keywords, reason):
    with pytest.raises(Refused, match=f"^{re.escape(reason)}$"):
        decoded(halves, **keywords)


#: 0 ldrex, 4 add, 6 strex, 10 cbnz r2, to ldrex, 12 bx lr
LOOP = [*LDREX, ADD, *STREX, 0x2A00, 0xD1F8, BX_LR]


@pytest.mark.parametrize(("offset", "found"), [(0, False), (4, True), (6, True), (10, False), (14, False)])
def test_a_place_between_load_and_store_exclusive_is_found(offset, found):
    sequence = exclusive_sequence_among(decoded(LOOP), BASE + offset)
    assert sequence == ((BASE, BASE + 6) if found else None)


def test_a_path_that_clears_the_monitor_ends():
    instructions = decoded([*LDREX, *CLREX, ADD, *STREX, BX_LR])
    assert exclusive_sequence_among(instructions, BASE + 8) is None


def test_a_store_exclusive_under_a_condition_may_be_passed():
    instructions = decoded([*LDREX, 0xBF08, *STREX, ADD, *STREX, BX_LR])  # it eq; strexeq
    assert exclusive_sequence_among(instructions, BASE + 10) == (BASE, BASE + 12)
