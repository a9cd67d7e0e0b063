"""Compile units, and the entries (DIEs) in them, by address and by name.

A unit is parsed when an address in it is asked for, its entries as far as is needed for that.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from typing import Any

#: entries that may hold functions
_SPACES = frozenset({"DW_TAG_namespace", "DW_TAG_module", "DW_TAG_structure_type", "DW_TAG_class_type"})
#: attributes of an entry that leads to the one which tells more: of a copy, and of a definition
_ORIGINS = ("DW_AT_abstract_origin", "DW_AT_specification")
#: entries that refer to one another, at most; a file that is damaged may have a circle
_LONGEST_CHAIN = 8
#: texts that end in a name, of which a name may be the end: beyond that it is not worth looking for each
_MOST_TEXTS = 64
#: bytes in which the attributes of the first entry of a unit are looked for
_LONGEST_FIRST = 256
_LAST = 1 << 32


class Units:
    """The units of one file, at the addresses it is linked for."""

    def __init__(self, dwarf: Any) -> None:
        self._dwarf = dwarf
        self._functions: dict[int, list[tuple[int, int, Any]]] = {}

    def at(self, address: int) -> Any | None:
        """The unit that the code at `address` comes from."""
        # Units that are not in the table of addresses have to be looked at one by one.
        offset = _find(self._table, address)
        if offset is None:
            offset = _find(self._spans, address)
        return None if offset is None else self._dwarf.get_CU_at(offset)

    def naming(self, name: str) -> Iterator[Any]:
        """The compile units that have the name, and perhaps others: those whose entries refer to its text."""
        info = _content(self._dwarf.debug_info_sec)
        strings, word = _content(self._dwarf.debug_str_sec), name.encode() + b"\0"
        places = _all(info, word)
        texts = _all(strings, word)
        if not texts and not places:
            return
        if len(texts) > _MOST_TEXTS or self._dwarf.debug_str_offsets_sec is not None:
            yield from filter(_is_compiled, self._headers)
            return
        for text in texts:
            places += _all(info, text.to_bytes(4, "little"))
        starts = [unit.cu_offset for unit in self._headers]
        for index in sorted({bisect_right(starts, place) - 1 for place in places}):
            if index >= 0 and _is_compiled(self._headers[index]):
                yield self._headers[index]

    def with_source(self, name: str) -> Iterator[Any]:
        """The compile units whose line tables name a file, and perhaps others."""
        lines, word = _content(self._dwarf.debug_line_sec), name.encode() + b"\0"
        places = _all(lines, word)
        for section in (self._dwarf.debug_line_str_sec, self._dwarf.debug_str_sec):
            for text in _all(_content(section), word):
                places += _all(lines, text.to_bytes(4, "little"))
        starts, at = [], 0
        while at + 4 <= len(lines):
            starts.append(at)
            at += 4 + int.from_bytes(lines[at : at + 4], "little")
        tables = {starts[bisect_right(starts, place) - 1] for place in places}
        # The number of its table is in the first entry of a unit; to parse that takes a hundred times as long.
        texts = [table.to_bytes(4, "little") for table in tables]
        info = _content(self._dwarf.debug_info_sec)
        for unit in self._headers:
            first = info[unit.cu_die_offset : unit.cu_die_offset + _LONGEST_FIRST]
            if any(text in first for text in texts) and _is_compiled(unit):
                table = unit.get_top_DIE().attributes.get("DW_AT_stmt_list")
                if table is not None and table.value in tables:
                    yield unit

    @cached_property
    def _headers(self) -> list[Any]:
        """All units of the file, of which only the headers are read."""
        return list(self._dwarf.iter_CUs())

    def function_at(self, address: int) -> Any | None:
        """The entry of the function, inlined ones aside, whose code is at `address`."""
        unit = self.at(address)
        if unit is None:
            return None
        return next((die for low, high, die in self.functions(unit) if low <= address < high), None)

    def functions(self, unit: Any) -> list[tuple[int, int, Any]]:
        """[start, end) and entry of the functions of a unit that have code."""
        known = self._functions.get(unit.cu_offset)
        if known is None:
            known = [(low, high, die) for die in _subprograms(unit.get_top_DIE()) for low, high in self.ranges(die)]
            self._functions[unit.cu_offset] = known
        return known

    def ranges(self, die: Any) -> list[tuple[int, int]]:
        """The [start, end) of the code that an entry describes."""
        if "DW_AT_ranges" in die.attributes:
            return self._range_list(die)
        low = die.attributes.get("DW_AT_low_pc")
        high = die.attributes.get("DW_AT_high_pc")
        if low is None or high is None:
            return []
        end = high.value if high.form.startswith("DW_FORM_addr") else low.value + high.value
        return [(low.value, end)]

    def entry_address(self, die: Any) -> int | None:
        """Where control enters the code that an entry describes."""
        attribute = die.attributes.get("DW_AT_entry_pc")
        ranges = self.ranges(die)
        if attribute is not None:
            low = die.attributes.get("DW_AT_low_pc")
            if attribute.form.startswith("DW_FORM_addr"):
                return int(attribute.value)
            # DWARF 5: a distance from the lowest address of the first range.
            return int(attribute.value) + (low.value if low is not None else ranges[0][0])
        return ranges[0][0] if ranges else None

    def base_address(self, unit: Any) -> int:
        """What addresses in the lists of a unit count from."""
        low = unit.get_top_DIE().attributes.get("DW_AT_low_pc")
        return low.value if low is not None else 0

    def _range_list(self, die: Any) -> list[tuple[int, int]]:
        lists = self._dwarf.range_lists()
        if lists is None:
            return []
        attribute = die.attributes["DW_AT_ranges"]
        base = self.base_address(die.cu)
        found = []
        for entry in lists.get_range_list_at_offset(attribute.value, cu=die.cu):
            if hasattr(entry, "base_address"):
                base = entry.base_address
                continue
            start = 0 if entry.is_absolute else base
            if entry.begin_offset < entry.end_offset:
                found.append((start + entry.begin_offset, start + entry.end_offset))
        return found

    @cached_property
    def _table(self) -> list[tuple[int, int, int]]:
        """[start, end) and offset of the unit, sorted, as .debug_aranges has them; it need not have all."""
        table = self._dwarf.get_aranges()
        entries = table.entries if table is not None else []
        return sorted((entry.begin_addr, entry.begin_addr + entry.length, entry.info_offset) for entry in entries)

    @cached_property
    def _spans(self) -> list[tuple[int, int, int]]:
        """The same for the units that the table does not have."""
        listed = {offset for _, _, offset in self._table}
        return sorted(
            (low, high, unit.cu_offset)
            for unit in self._headers
            if unit.cu_offset not in listed and _is_compiled(unit)
            for low, high in self.ranges(unit.get_top_DIE())
        )


def _find(spans: list[tuple[int, int, int]], address: int) -> int | None:
    """What the span around an address leads to."""
    index = bisect_right(spans, (address, _LAST)) - 1
    return spans[index][2] if index >= 0 and address < spans[index][1] else None


def _content(section: Any) -> bytes:
    if section is None:
        return b""
    section.stream.seek(0)
    return bytes(section.stream.read())


def _all(data: bytes, wanted: bytes) -> list[int]:
    """Every position of `wanted`."""
    found, at = [], data.find(wanted)
    while at >= 0:
        found.append(at)
        at = data.find(wanted, at + 1)
    return found


def _is_compiled(unit: Any) -> bool:
    """Whether a unit is one of a compilation, not a part that others import."""
    return bool(unit.get_top_DIE().tag == "DW_TAG_compile_unit")


def _subprograms(parent: Any) -> Iterator[Any]:
    for die in parent.iter_children():
        if die.tag == "DW_TAG_subprogram":
            yield die
        elif die.tag in _SPACES and die.has_children:
            yield from _subprograms(die)


def attribute(die: Any, name: str) -> Any | None:
    """The attribute of an entry, or of the one that it is a copy or the definition of."""
    found = holder(die, name)
    return None if found is None else found.attributes[name]


def holder(die: Any, name: str) -> Any | None:
    """The entry that has the attribute: this one, or the one that it is a copy or the definition of."""
    for _ in range(_LONGEST_CHAIN):
        if name in die.attributes:
            return die
        link = next((link for link in _ORIGINS if link in die.attributes), None)
        if link is None:
            return None
        die = die.get_DIE_from_attribute(link)
    return None


def name_of(die: Any) -> str:
    """The name of an entry, "" for one without."""
    found = attribute(die, "DW_AT_name")
    return found.value.decode("utf-8", "replace") if found is not None else ""


def origin(die: Any) -> Any:
    """The entry that this one is a copy of, at the end of the chain."""
    for _ in range(_LONGEST_CHAIN):
        if "DW_AT_abstract_origin" not in die.attributes:
            break
        die = die.get_DIE_from_attribute("DW_AT_abstract_origin")
    return die
