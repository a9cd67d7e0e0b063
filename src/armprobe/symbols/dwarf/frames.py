"""Call frame information: where the frame of a function is, at any of its instructions (DWARF 5, 6.4).

.debug_frame is read here: the library reads all of it at once, and gives up at the frames of signal handlers that every
C library has. .eh_frame, which is rare on 32-bit ARM, is left to the library.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from armprobe.isa.insn import REGISTER_NAMES
from armprobe.symbols.dwarf.expressions import NoValue
from armprobe.symbols.places import ConstantWord, RegisterWord, Word, operation

#: (register, offset); None: a rule that is not followed
Rule = tuple[int, int] | None
_CIE = 0xFFFFFFFF
#: instructions about other registers than the CFA, by their operands: u LEB128, b block
_OTHERS = {
    0x05: "uu", 0x06: "u", 0x07: "u", 0x08: "u", 0x09: "uu", 0x10: "ub", 0x11: "uu", 0x14: "uu", 0x15: "uu",
    0x16: "ub", 0x2E: "u", 0x2F: "uu",
}  # fmt: skip
_NOP, _SET_LOC, _ADVANCE, _REMEMBER, _RESTORE = 0x00, 0x01, {0x02: 1, 0x03: 2, 0x04: 4}, 0x0A, 0x0B
_DEF_CFA, _REGISTER, _OFFSET, _EXPRESSION, _DEF_CFA_SF, _OFFSET_SF = 0x0C, 0x0D, 0x0E, 0x0F, 0x12, 0x13
_ON_STACK = "on the stack, and there is no call frame information for this code"
_NOT_FOLLOWED = "on the stack, in a frame whose address is computed in a way that is not followed"


class Frames:
    """The canonical frame address (CFA): what SP was before the call of the function."""

    def __init__(self, dwarf: Any) -> None:
        self._dwarf = dwarf
        self._rows: dict[int, list[tuple[int, Rule]]] = {}

    def rule(self, address: int) -> tuple[str, int]:
        """(register, N) where the CFA is register + N at an instruction. Raises NoValue where it is not known."""
        index = bisect_right(self._entries, (address, _CIE)) - 1
        start, end, place = self._entries[index] if index >= 0 else (0, 0, 0)
        if not start <= address < end:
            return self._rule_of_library(address)
        rows = self._rows.get(place)
        if rows is None:
            rows = self._rows[place] = _decode(self._data, place)
        rule = next((rule for first, rule in reversed(rows) if first <= address), None)
        if rule is None or not 0 <= rule[0] < 16:
            raise NoValue(_NOT_FOLLOWED)
        return REGISTER_NAMES[rule[0]], rule[1]

    def cfa(self, address: int) -> Word:
        """The CFA at an instruction. Raises NoValue."""
        register, offset = self.rule(address)
        return operation("+", RegisterWord(register), ConstantWord(offset & 0xFFFFFFFF))

    @cached_property
    def _data(self) -> bytes:
        section = self._dwarf.debug_frame_sec
        if section is None:
            return b""
        section.stream.seek(0)
        return bytes(section.stream.read())

    @cached_property
    def _entries(self) -> list[tuple[int, int, int]]:
        """[start, end) of the code of each function, and the place of its entry."""
        found, at, data = [], 0, self._data
        while at + 16 <= len(data):
            length, kind, start, size = struct.unpack_from("<IIII", data, at)
            if length >= 0xFFFFFFF0:
                break  # 64-bit DWARF, which no producer writes for 32-bit ARM
            if kind != _CIE and length >= 12:
                found.append((start, start + size, at))
            at += 4 + length
        return sorted(found)

    def _rule_of_library(self, address: int) -> tuple[str, int]:
        for entry in self._library_entries:
            start = entry["initial_location"]
            if start <= address < start + entry["address_range"]:
                rules = [row["cfa"] for row in entry.get_decoded().table if row["pc"] <= address]
                if not rules or rules[-1].reg is None or not 0 <= rules[-1].reg < 16:
                    raise NoValue(_NOT_FOLLOWED)
                return REGISTER_NAMES[rules[-1].reg], rules[-1].offset
        raise NoValue(_ON_STACK)

    @cached_property
    def _library_entries(self) -> list[Any]:
        entries = self._dwarf.EH_CFI_entries() if self._dwarf.has_EH_CFI() else []
        return [entry for entry in entries if type(entry).__name__ == "FDE"]


@dataclass(slots=True)
class _Reader:
    """A position in the section."""

    data: bytes
    at: int

    def number(self, size: int) -> int:
        self.at += size
        return int.from_bytes(self.data[self.at - size : self.at], "little")

    def unsigned(self) -> int:
        result = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            result |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return result

    def signed(self) -> int:
        start = self.at
        value = self.unsigned()
        bits = 7 * (self.at - start)
        return value - (1 << bits) if value >> bits - 1 else value


def _decode(data: bytes, place: int) -> list[tuple[int, Rule]]:
    """(address, rule of the CFA from there on) for the entry at `place`."""
    length, cie, start, _ = struct.unpack_from("<IIII", data, place)
    reader = _Reader(data, cie + 8)
    end = cie + 4 + struct.unpack_from("<I", data, cie)[0]
    version = reader.number(1)
    zero = data.index(b"\0", reader.at)
    augmented = data[reader.at : zero].startswith(b"z")
    reader.at = zero + 1
    if version >= 4:
        reader.number(2)  # sizes of an address and of a segment selector
    code, factor = reader.unsigned(), reader.signed()
    if version == 1:
        reader.number(1)
    else:
        reader.unsigned()
    if augmented:
        reader.at += reader.unsigned()
    rows = _run(reader, end, [(start, None)], code, factor)
    reader = _Reader(data, place + 16)
    if augmented:
        reader.at += reader.unsigned()
    return _run(reader, place + 4 + length, rows, code, factor)


def _run(reader: _Reader, end: int, rows: list[tuple[int, Rule]], code: int, factor: int) -> list[tuple[int, Rule]]:
    """Carry out the instructions up to `end`: only what they say of the CFA matters here."""
    address, rule = rows[-1]
    remembered: list[Rule] = []
    while reader.at < end:
        opcode = reader.number(1)
        high, low = opcode >> 6, opcode & 0x3F
        if high == 1 or opcode in _ADVANCE or opcode == _SET_LOC:
            rows.append((address, rule))
            if opcode == _SET_LOC:
                address = reader.number(4)
            else:
                address += code * (low if high == 1 else reader.number(_ADVANCE[opcode]))
        elif high == 2:
            reader.unsigned()
        elif high == 3 or opcode == _NOP:
            pass
        elif opcode == _DEF_CFA:
            rule = reader.unsigned(), reader.unsigned()
        elif opcode == _DEF_CFA_SF:
            rule = reader.unsigned(), reader.signed() * factor
        elif opcode == _REGISTER:
            register = reader.unsigned()
            rule = None if rule is None else (register, rule[1])
        elif opcode in (_OFFSET, _OFFSET_SF):
            offset = reader.unsigned() if opcode == _OFFSET else reader.signed() * factor
            rule = None if rule is None else (rule[0], offset)
        elif opcode == _EXPRESSION:
            reader.at += reader.unsigned()
            rule = None
        elif opcode == _REMEMBER:
            remembered.append(rule)
        elif opcode == _RESTORE:
            rule = remembered.pop()
        elif opcode in _OTHERS:
            for operand in _OTHERS[opcode]:
                size = reader.unsigned()
                reader.at += size if operand == "b" else 0
        else:
            raise NoValue(_NOT_FOLLOWED)
    rows.append((address, rule))
    return rows
