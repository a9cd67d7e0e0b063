"""Shared objects of Debian's armel packages, loaded into the embedded emulator without an operating system.

The libraries are real, libc's string functions among them. What needs a kernel is not: memory that is never given back
stands for malloc, and a call of anything else that is missing ends in an undefined instruction.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from armprobe.symbols.image import Image, Segment, Symbol

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "debian"

_SUPPORT, _FIRST_LIBRARY, _LIBRARY_SPACE = 0x0001_0000, 0x0010_0000, 0x0020_0000
_GUARD, _STDERR, _NEXT = _SUPPORT + 0x10, _SUPPORT + 0x14, _SUPPORT + 0x18
_ENVIRONMENT, _CODE, _MISSING = _SUPPORT + 0x20, _SUPPORT + 0x40, _SUPPORT + 0x200
_ARENA, _ARENA_SIZE = 0x0800_0000, 0x0080_0000
#: memory for what calls read and write
DATA, _DATA_SIZE = 0x0400_0000, 0x0010_0000
#: where a function that was called returns to
RETURN = _SUPPORT
_UDF = 0xE7F000F0
#: what nettle is told of the processor, so that it takes its code for NEON
_FEATURES = b"arch:7,neon\0"
_CODE_WORDS = {
    "calloc": (
        0xE0000190,  # mul   r0, r0, r1
    ),
    "malloc": (
        0xE59F1018,  # ldr   r1, =_NEXT
        0xE5912000,  # ldr   r2, [r1]
        0xE280000F,  # add   r0, r0, #15
        0xE3C0000F,  # bic   r0, r0, #15
        0xE0800002,  # add   r0, r0, r2
        0xE5810000,  # str   r0, [r1]
        0xE1A00002,  # mov   r0, r2
        0xE12FFF1E,  # bx    lr
        _NEXT,
    ),
    "free": (
        0xE12FFF1E,  # bx    lr
    ),
    "secure_getenv": (
        0xE59F0000,  # ldr   r0, =_ENVIRONMENT
        0xE12FFF1E,  # bx    lr
        _ENVIRONMENT,
    ),
}  # fmt: skip


def fetch(*packages: str) -> None:
    """Download Debian packages (NAME:ARCH); skip the test when that fails, but not in CI."""
    done = subprocess.run(
        [ROOT / "scripts" / "fetch-debian.sh", *packages], capture_output=True, text=True, check=False
    )
    if done.returncode:
        message = f"needs the Debian packages {' '.join(packages)}:\n{done.stderr}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


def load(paths: Sequence[str]) -> Image:
    """One image of several shared objects (below .cache/debian/armel) and the support code; imports are resolved.

    Symbols are called `libz.so.1:crc32`.
    """
    objects = [(CACHE / "armel" / path, _FIRST_LIBRARY + index * _LIBRARY_SPACE) for index, path in enumerate(paths)]
    images = [Image.load(path, base=base) for path, base in objects]
    support = list(_support_symbols())
    exports = {symbol.name: symbol.address for image in reversed(images) for symbol in image.symbols}
    exports |= {symbol.name: symbol.address for symbol in support}
    missing: dict[str, int] = {}
    segments: list[Segment] = []
    for (path, base), image in zip(objects, images, strict=True):
        values = dict(_imports(path, base, exports, missing))
        segments += [_patched(segment, values) for segment in image.segments]
    segments += [
        Segment(_SUPPORT, _support_data(len(missing)), 0x1000),
        Segment(DATA, b"", _DATA_SIZE),
        Segment(_ARENA, b"", _ARENA_SIZE),
    ]
    named = [
        replace(symbol, name=f"{path.name}:{symbol.name}")
        for (path, _), image in zip(objects, images, strict=True)
        for symbol in image.symbols
    ]
    named += [Symbol(f"missing:{name}", address, 4) for name, address in missing.items()]
    return Image("libraries", RETURN, tuple(segments), (*named, *support))


def _support_symbols() -> Iterator[Symbol]:
    yield Symbol("__stack_chk_guard", _GUARD, 4, function=False)
    yield Symbol("stderr", _STDERR, 4, function=False)
    address = _CODE
    for name, words in _CODE_WORDS.items():
        yield Symbol(name, address, 4 * len(words))
        address += 4 * len(words)


def _support_data(missing: int) -> bytes:
    data = bytearray(_MISSING - _SUPPORT + 4 * missing)

    def put(address: int, words: Sequence[int]) -> None:
        for index, word in enumerate(words):
            at = address - _SUPPORT + 4 * index
            data[at : at + 4] = word.to_bytes(4, "little")

    put(RETURN, [_UDF])
    put(_GUARD, [0x5AFE_C0DE])
    put(_NEXT, [_ARENA])
    data[_ENVIRONMENT - _SUPPORT : _ENVIRONMENT - _SUPPORT + len(_FEATURES)] = _FEATURES
    put(_CODE, [word for words in _CODE_WORDS.values() for word in words])
    put(_MISSING, [_UDF] * missing)
    return bytes(data)


def _imports(path: Path, base: int, exports: dict[str, int], missing: dict[str, int]) -> Iterator[tuple[int, int]]:
    """(address, value) of each reference to another object; weak ones that nobody defines are 0."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        names = elf.get_section_by_name(".dynsym")
        for name in (".rel.dyn", ".rel.plt"):
            for relocation in elf.get_section_by_name(name).iter_relocations():
                symbol = names.get_symbol(relocation["r_info_sym"])
                if not symbol.name or symbol["st_shndx"] != "SHN_UNDEF":
                    continue
                value = exports.get(symbol.name, 0)
                if not value and symbol["st_info"]["bind"] != "STB_WEAK":
                    value = missing.setdefault(symbol.name, _MISSING + 4 * len(missing))
                yield relocation["r_offset"] + base, value


def _patched(segment: Segment, values: dict[int, int]) -> Segment:
    data = bytearray(segment.data)
    for address, value in values.items():
        at = address - segment.address
        if 0 <= at < len(data):
            data[at : at + 4] = value.to_bytes(4, "little")
    return replace(segment, data=bytes(data))
