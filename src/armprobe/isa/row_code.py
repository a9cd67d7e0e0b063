"""The columns of a row as code: small expressions over its fields become functions of a word and ITSTATE.

One function a row, compiled on first use: evaluating the columns term by term would cost ten times as much.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import TYPE_CHECKING

from armprobe.errors import TableError
from armprobe.isa.instruction_set import InstructionSet
from armprobe.isa.usage import ALL_CORE, ALL_FLAGS, ALL_VECTOR, FLAG_BITS, Usage

if TYPE_CHECKING:
    from armprobe.isa.rows import Row

_VECTOR_TERM = re.compile(
    r"(?:(?P<kind>[SDQV])(?P<operand>[dnm])|(?P<bank>[SD])\[(?P<index>[^\]]+)\])(?:\*(?P<count>\w+))?"
)
_FIXED_CORE = {"sp": 13, "lr": 14, "pc": 15} | {f"r{n}": n for n in range(13)}
_WORD_UNITS = {"S": 1, "D": 2, "Q": 4}


def _terms(column: str) -> Iterator[tuple[str, str]]:
    """Split a column into (terms, condition): `Rd; Rn if wback` -> ("Rd", ""), ("Rn", "wback")."""
    for part in column.split(";"):
        terms, _, condition = part.partition(" if ")
        if terms.strip():
            yield terms.strip(), condition.strip()


def _core_term(row: Row, term: str) -> str:
    if term in _FIXED_CORE:
        return str(1 << _FIXED_CORE[term])
    if term == "registers":
        return "registers"
    base, plus, offset = term.partition("+")
    if (base in row.fields and row.fields[base][1] in (7, 15)) or (base[0] == "R" and base in _derived(row)):
        return f"1 << {base}" if not plus else f"(1 << ({base} + {int(offset)})) & 0xffff"
    raise TableError(f"{row.name}: {term!r} is no core register of the row")


def _derived(row: Row) -> list[str]:
    """The names that the row derives from its fields; one may be that of a field, which it completes."""
    return [part.partition("=")[0].strip() for part in row.let.split(";") if part.strip()]


def _vector_term(row: Row, term: str) -> str:
    match = _VECTOR_TERM.fullmatch(term)
    if match is None:
        raise TableError(f"{row.name}: {term!r} is no vector register")
    if match["bank"]:
        kind, index = match["bank"], match["index"]
    else:
        kind, index = match["kind"], ("S" if match["kind"] == "S" else "D") + match["operand"]
    shift = f"({index})" if kind == "S" else f"2 * ({index})"
    if kind == "V":
        units = "(4 if Q else 2)"
    else:
        units = str(_WORD_UNITS[kind])
    count = f"{units} * {match['count']}" if match["count"] else units
    return f"(((1 << {count}) - 1) << {shift}) & 0xffffffffffffffff"


def _flag_term(row: Row, term: str) -> str:
    found = re.findall(r"GE|[NZCVQ]", term)
    if "".join(found) != term:
        raise TableError(f"{row.name}: {term!r} are no flags")
    return str(sum(FLAG_BITS[flag] for flag in found))


def _preamble(row: Row) -> list[str]:
    lines = [f"    {name} = (word >> {shift}) & {mask}" for name, (shift, mask) in row.fields.items()]
    for operand, extra in (("d", "D"), ("n", "N"), ("m", "M")):
        if {f"V{operand}", extra} <= row.fields.keys():
            lines.append(f"    S{operand} = V{operand} << 1 | {extra}")
            lines.append(f"    D{operand} = {extra} << 4 | V{operand}")
    lines += [f"    {statement.strip()}" for statement in row.let.split(";") if statement.strip()]
    return lines


def _place_in_block(row: Row) -> list[str]:
    """Names for what ITSTATE tells (DDI 0406C A2.5.2)."""
    if row.instruction_set is InstructionSet.A32:
        return []
    return ["    in_it = it & 15 != 0", "    last_in_it = it & 15 == 8"]


def _signed(value: int, bits: int) -> int:
    """`value`, of so many bits, as a number in two's complement."""
    return (value ^ 1 << bits - 1) - (1 << bits - 1)


_HELPERS: dict[str, object] = {"count": int.bit_count, "signed": _signed, "make_usage": Usage._make}


def _define(row: Row, name: str, lines: list[str], *, context: str = "it") -> Callable[..., object]:
    source = f"def {name}(word, {context}):\n" + "\n".join(_preamble(row) + lines)
    scope: dict[str, object] = {"__builtins__": {}, **_HELPERS}
    try:
        exec(compile(source, f"<row {row.name}>", "exec"), scope)  # noqa: S102  the text is ours: a table's columns
    except SyntaxError as error:
        raise TableError(f"{row.name}: {error.text!r} is no expression") from error
    function = scope[name]
    assert isinstance(function, FunctionType)
    unknown = set(function.__code__.co_names) - scope.keys()
    if unknown:
        raise TableError(f"{row.name}: {sorted(unknown)} are no fields of the row")
    return function


def compile_invalid(row: Row) -> Callable[..., object]:
    """What kind of invalid a word that matches is, and why: (kind, reason), or None."""
    lines = _place_in_block(row)
    for kind, column in (("undefined", row.undefined), ("unpredictable", row.unpredictable)):
        for condition in column.split(";"):
            if condition.strip():
                lines.append(f"    if {condition.strip()}: return ({kind!r}, {condition.strip()!r})")
        if kind == "undefined" and row.should_mask:
            reason = f"should-be bits 0x{row.should_mask:08x} are not 0x{row.should_value:08x}"
            lines.append(f"    if word & {row.should_mask} != {row.should_value}: return ('unpredictable', {reason!r})")
    return _define(row, "invalid", [*lines, "    return None"])


def compile_target(row: Row) -> Callable[..., object]:
    """Where a word that matches branches to."""
    return _define(row, "target", [f"    return ({row.target}) & 0xffffffff"], context="pc")


def compile_values(row: Row) -> Callable[..., object]:
    """The fields of a word that matches and the names that its row derives from them, as a dictionary."""
    items = ", ".join(f"{name!r}: {name}" for name in dict.fromkeys((*row.fields, *_derived(row))))
    return _define(row, "values", [f"    return {{{items}}}"])


def compile_usage(row: Row) -> Callable[..., object]:
    """The Usage of a word that matches."""
    lines = _place_in_block(row)
    columns: tuple[tuple[str, str | None, int, Callable[[Row, str], str]], ...] = (
        ("reads", row.reads, ALL_CORE, _core_term),
        ("writes", row.writes, ALL_CORE, _core_term),
        ("vreads", row.vreads, ALL_VECTOR, _vector_term),
        ("vwrites", row.vwrites, ALL_VECTOR, _vector_term),
        ("fread", row.flags_read, ALL_FLAGS, _flag_term),
        ("fwritten", row.flags_written, ALL_FLAGS, _flag_term),
    )
    for variable, column, everything, translate in columns:
        lines.append(f"    {variable} = {everything if column is None else 0}")
        for terms, condition in _terms(column or ""):
            prefix = f"    if {condition}: " if condition else "    "
            lines += [f"{prefix}{variable} |= {translate(row, term)}" for term in terms.split()]
    memory = {"load", "store"} if row.memory is None else set(row.memory.split())
    if not memory <= {"load", "store", "none"}:
        raise TableError(f"{row.name}: memory is 'none', 'load', 'store' or 'load store', not {row.memory!r}")
    stack = row.stack if row.stack is not None else ("None" if "store" in memory else "0")
    lines.append(
        f"    return make_usage((reads, writes, vreads, vwrites, fread, fwritten, "
        f"{'load' in memory}, {'store' in memory}, {stack}))"
    )
    return _define(row, "usage", lines)
