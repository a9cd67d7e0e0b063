"""Where functions are left: every form, and what is refused because it is not certain."""

from __future__ import annotations

import re
import struct

import pytest

from armprobe.errors import Refused
from armprobe.isa.exits import Exit, find_exits, reached_exits

START = 0x8000
NOP, RETURN = 0xE1A00000, 0xE12FFF1E


def exits(*words: int, refusals: dict[int, str] | None = None, end: int | None = None) -> list[Exit]:
    code = struct.pack(f"<{len(words)}I", *words)
    last = START + len(code) if end is None else end
    refused = {START + 4 * number: why for number, why in (refusals or {}).items()}
    return find_exits(
        code, START, refusal=lambda place: refused.get(place, ""), inside=lambda place: START <= place < last
    )


def reached(*words: int) -> list[int] | None:
    return reached_exits(struct.pack(f"<{len(words)}I", *words), START)


@pytest.mark.parametrize(
    ("word", "popped"),
    [
        (0xE12FFF1E, 0),  # bx lr
        (0xE1A0F00E, 0),  # mov pc, lr
        (0xE8BD8010, 8),  # pop {r4, pc}
        (0xE8BD8FF0, 36),  # pop {r4, ..., r11, pc}
        (0xE49DF004, 4),  # ldr pc, [sp], #4
        (0xEA000010, 0),  # b outside
    ],
)
def test_each_way_out_is_found_with_what_it_pops(word, popped):
    assert exits(NOP, word) == [Exit(START + 4, popped)]


def test_conditional_ways_out_are_found_and_ways_within_are_not():
    words = (
        0x012FFF1E,  # bxeq lr
        0x08BD8010,  # popeq {r4, pc}
        0x0A000010,  # beq outside
        0x0A000000,  # beq within
        0xEBFFFFFE,  # bl itself
        0xE12FFF33,  # blx r3
        0x979FF103,  # ldrls pc, [pc, r3, lsl #2]
        0x908FF103,  # addls pc, pc, r3, lsl #2
        0xE7F001F2,  # udf: BUG()
        RETURN,
    )
    assert exits(*words) == [Exit(START), Exit(START + 4, 8), Exit(START + 8), Exit(START + 36)]


@pytest.mark.parametrize(
    "word",
    [
        0xE12FFF13,  # bx r3
        0xE1A0F003,  # mov pc, r3
        0xE593F000,  # ldr pc, [r3]
        0xE89DA800,  # ldm sp, {r11, sp, pc}
        0xE5BDF004,  # ldr pc, [sp, #4]!
    ],
)
def test_what_leads_nobody_knows_where_is_refused(word):
    message = "it is left at 0x00008000, and that place is an instruction of which it is not known where it leads"
    with pytest.raises(Refused, match=f"^{re.escape(message)}$"):
        exits(word, RETURN)


def test_data_is_no_way_out():
    data = "a constant that code loads, not an instruction"
    assert exits(RETURN, 0xC05CF000, 0xFFFFFFFF, refusals={1: data, 2: data}) == [Exit(START)]


def test_a_way_out_that_takes_no_probe_is_refused():
    with pytest.raises(Refused, match=r"^it is left at 0x00008004, and that place is entry code$"):
        exits(NOP, RETURN, refusals={1: "entry code"})


def test_a_function_that_runs_on_into_the_next_is_refused():
    with pytest.raises(Refused, match=r"^control runs on from 0x00008008 into what follows the function$"):
        exits(0x012FFF1E, NOP, NOP)
    assert exits(RETURN, NOP, refusals={1: "zero: a gap"}) == [Exit(START)]
    assert exits(0x012FFF1E, 0xEB000000) == [Exit(START)]  # a call that does not come back


def test_part_of_a_function_elsewhere_belongs_to_it():
    assert exits(0x0A000010, RETURN, end=START + 0x1000) == [Exit(START + 4)]


def test_function_is_followed_through_its_branches_and_past_its_calls_and_data():
    conditional, call, conditional_return, back = 0x0A000001, 0xEB000100, 0x112FFF1E, 0xEAFFFFF9
    data_like_a_return = RETURN
    words = NOP, conditional, call, RETURN, conditional_return, back, data_like_a_return
    assert reached(*words) == [START + 12, START + 16]


def test_function_that_runs_on_or_branches_elsewhere_is_left_there():
    assert reached(NOP, NOP) == [START + 4]
    assert reached(0x0A000010, RETURN) == [START, START + 4]


def test_function_with_an_instruction_that_is_not_known_has_no_certain_end():
    assert reached(NOP, 0xFFFFFFFF, RETURN) is None
