"""Debian's U-Boot for the machine `virt`: real firmware that nobody here wrote, and names for some of its functions.

The package's ELF file is stripped. The functions behind its commands are named in its own command table, though: an
array of seven words an entry (name, most arguments, repeatable function, function, usage, help, completion).
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from armprobe.symbols import Image, Symbol

DIRECTORY = Path(__file__).parents[2] / ".cache/debian/all/u-boot-qemu/usr/lib/u-boot/qemu_arm"
_ENTRY = struct.Struct("<7I")


def load() -> Image:
    """The image, with a symbol `do_NAME` for each command; skips the test when the package was not fetched."""
    if not (DIRECTORY / "uboot.elf").exists():
        pytest.skip("needs Debian's U-Boot: run scripts/fetch-debian.sh")
    image = Image.load(DIRECTORY / "uboot.elf")
    return Image(image.name, image.entry, image.segments, command_symbols(image.segments[0].data))


def command_symbols(data: bytes) -> tuple[Symbol, ...]:
    """The functions of the commands in U-Boot's binary `data`, linked at address 0, by scanning for the table."""
    symbols = {}
    for offset in range(0, len(data) - _ENTRY.size, 4):
        name, most, repeatable, function, usage, *_ = _ENTRY.unpack_from(data, offset)
        if most > 100 or repeatable % 4 or function % 4 or not 0 < max(name, repeatable, function, usage) < len(data):
            continue
        text = data[name : name + 32].split(b"\0")[0]
        # The name stands directly before the usage text, or at least is one word of lower case letters.
        if text.isalnum() and text.islower() and repeatable > 0x1000 and function > 0x1000 and usage:
            symbols.setdefault("do_" + text.decode(), function)
    return tuple(Symbol(name, address) for name, address in symbols.items())
