"""Debian's U-Boot for the machine `virt`: real firmware that nobody here wrote, and names for some of its functions.

The package's ELF file is stripped. Its own tables name functions, though, and are found by their layout: commands
(`struct cmd_tbl`: name, most arguments, repeatable function, function, usage, ...) and drivers (`struct driver`: name,
class, compatible strings, eight functions, four sizes, operations, flags).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from armprobe.symbols import Image, Symbol

DIRECTORY = Path(__file__).parents[2] / ".cache/debian/all/u-boot-qemu/usr/lib/u-boot/qemu_arm"
#: where it moves itself to on a machine with 128 MiB of RAM; `bdinfo` calls it "reloc off"
RELOCATION = 0x47F38000

_COMMAND, _DRIVER = struct.Struct("<5I"), struct.Struct("<17I")
_METHODS = (
    "bind",
    "probe",
    "remove",
    "unbind",
    "of_to_plat",
    "child_post_bind",
    "child_pre_probe",
    "child_post_remove",
)
_SERIAL_OPERATIONS = ("setbrg", "getc", "putc", "puts", "pending")  # struct dm_serial_ops; puts may be missing
_LOWEST = 0x1000


def load() -> Image:
    """The image, linked at 0, with symbols such as `do_version` and `serial_pl01x.putc`.

    Skips the test when the package was not fetched.
    """
    if not (DIRECTORY / "uboot.elf").exists():
        pytest.skip("needs Debian's U-Boot: run scripts/fetch-debian.sh")
    image = Image.load(DIRECTORY / "uboot.elf")
    found = dict(_functions(image.segments[0].data))
    symbols = tuple(Symbol(name, address) for name, address in found.items())
    return Image(image.name, image.entry, image.segments, symbols)


def _functions(data: bytes) -> Iterator[tuple[str, int]]:
    def is_code(address: int) -> bool:
        return address % 4 == 0 and _LOWEST < address < len(data)

    for offset in range(0, len(data) - _DRIVER.size, 4):
        name, most, repeatable, function, usage = _COMMAND.unpack_from(data, offset)
        if most <= 100 and is_code(repeatable) and is_code(function) and _LOWEST < usage < len(data):
            if (text := _text(data, name)).isalnum() and text.islower():
                yield f"do_{text}", function
        name, kind, _, *methods, size1, size2, size3, size4, operations, flags = _DRIVER.unpack_from(data, offset)
        if kind > 200 or max(size1, size2, size3, size4, flags) > 0xFFFF or not any(methods):
            continue
        if all(method == 0 or is_code(method) for method in methods) and (text := _text(data, name)):
            yield from ((f"{text}.{call}", at) for call, at in zip(_METHODS, methods, strict=True) if at)
            if text == "serial_pl01x":
                yield from (
                    (f"{text}.{call}", at)
                    for call, at in zip(_SERIAL_OPERATIONS, struct.unpack_from("<5I", data, operations), strict=True)
                    if at
                )


def _text(data: bytes, address: int) -> str:
    """The name at `address`; empty when there is none."""
    text = data[address : address + 32].split(b"\0")[0]
    return text.decode() if address > _LOWEST and text.replace(b"_", b"").replace(b"-", b"").isalnum() else ""
