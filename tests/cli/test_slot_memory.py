from dataclasses import replace

import click
import pytest

from armprobe.cli.slot_memory import check_slots, missing_slots, to_slots
from armprobe.errors import UsageError
from armprobe.probes.spare_memory import why_not_spare
from armprobe.symbols.image import Image, Segment, Symbol
from armprobe.targets.base import Region
from armprobe.targets.fake import FakeTarget

IMAGE = Image("f", 0x8000, (Segment(0x8000, bytes(0x100), 0x100), Segment(0x20000000, bytes(0x10), 0x3000)))
FLASH = Region(0, 0x10000, writable=False, name="flash")


def test_memory_of_variables_is_the_programs_too():
    check_slots([Region(0x20003000, 0x20004000)], IMAGE)
    message = r"^--slots 0x20002000:0x20004000 overlaps the program, which is at 0x20000000\.\.0x20003000$"
    with pytest.raises(UsageError, match=message):
        check_slots([Region(0x20002000, 0x20004000)], IMAGE)


TOLD = "memory at 0x00008000..0x00009000, ram at 0x20000000..0x20040000"
RAM = Region(0x20000000, 0x20040000, name="ram")


def on_target(*regions: Region, known: bool = True) -> FakeTarget:
    target = FakeTarget([0xE1A00000] * 64, base=0x8000)
    for region in regions:
        target.map_memory(region)
    if not known:
        target.regions = (Region(0, 1 << 32, readable=False),)
    return target


class Forgetful(FakeTarget):
    """Says that it has written where there is no memory, as QEMU does."""

    def write_memory(self, address: int, data: bytes) -> None:
        if address < 0x20020000:
            super().write_memory(address, data)


def test_the_end_of_a_stack_that_the_linker_names_is_behind_the_program():
    stack = Symbol("stack_top", 0x20020000, function=False)
    error = missing_slots(replace(IMAGE, symbols=(stack,)), on_target(RAM))
    assert "--slots 0x20020000:0x20030000," in error.hint


def test_what_is_there_is_told_and_memory_proposed_that_was_tried():
    target = on_target(FLASH, RAM)
    before = target.read_memory(RAM.start, RAM.end - RAM.start)
    error = missing_slots(IMAGE, target)
    assert error.evidence.splitlines() == [
        "the program is at 0x00008000..0x00008100, 0x20000000..0x20003000",
        f"the stub tells of flash at 0x00000000..0x00010000, {TOLD}",
        "a branch reaches 32 MiB: memory further away costs more at each hit, and may leave traps",
        "0x20010000..0x20020000 takes writes, holds one value, and nothing points there",
    ]
    assert error.hint == "for example --slots 0x20010000:0x20020000, if neither heap nor stack come there"
    assert target.read_memory(RAM.start, RAM.end - RAM.start) == before


def test_memory_that_holds_data_is_pointed_to_or_is_the_stacks_is_not_proposed():
    target = on_target(FLASH, RAM)
    target.write_memory(0x20018000, b"data")
    target.write_memory(0x20000008, 0x20023456.to_bytes(4, "little"))
    registers = target.read_registers()
    registers.sp = 0x20040000
    target.write_registers(registers)
    error = missing_slots(IMAGE, target)
    assert error.evidence.splitlines()[3:] == [
        "0x20010000..0x20020000 is not to be had: it holds data",
        "0x20020000..0x20030000 is not to be had: the word at 0x20000008 points there",
        "0x20030000..0x20040000 is not to be had: the stack, now at 0x20040000, may grow into it",
    ]
    assert error.hint == "for example --slots START:END, or --slots NAME of a variable that is set aside"


def test_memory_that_does_not_keep_what_is_written_is_none():
    target = Forgetful([0xE1A00000] * 64, base=0x8000)
    target.map_memory(RAM)
    assert why_not_spare(target, IMAGE, Region(0x20020000, 0x20030000)) == (
        "it does not keep what is written to 0x20020000"
    )
    assert why_not_spare(target, IMAGE, Region(0x20010000, 0x20020000)) == ""


def test_memory_elsewhere_is_proposed_where_there_is_none_behind_the_program():
    far = Region(0x10000000, 0x10004000, name="ram")
    error = missing_slots(IMAGE, on_target(Region(0x20000000, 0x20008000, name="ram"), far))
    assert error.hint.startswith("for example --slots 0x10000000:0x10004000,")


def test_start_and_end_or_a_name_are_taken_and_nothing_else():
    option = click.Option(["--slots"])
    assert to_slots(None, option, ("0x100:0x200", "probe_memory")) == (
        Region(0x100, 0x200, name="slots"),
        "probe_memory",
    )
    for text in ("0x200:0x100", "0x100", "1:2:3", ":", ""):
        with pytest.raises(UsageError, match=r"^wanted START:END for --slots, with START below END, or the name of a"):
            to_slots(None, option, (text,))
