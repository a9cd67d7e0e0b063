"""Arguments at the first instruction of functions are where the procedure call standard puts them."""

from __future__ import annotations

from functools import partial

import pytest
from tests.symbols.dwarf.programs import DEMO, LEVELS, image

from armprobe.symbols.arguments import argument_places
from armprobe.symbols.dwarf.entry import follow_entry
from armprobe.symbols.image import Image
from armprobe.symbols.table import SymbolTable

PROGRAMS = {"demo": lambda: Image.load(DEMO / "demo.elf")} | {level: partial(image, level) for level in LEVELS}


@pytest.mark.parametrize("load", PROGRAMS.values(), ids=PROGRAMS)
def test_debug_information_and_the_standard_agree_at_the_entry(load):
    """Also where the debug information tells what an argument is once the first statements are done."""
    program = load()
    table = SymbolTable.from_image(program)
    seen = 0
    for symbol in table.symbols:
        scope = table.scope(symbol.address) if symbol.function and "." not in symbol.name else None
        if scope is None:
            continue
        types = [variable.type for variable in scope.parameters]
        expected = argument_places(types, scope.result, hard_float=False)
        for variable, place in zip(scope.parameters, expected, strict=True):
            if not variable.place.reason:
                size = min(4, variable.type.size)
                assert variable.place.part(0, size) == place.part(0, size), (symbol.name, variable)
                seen += 1
    assert seen >= 30


def words(*code: int) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in code)


def test_what_the_first_instructions_do_is_followed_up_to_the_first_branch():
    code = words(
        0xE92D4800,  # push {fp, lr}
        0xE28DB004,  # add fp, sp, #4
        0xE24DD018,  # sub sp, sp, #24
        0xE50B0010,  # str r0, [fp, #-16]
        0xE1A03001,  # mov r3, r1
        0xE54B3011,  # strb r3, [fp, #-17]
        0x050B2018,  # streq r2, [fp, #-24]
        0xE3A01000,  # mov r1, #0
        0xEB000000,  # bl
        0xE3A00000,  # mov r0, #0
    )
    straight = follow_entry(0x8000, code)
    assert sorted(straight.states) == list(range(0x8000, 0x8024, 4))
    assert straight.at(0x8024) is None
    last = straight.last
    assert last.stack == {"sp": -32, "r11": -4}
    assert last.stored == frozenset([*range(-8, 0), *range(-20, -16), -21])  # not what is stored under a condition
    assert straight.at(0x8014).register_with("r1") == "r1"
    assert (last.register_with("r1"), last.register_with("r0")) == ("r3", "r0")


def test_behind_the_target_of_a_branch_registers_may_hold_anything():
    code = words(
        0xE92D4000,  # push {lr}
        0xE50D0004,  # str r0, [sp, #-4]
        0xE2811001,  # add r1, r1, #1, the target
        0xE3510009,  # cmp r1, #9
        0x1AFFFFFC,  # bne to it
        0xE12FFF1E,  # bx lr
    )
    straight = follow_entry(0x8000, code)
    assert straight.at(0x8004).register_with("r2") == "r2"
    assert straight.at(0x8008).register_with("r2") is None
    assert straight.at(0x8010).stack["sp"] == -4
    assert set(range(-8, -4)) <= straight.last.stored
