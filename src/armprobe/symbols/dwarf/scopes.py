"""The names that are known at an instruction: of the function, of functions inlined there, of the source file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from armprobe.symbols.dwarf.expressions import OPTIMIZED_OUT
from armprobe.symbols.dwarf.locations import Function, is_variadic
from armprobe.symbols.dwarf.reader import Reader
from armprobe.symbols.dwarf.units import name_of, origin
from armprobe.symbols.places import absent
from armprobe.symbols.types import Type, Variable, pointer_to

_BLOCKS = frozenset({"DW_TAG_lexical_block", "DW_TAG_inlined_subroutine", "DW_TAG_try_block", "DW_TAG_catch_block"})
_VARIABLES = frozenset({"DW_TAG_variable", "DW_TAG_formal_parameter"})
_TYPES = frozenset(f"DW_TAG_{word}_type" for word in ("base", "structure", "union", "class", "enumeration")) | {
    "DW_TAG_typedef"
}


class Scope:
    """The names known at one instruction of a function, `function`."""

    def __init__(self, reader: Reader, die: Any, start: int, address: int) -> None:
        self.function = name_of(die)
        self._reader = reader
        self._die = die
        self._found: dict[str, Variable | None] = {}
        self._blocks = list(_blocks(reader, die, address))
        entries = _parameters(die)
        self._parameter_names = [name_of(original) for original, _ in entries]
        self._parameter_entries = dict(zip(self._parameter_names, (entry for _, entry in entries), strict=True))
        self._types = [reader.types.of(original) for original, _ in entries]
        self._function = Function(reader, die, start, address, [entry for _, entry in entries], self._types)

    @property
    def result(self) -> Type:
        """What the function returns."""
        return self._reader.types.of(self._die)

    @property
    def variadic(self) -> bool:
        """Whether the function takes more arguments than it declares."""
        return is_variadic(self._die)

    @property
    def hard_float(self) -> bool:
        """Whether floating-point numbers are passed in registers of their own."""
        return self._reader.hard_float

    @property
    def innermost(self) -> int:
        """A number for the copy of the function, perhaps an inlined one, that the instruction belongs to."""
        inlined = [block for block in self._blocks if block.tag != "DW_TAG_lexical_block"]
        return int(inlined[-1].offset)

    @property
    def inlined(self) -> tuple[str, ...]:
        """The functions that are inlined at the instruction, the innermost first."""
        return tuple(name_of(block) for block in reversed(self._blocks) if block.tag == "DW_TAG_inlined_subroutine")

    @cached_property
    def parameters(self) -> tuple[Variable, ...]:
        """The arguments of the function, in their order."""
        return tuple(self._parameter(index) for index in range(len(self._parameter_names)))

    def parameter(self, name: str) -> Variable | None:
        """The argument of that name, also where another variable hides it; None if there is none."""
        return next((variable for variable in self.parameters if variable.name == name), None)

    def _parameter(self, index: int) -> Variable:
        name = self._parameter_names[index]
        entry = self._parameter_entries[name]
        place = absent(OPTIMIZED_OUT) if entry is None else self._function.place(entry)
        return Variable(name, self._types[index], place, parameter=True)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every name of the function and its blocks here: arguments first, then from the inside to the outside."""
        return tuple(dict.fromkeys([*filter(None, self._parameter_names), *self._entries]))

    def find(self, name: str) -> Variable | None:
        """The variable of that name: the innermost one, or one of the source file; None if there is none."""
        if name not in self._found:
            self._found[name] = self._find(name)
        return self._found[name]

    def _find(self, name: str) -> Variable | None:
        entry = self._entries.get(name)
        if entry is not None:
            parameter = entry.tag == "DW_TAG_formal_parameter"
            return Variable(name, self._reader.types.of(entry), self._function.place(entry), parameter)
        if name in self._parameter_entries:
            return self._parameter(self._parameter_names.index(name))
        entry = self._file_variables.get(name)
        if entry is None:
            return None
        return Variable(name, self._reader.types.of(entry), self._reader.global_place(entry, name))

    def type_named(self, name: str) -> Type | None:
        """The type that the source file calls `name`: `struct packet *`, `packet_t`, `unsigned int`; None for none."""
        text = " ".join(name.replace("*", " * ").split())
        stars = text.count("*")
        entry = self._file_types.get(text.replace("*", "").strip())
        if entry is None:
            return None
        kind = self._reader.types.read(entry)
        for _ in range(stars):
            kind = pointer_to(kind)
        return kind

    @property
    def signature(self) -> str:
        """The function as its source declares it, without qualifiers."""
        arguments = ", ".join(declaration(variable.name, variable.type) for variable in self.parameters)
        return f"{declaration(self.function, self.result)}({arguments})"

    @cached_property
    def _entries(self) -> dict[str, Any]:
        """The variables of all blocks by name, the innermost first."""
        found: dict[str, Any] = {}
        for block in reversed(self._blocks):
            for child in block.iter_children():
                if child.tag in _VARIABLES and (name := name_of(child)):
                    found.setdefault(name, child)
        return found

    @cached_property
    def _file_variables(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for child in self._die.cu.get_top_DIE().iter_children():
            if child.tag == "DW_TAG_variable" and (name := name_of(child)):
                # A definition that follows a declaration tells where it is.
                if name not in found or "DW_AT_location" in child.attributes:
                    found[name] = child
        return found

    @cached_property
    def _file_types(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for child in self._die.cu.get_top_DIE().iter_children():
            if child.tag in _TYPES and (name := name_of(child)):
                word = child.tag.removeprefix("DW_TAG_").removesuffix("_type")
                word = {"structure": "struct", "union": "union", "class": "class", "enumeration": "enum"}.get(word, "")
                found.setdefault(f"{word} {name}".strip(), child)
                found.setdefault(name, child)
        return found


def declaration(name: str, kind: Type) -> str:
    """`uint8_t *buffer`, `int argc`, `char name[12]`."""
    text, bracket, dimensions = kind.name.partition(" [")
    if bracket:
        return f"{text} {name}[{dimensions}"
    return f"{text}{name}" if text.endswith(("*", "&")) else f"{text} {name}"


def _blocks(reader: Reader, die: Any, address: int) -> Iterator[Any]:
    """The function and the blocks in it that an instruction belongs to, from the outside."""
    while die is not None:
        yield die
        die = next(
            (
                child
                for child in die.iter_children()
                if child.tag in _BLOCKS and any(low <= address < high for low, high in reader.units.ranges(child))
            ),
            None,
        )


def _parameters(die: Any) -> list[tuple[Any, Any | None]]:
    """(what declares it, what describes it in this copy of the function) for each argument, in their order."""
    own = [child for child in die.iter_children() if child.tag == "DW_TAG_formal_parameter"]
    source = origin(die)
    if source is die:
        return [(child, child) for child in own]
    by_origin = {origin(child).offset: child for child in own}
    originals = [child for child in source.iter_children() if child.tag == "DW_TAG_formal_parameter"]
    return [(original, by_origin.get(original.offset)) for original in originals]
