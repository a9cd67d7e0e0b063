"""Files that name the places of a Linux kernel: vmlinuz, vmlinux, System.map, a copy of /proc/kallsyms."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from armprobe.errors import UsageError
from armprobe.symbols.debuginfo import DebugInfo
from armprobe.symbols.image import Image, Symbol
from armprobe.symbols.kallsyms import find_banner, read_tables, read_text

_ELF = b"\x7fELF"
#: arch/arm/boot/compressed/head.S: a zImage has the second at the offset
_ZIMAGE_OFFSET, _ZIMAGE = 0x24, b"\x18\x28\x6f\x01"
_GZIP, _XZ = b"\x1f\x8b\x08", b"\xfd7zXZ\0"
#: a file of another kernel has hardly a symbol where this one has it
_MOST_DIFFERENT = 0.01


@dataclass(frozen=True, slots=True)
class KernelImage:
    """What a file says of a kernel: its symbols, and its version line ("" where the file does not say)."""

    name: str
    symbols: tuple[Symbol, ...]
    banner: str = ""
    debug: tuple[DebugInfo, ...] = ()


def load_kernel_image(path: str | Path) -> KernelImage:
    """Read a vmlinuz, a vmlinux, a System.map, or a copy of /proc/kallsyms.

    Raises UsageError for another file, one that names nothing, and a vmlinuz that is compressed otherwise than by gzip
    or xz.
    """
    data, name = Path(path).read_bytes(), Path(path).name
    if data[:4] == _ELF:
        image = Image.load(path)
        if not image.symbols:
            raise UsageError(f"{name} has no symbols: they were stripped", hint="give System.map, or the vmlinuz")
        return KernelImage(name, image.symbols, find_banner(data), image.debug)
    if data[_ZIMAGE_OFFSET : _ZIMAGE_OFFSET + 4] == _ZIMAGE:
        for unpacked in _unpacked(data):
            if banner := find_banner(unpacked):
                return KernelImage(name, read_tables(unpacked), banner)
        raise UsageError(f"{name} holds no kernel that was compressed by gzip or xz", hint="give its System.map")
    return KernelImage(name, read_text(data))


def check_running(image: KernelImage, banner: str, symbols: Iterable[Symbol]) -> None:
    """Raise UsageError unless the file is of the kernel that runs, which says `banner` and `symbols` of itself.

    `symbols` may be empty: then only a banner tells.
    """
    problem = ""
    if image.banner and image.banner != banner:
        problem = f"the file says\n  {image.banner}\nand the kernel that runs\n  {banner}"
    wanted = [(symbol.name, symbol.address) for symbol in symbols if symbol.function]
    known = {(symbol.name, symbol.address) for symbol in image.symbols}
    absent = [symbol for symbol in wanted if symbol not in known]
    if not problem and len(absent) > _MOST_DIFFERENT * len(wanted):
        name, address = absent[0]
        problem = f"{len(absent):,} of {len(wanted):,} functions are elsewhere: {name} is at 0x{address:08x}"
    if problem:
        raise UsageError(
            f"{image.name} is of another kernel than the one that runs",
            hint="leave it out: armprobe reads the symbols from the kernel's memory",
            evidence=problem,
        )


def _unpacked(data: bytes) -> Iterator[bytes]:
    """What may be compressed in a zImage; the code that unpacks it has the marks of the formats in it as well."""
    for mark, make in ((_XZ, lzma.LZMADecompressor), (_GZIP, lambda: zlib.decompressobj(wbits=31))):
        place = data.find(mark)
        while place >= 0:
            with suppress(lzma.LZMAError, zlib.error):
                yield make().decompress(data[place:])
            place = data.find(mark, place + 1)
