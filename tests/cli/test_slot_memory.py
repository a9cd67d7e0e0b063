from dataclasses import replace

import pytest

from armprobe.cli.slot_memory import check_slots, missing_slots
from armprobe.errors import UsageError
from armprobe.symbols.image import Image, Segment, Symbol
from armprobe.targets.base import Region

IMAGE = Image("f", 0x8000, (Segment(0x8000, bytes(0x100), 0x100), Segment(0x20000000, bytes(0x10), 0x3000)))
FLASH = Region(0, 0x10000, writable=False, name="flash")


def test_memory_of_variables_is_the_programs_too():
    check_slots([Region(0x20003000, 0x20004000)], IMAGE)
    message = r"^--slots 0x20002000:0x20004000 overlaps the program, which is at 0x20000000\.\.0x20003000$"
    with pytest.raises(UsageError, match=message):
        check_slots([Region(0x20002000, 0x20004000)], IMAGE)


def test_the_end_of_a_stack_that_the_linker_names_is_behind_the_program():
    stack = Symbol("stack_top", 0x20040000, function=False)
    error = missing_slots(replace(IMAGE, symbols=(stack,)), [])
    assert "--slots 0x20040000:0x20050000," in error.hint


@pytest.mark.parametrize(
    ("regions", "told", "example"),
    [
        ([Region(0, 1 << 32, readable=False)], "the stub does not tell what memory there is", "0x20010000:0x20020000"),
        (
            [FLASH, Region(0x20000000, 0x20040000, name="ram")],
            "the stub tells of flash at 0x00000000..0x00010000, ram at 0x20000000..0x20040000",
            "0x20010000:0x20020000",
        ),
        (
            [FLASH, Region(0x20000000, 0x20008000, name="ram"), Region(0x10000000, 0x10004000, name="ram")],
            (
                "the stub tells of flash at 0x00000000..0x00010000, ram at 0x20000000..0x20008000, ram at "
                "0x10000000..0x10004000"
            ),
            "0x10000000:0x10004000",
        ),
        (
            [FLASH, Region(0x20000000, 0x20008000, name="ram")],
            "the stub tells of flash at 0x00000000..0x00010000, ram at 0x20000000..0x20008000",
            "START:END",
        ),
    ],
)
def test_what_is_missing_is_told_with_what_is_there(regions, told, example):
    error = missing_slots(IMAGE, regions)
    assert error.evidence.splitlines()[:2] == [
        "the program is at 0x00008000..0x00008100, 0x20000000..0x20003000",
        told,
    ]
    assert error.hint == f"for example --slots {example}, if neither its heap nor its stack come there"
