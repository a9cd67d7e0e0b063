"""ELF files for 32-bit ARM, through pyelftools.

References: the ELF specification (gABI), and "ELF for the Arm Architecture" (AAELF32).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from armprobe.errors import UsageError
from armprobe.symbols.debuginfo import DebugInfo
from armprobe.symbols.image import Image, Segment, Symbol

_EM_ARM, _ET_REL = 40, 1
_MACHINES = {3: "x86", 8: "MIPS", 20: "PowerPC", 62: "x86-64", 183: "AArch64", 243: "RISC-V"}
_STT_OBJECT, _STT_FUNC, _STT_GNU_IFUNC = 1, 2, 10
_NAMED_TYPES = frozenset({0, _STT_OBJECT, _STT_FUNC, _STT_GNU_IFUNC})  # not sections, files, TLS offsets
_SHN_UNDEF, _SHN_ABS = 0, 0xFFF1
# dynamic relocations (AAELF32 5.6.1)
_R_ARM_ABS32, _R_ARM_GLOB_DAT, _R_ARM_JUMP_SLOT, _R_ARM_RELATIVE = 2, 21, 22, 23


def read_elf(data: bytes, *, name: str, base: int | None = None, path: Path | None = None) -> Image:
    """Make an image of an ELF file; a position-independent one is moved by `base`, and its own references with it.

    References to other files stay unresolved. `path` is where the file lies, for the search of its debug file. Raises
    UsageError when it is no 32-bit little-endian ARM program.
    """
    _check_header(data, name)
    from elftools.common.exceptions import ELFError
    from elftools.construct.core import ConstructError
    from elftools.elf.elffile import ELFFile

    try:
        file = ELFFile(io.BytesIO(data))
        if base is not None and file["e_type"] != "ET_DYN":
            raise UsageError(f"{name} is linked for a fixed address: it cannot be moved by {base:#x}")
        bias = base or 0
        segments = tuple(_segments(file, bias, name))
        symbols, marks = _symbols(file, bias)
        if file["e_type"] == "ET_DYN":
            segments = _relocate(file, segments, bias)
        entry = file["e_entry"] + bias & 0xFFFFFFFF
    except (ELFError, ConstructError, struct.error, LookupError, ValueError, TypeError, AttributeError) as error:
        # The last four: pyelftools relies on what it reads from the file.
        raise UsageError(
            f"{name} is damaged: {str(error) or type(error).__name__}", hint="was it copied whole?"
        ) from error
    linked = tuple(replace(symbol, address=symbol.address - bias & 0xFFFFFFFF) for symbol in symbols)
    spans = tuple((part.address - bias, part.end - bias) for part in segments if part.executable)
    return Image(name, entry, segments, symbols, marks, (DebugInfo(name, data, linked, spans, bias, path),))


def _check_header(data: bytes, name: str) -> None:
    if len(data) < 52:
        raise UsageError(f"{name} is cut off: {len(data)} bytes, and the ELF header alone takes 52")
    wanted = "wanted a 32-bit little-endian ARM program"
    if data[4] != 1:
        raise UsageError(f"{name} is a 64-bit ELF file: {wanted}")
    if data[5] != 1:
        raise UsageError(f"{name} is a big-endian ELF file: {wanted}")
    kind, machine = struct.unpack_from("<HH", data, 16)
    if machine != _EM_ARM:
        raise UsageError(f"{name} is for {_MACHINES.get(machine, f'machine {machine}')}: {wanted}")
    if kind == _ET_REL:
        raise UsageError(f"{name} is an object file that was not linked: {wanted}", hint="link it first")


def _segments(file: Any, bias: int, name: str) -> Iterator[Segment]:
    found = False
    for part in file.iter_segments("PT_LOAD"):
        if part["p_memsz"] == 0:
            continue
        found = True
        content = part.data()
        if len(content) != part["p_filesz"]:
            raise UsageError(
                f"{name} is cut off: the segment for 0x{part['p_vaddr']:08x} has {len(content)} of its "
                f"{part['p_filesz']} bytes",
                hint="was it copied whole?",
            )
        writable, executable = bool(part["p_flags"] & 2), bool(part["p_flags"] & 1)
        address, size = part["p_vaddr"] + bias, part["p_memsz"]
        if address + size > 1 << 32:
            raise UsageError(f"{name} is damaged: a segment of {size:#x} bytes at {address:#x} ends beyond 32 bits")
        yield Segment(address, content, size, writable, executable)
        # Firmware that copies its data from ROM to RAM finds them where they are stored (LMA); one that relies on a
        # loader finds them where it uses them (VMA).
        stored = part["p_paddr"] + bias
        if content and (stored + len(content) <= address or address + size <= stored):
            yield Segment(stored, content, len(content), writable, executable)
    if not found:
        raise UsageError(f"{name} has nothing to load: no PT_LOAD segment")


def _entries(file: Any, section: Any) -> Iterator[tuple[str, int, int, int, int]]:
    """(name, value, size, type, section index) of each symbol. pyelftools takes 20 times as long."""
    strings = file.get_section(section["sh_link"]).data()
    for position, value, size, info, _other, index in struct.iter_unpack("<IIIBBH", section.data()):
        end = strings.index(b"\0", position)
        yield strings[position:end].decode("utf-8", "replace"), value, size, info & 15, index


def _symbols(file: Any, bias: int) -> tuple[tuple[Symbol, ...], tuple[tuple[int, str], ...]]:
    symbols: dict[Symbol, None] = {}
    marks = set()
    for section in file.iter_sections():
        if section["sh_type"] not in ("SHT_SYMTAB", "SHT_DYNSYM"):
            continue
        for name, value, size, kind, index in _entries(file, section):
            if not name or index == _SHN_UNDEF:
                continue
            address = value + bias & 0xFFFFFFFF
            if name[0] == "$" and name[1:2] in ("a", "t", "d") and name[2:3] in ("", "."):
                marks.add((address, name[1]))
            elif kind in _NAMED_TYPES and index != _SHN_ABS:
                code = kind in (_STT_FUNC, _STT_GNU_IFUNC)
                thumb = code and bool(value & 1)
                symbols[Symbol(name, address & ~1 if thumb else address, size, thumb, kind != _STT_OBJECT)] = None
    return tuple(symbols), tuple(sorted(marks))


def _relocate(file: Any, segments: tuple[Segment, ...], bias: int) -> tuple[Segment, ...]:
    """Apply the dynamic relocations that need nothing but this file (AAELF32 5.6)."""
    contents = [bytearray(segment.data) for segment in segments]
    for section in file.iter_sections():
        if section["sh_type"] != "SHT_REL" or not section["sh_flags"] & 2:  # SHF_ALLOC: needed at run time
            continue
        names = file.get_section(section["sh_link"]) if section["sh_link"] else None
        addresses = [
            value + bias if index != _SHN_UNDEF else None
            for _, value, _, _, index in (_entries(file, names) if names is not None else ())
        ]
        for offset, info in struct.iter_unpack("<II", section.data()):
            kind, number = info & 0xFF, info >> 8
            symbol = addresses[number] if number else 0
            if symbol is None or kind not in (_R_ARM_ABS32, _R_ARM_GLOB_DAT, _R_ARM_JUMP_SLOT, _R_ARM_RELATIVE):
                continue
            for segment, content in zip(segments, contents, strict=True):
                position = offset + bias - segment.address
                if 0 <= position <= len(content) - 4:
                    addend = int.from_bytes(content[position : position + 4], "little")
                    if kind == _R_ARM_RELATIVE:
                        value = addend + bias
                    else:
                        value = symbol + (addend if kind == _R_ARM_ABS32 else 0)
                    content[position : position + 4] = (value & 0xFFFFFFFF).to_bytes(4, "little")
    return tuple(
        Segment(part.address, bytes(content), part.size, part.writable, part.executable)
        for part, content in zip(segments, contents, strict=True)
    )
