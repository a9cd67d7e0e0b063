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


class Units:
    """The units of one file, at the addresses it is linked for."""

    def __init__(self, dwarf: Any) -> None:
        self._dwarf = dwarf
        self._functions: dict[int, list[tuple[int, int, Any]]] = {}

    def at(self, address: int) -> Any | None:
        """The unit that the code at `address` comes from."""
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address >= self._spans[index][1]:
            return None
        return self._dwarf.get_CU_at(self._spans[index][2])

    def all(self) -> Iterator[Any]:
        """All compile units of the file."""
        for unit in self._dwarf.iter_CUs():
            if unit.get_top_DIE().tag == "DW_TAG_compile_unit":
                yield unit

    def naming(self, name: str) -> Iterator[Any]:
        """The compile units that have the name, and perhaps others: those whose entries refer to its text."""
        info = _content(self._dwarf.debug_info_sec)
        strings, word = _content(self._dwarf.debug_str_sec), name.encode() + b"\0"
        places = _all(info, word)
        texts = _all(strings, word)
        if len(texts) > _MOST_TEXTS or self._dwarf.debug_str_offsets_sec is not None:
            yield from self.all()
            return
        for text in texts:
            places += _all(info, text.to_bytes(4, "little"))
        units = list(self.all())
        yield from _holding(places, [unit.cu_offset for unit in units], units)

    def with_source(self, name: str) -> Iterator[Any]:
        """The compile units whose line tables name a file, and perhaps others."""
        lines, word = _content(self._dwarf.debug_line_sec), name.encode() + b"\0"
        places = _all(lines, word)
        for section in (self._dwarf.debug_line_str_sec, self._dwarf.debug_str_sec):
            for text in _all(_content(section), word):
                places += _all(lines, text.to_bytes(4, "little"))
        tables = sorted(
            ((unit.get_top_DIE().attributes["DW_AT_stmt_list"].value, unit) for unit in self.all()
             if "DW_AT_stmt_list" in unit.get_top_DIE().attributes), key=lambda pair: pair[0],
        )  # fmt: skip
        yield from _holding(places, [start for start, _ in tables], [unit for _, unit in tables])

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
    def _spans(self) -> list[tuple[int, int, int]]:
        """[start, end) and offset of the unit, sorted; from the table of addresses where it is complete."""
        table = self._dwarf.get_aranges()
        entries = table.entries if table is not None else []
        # What the linker threw away is left at address 0, or the highest: it is shadowed by nothing there.
        spans = [(entry.begin_addr, entry.begin_addr + entry.length, entry.info_offset) for entry in entries]
        listed = {offset for _, _, offset in spans}
        for unit in self._dwarf.iter_CUs():
            if unit.cu_offset not in listed:
                top = unit.get_top_DIE()
                if top.tag == "DW_TAG_compile_unit":
                    spans += [(low, high, unit.cu_offset) for low, high in self.ranges(top)]
        return sorted(spans)

    @cached_property
    def _starts(self) -> list[int]:
        return [start for start, _, _ in self._spans]


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


def _holding(places: list[int], starts: list[int], units: list[Any]) -> Iterator[Any]:
    """The units, which begin at `starts`, that the places are in."""
    for index in sorted({bisect_right(starts, place) - 1 for place in places}):
        if index >= 0:
            yield units[index]


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
