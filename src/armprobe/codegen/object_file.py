"""Reads the relocatable object that LLVM makes of one function: ELF32, little-endian, with REL relocations.

Source: "ELF for the Arm Architecture" (IHI 0044).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from armprobe.errors import InternalError, Refused

R_ARM_ABS32, R_ARM_CALL, R_ARM_JUMP24, R_ARM_MOVW_ABS_NC, R_ARM_MOVT_ABS = 2, 28, 29, 43, 44
_PROGBITS, _SYMTAB, _NOBITS, _REL = 1, 2, 8, 9
_ALLOC = 2
#: how far a load reaches its literal
_REACH = 4096


@dataclass(frozen=True, slots=True)
class Section:
    name: str
    type: int
    flags: int
    data: bytes
    link: int
    info: int


@dataclass(frozen=True, slots=True)
class ObjectCode:
    """The one function of an object: its words, where its literals begin, and its relocations."""

    words: tuple[int, ...]
    #: index of the first literal; the number of words where there is none
    literals: int
    #: (index of the word, relocation type, symbol)
    relocations: tuple[tuple[int, int, str], ...]


def read_object(data: bytes) -> ObjectCode:
    """Read the code of an object; raise InternalError when it holds anything but one function without data.

    Raises Refused when the function is so long that its literals stand between its instructions.
    """
    sections = _sections(data)
    text = next(number for number, section in enumerate(sections) if section.name == ".text")
    for section in sections:
        used = section.flags & _ALLOC and section.type in (_PROGBITS, _NOBITS) and section.data
        if used and section.name != ".text":
            raise InternalError(f"the compiled handler has a section {section.name!r}, and only code is expected")
    symtab = next(section for section in sections if section.type == _SYMTAB)
    symbols = [
        (_text(sections[symtab.link].data, name), value, index)
        for name, value, _, _, _, index in struct.iter_unpack("<IIIBBH", symtab.data)
    ]
    size = len(sections[text].data)
    marks = sorted((value, name) for name, value, index in symbols if index == text and name[:2] in ("$a", "$d", "$t"))
    literals = next((value for value, name in marks if name.startswith("$d")), size)
    scattered = any(name[:2] != "$d" for at, name in marks if at >= literals)
    if scattered and size > _REACH:
        raise Refused(
            f"the handler has {size} bytes of code: before architecture 7 its constants are within {_REACH} bytes",
            hint="record less in one probe, or split it in two",
        )
    if marks[:1] != [(0, "$a")] or scattered or size % 4:
        raise InternalError(f"the compiled handler is not A32 code and then literals: {marks}, {size} bytes")
    words = struct.unpack(f"<{size // 4}I", sections[text].data)
    relocations = [
        (offset // 4, info & 0xFF, symbols[info >> 8][0])
        for section in sections
        if section.type == _REL and section.info == text
        for offset, info in struct.iter_unpack("<II", section.data)
    ]
    return ObjectCode(words, literals // 4, tuple(sorted(relocations)))


def _sections(data: bytes) -> list[Section]:
    table, size, count, names = *struct.unpack_from("<32xI", data), *struct.unpack_from("<46xHHH", data)
    headers = [struct.unpack_from("<10I", data, table + size * number) for number in range(count)]
    start = headers[names][4]
    return [
        Section(_text(data, start + name), kind, flags, data[offset : offset + length], link, info)
        for name, kind, flags, _, offset, length, link, info, _, _ in headers
    ]


def _text(table: bytes, start: int) -> str:
    return table[start : table.index(0, start)].decode()
