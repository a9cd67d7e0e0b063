"""Call frame information, held against the library's reading of it and against hand-made entries."""

from __future__ import annotations

import io
import struct
from types import SimpleNamespace

import pytest
from elftools.elf.elffile import ELFFile
from tests.symbols.dwarf.programs import LEVELS, built

from armprobe.isa.insn import REGISTER_NAMES
from armprobe.symbols.dwarf.expressions import NoValue
from armprobe.symbols.dwarf.frames import Frames


@pytest.mark.parametrize("level", LEVELS)
def test_rules_are_those_that_the_library_finds(level):
    dwarf = ELFFile(io.BytesIO(built(level).read_bytes())).get_dwarf_info()
    frames, compared = Frames(dwarf), 0
    for entry in dwarf.CFI_entries():
        if type(entry).__name__ != "FDE":
            continue
        start, rows = entry["initial_location"], entry.get_decoded().table
        for address in range(start, start + entry["address_range"], 4):
            rule = [row["cfa"] for row in rows if row["pc"] <= address][-1]
            assert frames.rule(address) == (REGISTER_NAMES[rule.reg], rule.offset)
            compared += 1
    assert compared > 300


def section(*instructions: int, augmentation: bytes = b"", size: int = 64) -> Frames:
    """Frames of one function at 0x8000, whose CFA is SP at first."""
    cie = struct.pack("<IB", 0xFFFFFFFF, 3) + augmentation + b"\0" + bytes([2, 0x7C, 14, 0x0C, 13, 0])
    cie += bytes(-len(cie) % 4)
    body = bytes(instructions) + bytes(-len(instructions) % 4)
    entry = struct.pack("<III", 0, 0x8000, size) + body
    data = struct.pack("<I", len(cie)) + cie + struct.pack("<I", len(entry)) + entry
    stream = SimpleNamespace(debug_frame_sec=SimpleNamespace(stream=io.BytesIO(data)), has_EH_CFI=lambda: False)
    return Frames(stream)


def test_every_kind_of_instruction_is_followed():
    frames = section(
        0x42, 0x0E, 8,                    # from 0x8004 on: offset 8
        0x8E, 1, 0x05, 11, 2, 0x42,       # registers saved; 0x8008
        0x0A, 0x0D, 11, 0x42,             # remembered, then r11 + 8; 0x800c
        0x12, 13, 0x7E, 0x42,             # sp + -2 * -4; 0x8010
        0x0B, 0x02, 2,                    # as remembered: sp + 8; 0x8014
        0x13, 0x7C, 0x10, 4, 2, 0x30, 0x31, 0x2E, 4, 0x03, 2, 0,  # sp + 16; 0x8018
        0x0F, 2, 0x7D, 4,                 # an expression
    )  # fmt: skip
    assert [frames.rule(address) for address in range(0x8000, 0x8018, 4)] == [
        ("sp", 0), ("sp", 8), ("r11", 8), ("sp", 8), ("sp", 8), ("sp", 16),
    ]  # fmt: skip
    with pytest.raises(NoValue, match="computed in a way that is not followed"):
        frames.rule(0x8018)


def test_frames_of_signal_handlers_are_no_hindrance():
    assert section(0x42, 0x0E, 8, augmentation=b"S").rule(0x8004) == ("sp", 8)


@pytest.mark.parametrize("address", [0x7FFC, 0x8040])
def test_code_without_an_entry_has_no_frame(address):
    with pytest.raises(NoValue, match="there is no call frame information for this code"):
        section().rule(address)
