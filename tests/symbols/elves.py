"""Small ELF files, made from their parts, so that tests can break each part."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_SECTION, STT_FILE, STT_TLS = 0, 1, 2, 3, 4, 6
SHN_UNDEF, SHN_ABS = 0, 0xFFF1


@dataclass(frozen=True)
class Part:
    """A loadable segment."""

    address: int
    data: bytes
    size: int | None = None
    stored: int | None = None
    flags: int = 7


def elf(
    parts: Sequence[Part],
    symbols: Sequence[tuple[str, int, int, int, int]] = (),
    *,
    entry: int = 0x8000,
    kind: int = 2,
    machine: int = 40,
    big_endian: bool = False,
    wide: bool = False,
    dynamic_symbols: Sequence[tuple[str, int, int, int, int]] = (),
    relocations: Sequence[tuple[int, int, int]] = (),
) -> bytes:
    """An ELF file. Symbols are (name, value, size, type, section index), relocations (offset, type, symbol number)."""
    position = 52 + 32 * len(parts)
    headers, contents = b"", b""
    for part in parts:
        stored = part.address if part.stored is None else part.stored
        size = len(part.data) if part.size is None else part.size
        headers += struct.pack(
            "<8I", 1, position + len(contents), part.address, stored, len(part.data), size, part.flags, 4
        )
        contents += part.data
    position += len(contents)
    sections = [struct.pack("<10I", *[0] * 10)]

    def section(name: int, kind: int, flags: int, data: bytes, link: int, entry_size: int) -> None:
        nonlocal contents, position
        sections.append(struct.pack("<10I", name, kind, flags, 0, position, len(data), link, 0, 4, entry_size))
        contents += data
        position += len(data)

    names = b"\0.shstrtab\0.strtab\0.symtab\0.dynstr\0.dynsym\0.rel.dyn\0"
    section(names.index(b".shstrtab"), 3, 0, names, 0, 0)
    for table, strings, entries in ((b".symtab", b".strtab", symbols), (b".dynsym", b".dynstr", dynamic_symbols)):
        text, data = b"\0", struct.pack("<IIIBBH", *[0] * 6)
        for name, value, size, symbol_kind, index in entries:
            data += struct.pack("<IIIBBH", len(text), value, size, symbol_kind, 0, index)
            text += name.encode() + b"\0"
        section(names.index(strings), 3, 0, text, 0, 0)
        section(names.index(table), 2 if table == b".symtab" else 11, 0, data, len(sections) - 1, 16)
    content = b"".join(struct.pack("<II", offset, number << 8 | kind) for offset, kind, number in relocations)
    section(names.index(b".rel.dyn"), 9, 2, content, len(sections) - 1, 8)
    identity = b"\x7fELF" + bytes([2 if wide else 1, 2 if big_endian else 1, 1]) + bytes(9)
    header = identity + struct.pack(
        "<HHIIIIIHHHHHH", kind, machine, 1, entry, 52, position, 0x5000200, 52, 32, len(parts), 40, len(sections), 1
    )
    return header + headers + contents + b"".join(sections)
