"""Entries of types to the types of `armprobe.symbols.types`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from armprobe.symbols.dwarf.units import attribute, holder, name_of
from armprobe.symbols.types import Array, Enumeration, Integer, Member, Opaque, Pointer, Structure, Type

_QUALIFIERS = frozenset(
    f"DW_TAG_{word}_type" for word in ("const", "volatile", "restrict", "atomic", "immutable", "packed", "shared")
)
_STRUCTURES = {"DW_TAG_structure_type": "struct", "DW_TAG_union_type": "union", "DW_TAG_class_type": "class"}
_POINTERS = {
    "DW_TAG_pointer_type": False,
    "DW_TAG_reference_type": True,
    "DW_TAG_rvalue_reference_type": True,
}
# base types (DWARF 5, 7.8)
_BOOLEAN, _FLOAT, _SIGNED, _SIGNED_CHAR, _UNSIGNED, _UNSIGNED_CHAR, _UTF = 2, 4, 5, 6, 7, 8, 16
_WHOLE = {_BOOLEAN, _SIGNED, _SIGNED_CHAR, _UNSIGNED, _UNSIGNED_CHAR, _UTF}
VOID = Opaque("void", 0, "void, which has no value")
#: types that name one another without end are damage
_LONGEST_CHAIN = 64


class TypeReader:
    """Reads types, each once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, int], Type] = {}

    def of(self, die: Any) -> Type:
        """The type that the attribute DW_AT_type of an entry, or of the one that it is a copy of, refers to."""
        found = holder(die, "DW_AT_type")
        return VOID if found is None else self.read(found.get_DIE_from_attribute("DW_AT_type"))

    def read(self, die: Any) -> Type:
        """The type that an entry describes. Names are those of the outermost typedef."""
        key = (die.cu, die.offset)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._read(die)
        return known

    def _read(self, die: Any) -> Type:
        name = ""
        for _ in range(_LONGEST_CHAIN):
            if die.tag == "DW_TAG_typedef":
                name = name or name_of(die)
            elif die.tag not in _QUALIFIERS:
                return self._bare(die, name)
            if "DW_AT_type" not in die.attributes:
                return VOID
            die = die.get_DIE_from_attribute("DW_AT_type")
        return Opaque(name or "?", 0, "a type that is defined by itself")

    def _bare(self, die: Any, name: str) -> Type:
        """`name` is that of a typedef, if one led here."""
        size = die.attributes["DW_AT_byte_size"].value if "DW_AT_byte_size" in die.attributes else 0
        match die.tag:
            case "DW_TAG_base_type":
                return self._base(die, name or name_of(die), size)
            case "DW_TAG_enumeration_type":
                return self._enumeration(die, name or f"enum {name_of(die)}".rstrip(), size)
            case "DW_TAG_array_type":
                return self._array(die)
            case tag if tag in _POINTERS:
                return Pointer(lambda: self.of(die), _POINTERS[tag])
            case tag if tag in _STRUCTURES:
                if "DW_AT_signature" in die.attributes:
                    die = die.get_DIE_from_attribute("DW_AT_signature")
                name = name or f"{_STRUCTURES[tag]} {name_of(die)}".rstrip()
                if "DW_AT_declaration" in die.attributes:
                    return Opaque(name, 0, f"{name}, which is not defined in this source file")
                return Structure(name, size, lambda: tuple(self._members(die, size)))
            case "DW_TAG_subroutine_type":
                return Opaque("function", 0, "a function")
            case "DW_TAG_unspecified_type":
                return Opaque(name_of(die), 0, f"{name_of(die)}, which has no value")
        return Opaque(name or name_of(die) or "?", size, f"of a kind ({die.tag}) that is not read")

    def _base(self, die: Any, name: str, size: int) -> Type:
        encoding = die.attributes["DW_AT_encoding"].value
        if encoding not in _WHOLE or size not in (1, 2, 4, 8):
            what = "a floating-point number" if encoding == _FLOAT else f"{name}, of {size} bytes"
            return Opaque(name, size, what)
        return Integer(name, size, encoding in (_SIGNED, _SIGNED_CHAR), character=name_of(die) == "char")

    def _enumeration(self, die: Any, name: str, size: int) -> Type:
        values = [
            (name_of(child), int(child.attributes["DW_AT_const_value"].value))
            for child in die.iter_children()
            if child.tag == "DW_TAG_enumerator"
        ]
        base = self.of(die)
        negative = any(value < 0 for _, value in values)
        signed = base.signed if isinstance(base, Integer | Enumeration) else negative
        size = size or base.size
        if size not in (1, 2, 4, 8):
            return Opaque(name, size, f"{name}, of {size} bytes")
        # Some compilers write the numbers without their sign.
        limit = 1 << 8 * size - 1
        if signed:
            values = [(word, (value & 2 * limit - 1 ^ limit) - limit) for word, value in values]
        else:
            values = [(word, value & 2 * limit - 1) for word, value in values]
        return Enumeration(name, size, signed, tuple(values))

    def _array(self, die: Any) -> Type:
        counts = [_count(child) for child in die.iter_children() if child.tag == "DW_TAG_subrange_type"]
        return _array_of(lambda: self.of(die), counts or [None])

    def _members(self, die: Any, size: int) -> Iterator[Member]:
        for child in die.iter_children():
            if child.tag not in ("DW_TAG_member", "DW_TAG_inheritance") or "DW_AT_external" in child.attributes:
                continue
            member = self._member(child, size)
            if member is not None:
                yield member

    def _member(self, die: Any, size: int) -> Member | None:
        """A member of a structure of `size` bytes; None for one whose place is computed (virtual bases of C++)."""
        kind, attributes = self.of(die), die.attributes
        name = name_of(die) if die.tag == "DW_TAG_member" else ""
        offset = _constant(attributes.get("DW_AT_data_member_location"))
        if offset is None:
            return None
        if "DW_AT_bit_size" not in attributes:
            bits = attributes.get("DW_AT_data_bit_offset")
            return Member(name, kind, offset if bits is None else bits.value // 8)
        width = attributes["DW_AT_bit_size"].value
        if "DW_AT_data_bit_offset" in attributes:
            lowest = attributes["DW_AT_data_bit_offset"].value
        else:
            # Before DWARF 4: counted from the highest bit of a unit of storage, which is little-endian here.
            unit = attributes["DW_AT_byte_size"].value if "DW_AT_byte_size" in attributes else kind.size
            lowest = 8 * (offset + unit) - attributes["DW_AT_bit_offset"].value - width
        return Member(name, kind, *_container(lowest, width, size))


def _container(lowest: int, width: int, size: int) -> tuple[int, tuple[int, int]]:
    """(offset, (width, lowest bit from there)): the fewest bytes that can be read at once, within the structure."""
    offset = lowest // 8
    needed = (lowest + width + 7) // 8 - offset
    unit = next((unit for unit in (1, 2, 4, 8) if unit >= needed), needed)
    if offset + unit > size:
        offset = max(size - unit, 0)
    return offset, (width, lowest - 8 * offset)


def _constant(found: Any) -> int | None:
    """The number that an attribute is; absent means 0, and None is what has to be computed."""
    if found is None:
        return 0
    if isinstance(found.value, int):
        return int(found.value)
    # DWARF 2 writes DW_OP_plus_uconst N.
    code = list(found.value)
    if code[:1] != [0x23]:
        return None
    return sum((int(byte) & 0x7F) << 7 * index for index, byte in enumerate(code[1:]))


def _count(die: Any) -> int | None:
    count, bound = attribute(die, "DW_AT_count"), attribute(die, "DW_AT_upper_bound")
    if count is not None:
        return count.value if isinstance(count.value, int) and not _refers(count) else None
    if bound is None or not isinstance(bound.value, int) or _refers(bound):
        return None
    lower = attribute(die, "DW_AT_lower_bound")
    number = int(bound.value) + 1 - (lower.value if lower is not None else 0)
    return number & 0xFFFFFFFF  # an empty array has an upper bound of -1, which may be written without a sign


def _refers(found: Any) -> bool:
    """Whether the attribute names an entry that computes the number, as for arrays of variable length."""
    return bool(found.form.startswith("DW_FORM_ref") or found.form == "DW_FORM_sec_offset")


def _array_of(element: Callable[[], Type], counts: list[int | None]) -> Type:
    if len(counts) == 1:
        return Array(element, counts[0])
    return Array(lambda: _array_of(element, counts[1:]), counts[0])
