"""Where the variables of a function are at one of its instructions."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

from armprobe.errors import Refused
from armprobe.isa.decoder import decode
from armprobe.isa.insn import REGISTER_NAMES
from armprobe.symbols.arguments import argument_places
from armprobe.symbols.dwarf.entry import Entry, Straight, follow_entry
from armprobe.symbols.dwarf.expressions import OPTIMIZED_OUT, NoValue, Surroundings, address_of, evaluate
from armprobe.symbols.dwarf.reader import Reader, constant_place
from armprobe.symbols.dwarf.units import attribute, holder
from armprobe.symbols.places import (
    Absent,
    ConstantWord,
    InMemory,
    InWord,
    Pair,
    Place,
    RegisterWord,
    Where,
    Word,
    absent,
    in_memory,
    operation,
    split_sum,
)
from armprobe.symbols.types import Type, pointer_to

_MASK = 0xFFFFFFFF
#: parts of the names of functions that a compiler has made of others, with other arguments
_CLONES = (".isra.", ".constprop.", ".part.", ".cold")
_OPTIMIZED = re.compile(rb" -O(?:[1-9sgz]|fast|(?= |$))")
#: registers that a called function may change (AAPCS32 6.1.1), and LR
_CALL_CLOBBERS = 0x500F
_NOT_YET = "not on the stack yet"
_FRAME_GONE = "not on the stack any more"


class Function:
    """One function, seen from the instruction at `address`. `die` is its entry, `parameters` those of its arguments.

    An argument that the compiler has removed is None there, and its type in `types`.
    """

    def __init__(
        self, reader: Reader, die: Any, start: int, address: int, parameters: list[Any], types: list[Type]
    ) -> None:
        self._reader = reader
        self._die = die
        self._start = start
        self._address = address
        self._parameters = parameters
        self._types = types

    def place(self, die: Any) -> Place:
        """Where the variable or argument of an entry is."""
        try:
            if die in self._parameters and self._is_fixed(die):
                return self._argument(self._parameters.index(die), die)
            return self._described(die)
        except NoValue as problem:
            return absent(str(problem))

    def _described(self, die: Any) -> Place:
        """As the debug information says, checked against the stack."""
        reader = self._reader
        constant = constant_place(die)
        if constant is not None and holder(die, "DW_AT_location") is None:
            return constant
        if holder(die, "DW_AT_location") is None:
            return absent(OPTIMIZED_OUT)
        entering = self._is_entered(die)
        located = reader.location(die, "DW_AT_location", self._address, entering=entering)
        if located is None:
            return absent(OPTIMIZED_OUT)
        place = evaluate(located.code, self._around)
        if entering and die in self._parameters and isinstance(place.where, InWord):
            # Nothing is computed yet. Compilers that do not tell the first state from the last may say so all the same.
            incoming = self._incoming[self._parameters.index(die)]
            if not isinstance(place.where.word, RegisterWord) and not incoming.reason:
                return incoming
        if located.span is not None and self._is_torn(place, *located.span):
            raise NoValue("in several registers, of which one has been written since")
        if located.span is None and _in_registers(place) and self._is_optimized:
            raise NoValue("said to be in one register all the time, by a compiler that does not follow it")
        state = self._straight.at(self._address)
        for _, where in place.parts:
            if state is not None and isinstance(where, InMemory) and _is_below(where.address, state):
                raise NoValue(_NOT_YET)
        return place

    @property
    def _is_optimized(self) -> bool:
        """Whether GCC, which notes its options, has optimized the unit."""
        producer = self._die.cu.get_top_DIE().attributes.get("DW_AT_producer")
        return producer is not None and _OPTIMIZED.search(producer.value) is not None

    def _is_entered(self, die: Any) -> bool:
        """Whether the entry is that of an argument, and the instruction the first of its function or inlined copy."""
        if die.tag != "DW_TAG_formal_parameter":
            return False
        parent = die.get_parent()
        if parent.offset == self._die.offset:
            return self._address == self._start
        return bool(self._reader.units.entry_address(parent) == self._address)

    def _is_torn(self, place: Place, start: int, end: int) -> bool:
        """Whether one of several registers that a value is in may hold something else by now.

        GCC watches the first of them only (its variable tracking knows a value of two words by one register).
        """
        words = [where.word for _, where in place.parts if isinstance(where, InWord)]
        others = sum({1 << REGISTER_NAMES.index(word.name) for word in words[1:] if isinstance(word, RegisterWord)})
        if not others:
            return False
        written, loops = [], False
        for offset in range(0, end - start, 4):
            try:
                insn = decode(int.from_bytes(self._reader.code(start + offset, 4), "little"))
            except Refused:
                return True
            target = insn.target(start + offset)
            loops |= target is not None and start <= target <= start + offset
            if (insn.usage.writes | (_CALL_CLOBBERS if insn.row.relocate == "call" else 0)) & others:
                written.append(start + offset)
        return any(loops or place < self._address for place in written)

    def _is_fixed(self, die: Any) -> bool:
        """Whether one expression serves for the whole function."""
        found = attribute(die, "DW_AT_location")
        return found is not None and (found.form == "DW_FORM_exprloc" or found.form.startswith("DW_FORM_block"))

    def _argument(self, index: int, die: Any) -> Place:
        """An argument that is said to be in one place all the time, which at first it can't be."""
        size = self._types[index].size
        state = self._straight.at(self._address)
        code = self._reader.expression(die, "DW_AT_location", None) or []
        if self._is_settled(code, size, index, state or self._straight.last):
            return self._described(die)
        if state is None:
            return absent("not known to have come to the place that it is said to be in all the time")
        place = _moved(self._incoming[index], state)
        if _is_by_reference(code):
            held = place.value(4)
            return place if isinstance(held, Absent | Pair) else in_memory(held)
        return place

    def _is_settled(self, code: list[int], size: int, index: int, state: Entry) -> bool:
        """Whether the argument has come to the place that the expression describes."""
        ops = self._around.parse(code)
        names = [op.op_name for op in ops]
        if names == ["DW_OP_fbreg"] or _is_by_reference(code):
            offset = ops[0].args[0] - self._frame_offset
            width = 4 if len(ops) == 2 else size
            there = set(range(offset, offset + width)) <= state.stored
            return there or self._incoming[index].where == InMemory(
                operation("+", RegisterWord("sp"), ConstantWord(offset & _MASK))
            )
        # A register for the whole function is what a compiler says that does not follow variables.
        return False

    @cached_property
    def _incoming(self) -> list[Place]:
        """Where the arguments are at the first instruction."""
        names = self._reader.names(self._start)
        if any(part in name for name in names for part in _CLONES):
            changed = absent("an argument of a function whose arguments the compiler has changed")
            return [changed] * len(self._types)
        types = [
            pointer_to(kind) if die is not None and self._passed_by_reference(die) else kind
            for die, kind in zip(self._parameters, self._types, strict=True)
        ]
        result = self._reader.types.of(self._die)
        return argument_places(types, result, hard_float=self._reader.hard_float, variadic=is_variadic(self._die))

    def _passed_by_reference(self, die: Any) -> bool:
        return self._is_fixed(die) and _is_by_reference(self._reader.expression(die, "DW_AT_location", None) or [])

    # --- the frame

    @cached_property
    def _around(self) -> Surroundings:
        reader = self._reader
        return Surroundings(
            reader.parse(self._die.cu), self._frame_base, lambda: reader.frames.cfa(self._address), reader.bias
        )

    def _frame_base(self) -> Word:
        code = self._reader.expression(self._die, "DW_AT_frame_base", self._address)
        if code is None:
            raise NoValue("in a frame that is not described here")
        register = self._frame_register
        if register is None:
            return address_of(code, self._around)
        # The register is set up by the first instructions, and gone at the last: call frame information knows.
        state = self._straight.at(self._address)
        if state is not None and state.stack.get(register) != -self._frame_offset:
            raise NoValue(_NOT_YET)
        if self._reader.frames.rule(self._address) != (register, self._frame_offset) or self._has_left_frame():
            raise NoValue(_FRAME_GONE)
        return RegisterWord(register)

    @cached_property
    def _frame_register(self) -> str | None:
        """The register that is the frame base; None where the frame base is the CFA, or an expression."""
        code = self._reader.expression(self._die, "DW_AT_frame_base", self._address) or []
        place = evaluate(code, Surroundings(self._reader.parse(self._die.cu), _no_frame, _no_frame, 0))
        if isinstance(place.where, InWord) and isinstance(place.where.word, RegisterWord):
            return place.where.word.name
        return None

    @cached_property
    def _frame_offset(self) -> int:
        """How far the frame base is below the SP of the entry."""
        register = self._frame_register
        if register is None:
            return 0
        place = self._straight.last.stack.get(register)
        if place is None:
            raise NoValue("in a frame that the first instructions of the function do not set up")
        return -place

    def _has_left_frame(self) -> bool:
        """Whether instructions just before this one have taken the frame down."""
        for place in range(self._address - 4, self._start, -4):
            try:
                insn = decode(int.from_bytes(self._reader.code(place, 4), "little"))
            except Refused:
                return True
            if insn.writes_pc or insn.row.relocate in ("branch", "call"):
                return False
            if insn.usage.writes >> 13 & 1 and self._straight.at(place) is None:
                return True
        return False

    @cached_property
    def _straight(self) -> Straight:
        end = max(
            (high for low, high in self._reader.units.ranges(self._die) if low == self._start), default=self._start
        )
        return follow_entry(self._start, self._reader.code(self._start, end - self._start))


def is_variadic(die: Any) -> bool:
    """Whether a function takes more arguments than its entry declares."""
    return any(child.tag == "DW_TAG_unspecified_parameters" for child in die.iter_children())


def _in_registers(place: Place) -> bool:
    """Whether a place, or a part of it, is a register."""
    return any(isinstance(where, InWord) and isinstance(where.word, RegisterWord) for _, where in place.parts)


def _no_frame() -> Word:
    raise NoValue("on the stack")


def _is_by_reference(code: list[int]) -> bool:
    """Whether an expression is `fbreg N; deref`: the address of the object is in the frame."""
    if len(code) < 3 or code[0] != 0x91 or code[-1] != 0x06:
        return False
    return all(byte & 0x80 for byte in code[1:-2]) and not code[-2] & 0x80


def _moved(incoming: Place, state: Entry) -> Place:
    """Where what was at `incoming` at the entry is now: in registers that still hold it, or on the caller's stack."""
    parts: list[tuple[int, Where]] = []
    for size, where in incoming.parts:
        if isinstance(where, InWord) and isinstance(where.word, RegisterWord):
            register = state.register_with(where.word.name)
            if register is None:
                return absent("on its way to its place on the stack")
            parts.append((size, InWord(RegisterWord(register))))
        elif isinstance(where, InMemory):
            if "sp" not in state.stack:
                return absent("on the stack, whose pointer has moved in a way that is not followed")
            parts.append((size, InMemory(operation("+", where.address, ConstantWord(-state.stack["sp"] & _MASK)))))
        else:
            return incoming
    return Place(tuple(parts))


def _is_below(address: Word, state: Entry) -> bool:
    """Whether an address is in the part of the stack that is not taken yet."""
    base, offset = split_sum(address)
    if not isinstance(base, RegisterWord) or base.name not in state.stack or "sp" not in state.stack:
        return False
    return state.stack[base.name] + offset < state.stack["sp"]
