"""Target code that fetches the sources of fields: registers, constants, memory by any number of pointers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from armprobe.codegen import memory
from armprobe.codegen.ir import Lines
from armprobe.codegen.read_value import read_privileged, read_value
from armprobe.errors import InternalError
from armprobe.events.record import FieldType
from armprobe.events.source import AtEntry, Memory, Number, Operation, Read, Source, Wide
from armprobe.isa.reading import SystemRegister, width

_WORD = 0xFFFFFFFF
_OPERATORS = {
    "+": "add", "-": "sub", "*": "mul", "&": "and", "|": "or", "^": "xor", "<<": "shl", ">>": "lshr", ">>s": "ashr",
}  # fmt: skip
#: a value, and the i1 that says that it could be read (None: always); a value that could not be read is 0
Fetched = tuple[str, str | None]


def bytes_at_entry(source: Source) -> int:
    """The bytes that are kept of a source at the entry of a call."""
    return width(source.reading) // 8 if isinstance(source, Read) else 4


@dataclass(slots=True, eq=False)
class Fetcher:
    """Fetches sources, each once a hit: what a filter compared is what a record shows."""

    ir: Lines
    readable: memory.Readable
    register: Callable[[str], str]
    #: has CLZ, which came with architecture 5
    has_clz: bool = True
    #: at a return: pointers to what was kept of the call
    kept: dict[Source, str] = field(default_factory=dict)
    _known: dict[tuple[Source, int], Fetched] = field(default_factory=dict)
    _system: dict[SystemRegister, str] = field(default_factory=dict)

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Forget at the end what was fetched within: code that comes later may be reached by another way."""
        known, system = dict(self._known), dict(self._system)
        yield
        self._known, self._system = known, system

    def fetch(self, source: Source, size: int) -> Fetched:
        """The value of `size` bytes. Registers and constants have 32 bits, and zeros above."""
        match source:
            case str():
                return self._resize(self.register(source), size), None
            case Number(value):
                return str(value & _WORD & (1 << 8 * size) - 1), None
            case Memory():
                if (source, size) not in self._known:
                    self._known[source, size] = self._read(source, size)
                return self._known[source, size]
            case Operation(op, left, right):
                (first, good), (second, also) = self._word(left), self._word(right)
                result = self.ir.value(f"{_OPERATORS[op]} i32 {first}, {second}")
                return self._resize(result, size), self._both(good, also)
            case Wide(low, high):
                if size <= 4:
                    return self.fetch(low, size)
                (first, good), (second, also) = self._word(low), self._word(high)
                upper = self.ir.value(f"shl i64 {self._resize(second, 8)}, 32")
                return self.ir.value(f"or i64 {upper}, {self._resize(first, 8)}"), self._both(good, also)
            case Read(reading, privileged):
                if (source, size) not in self._known:
                    if privileged:
                        found = read_privileged(self.ir, reading, self.register)
                    else:
                        found = read_value(self.ir, reading, self.register, self._system)
                    self._known[source, size] = self._resize(found, size, width(reading)), None
                return self._known[source, size]
            case AtEntry(wanted):
                kept = 8 * bytes_at_entry(wanted)
                return self._resize(self.ir.value(f"load i{kept}, ptr {self.kept[wanted]}"), size, kept), None
            case _:
                raise InternalError(f"{source!r} is not fetched by target code")

    def operand(self, source: Source, kind: FieldType, bits: int) -> Fetched:
        """The number that a field is, extended to `bits`."""
        ir, own = self.ir, 8 * kind.size
        value, good = self.fetch(source, kind.size)
        if kind.bits is not None:
            width, low = kind.bits
            value = ir.value(f"shl i{own} {value}, {own - width - low}")
            value = ir.value(f"{'ashr' if kind.signed else 'lshr'} i{own} {value}, {own - width}")
        if own < bits:
            value = ir.value(f"{'sext' if kind.signed else 'zext'} i{own} {value} to i{bits}")
        return value, good

    def array(self, source: Memory, size: int) -> tuple[str, str]:
        """The address of `size` bytes, and whether all of them can be read, as far as `memory.copy` does not tell."""
        ir = self.ir
        found, good, end = ir.variable("i32", "0"), ir.variable("i1", "false"), ir.label()
        address = self.address(source, end)
        if not self.readable.walked:
            memory.check(ir, address, size, self.readable.ranges, end)
        ir.line(f"store i32 {address}, ptr {found}")
        ir.line(f"store i1 true, ptr {good}")
        ir.jump(end)
        ir.begin(end)
        return ir.value(f"load i32, ptr {found}"), ir.value(f"load i1, ptr {good}")

    def text(self, source: Memory, most: int) -> tuple[str, str]:
        """The address of a string, and the bytes to copy, with the zero: 0 where it cannot be read."""
        ir = self.ir
        found, length, end = ir.variable("i32", "0"), ir.variable("i32", "0"), ir.label()
        address = self.address(source, end)
        count = memory.measure(ir, address, self.readable, most, end)
        ir.line(f"store i32 {address}, ptr {found}")
        ir.line(f"store i32 {count}, ptr {length}")
        ir.jump(end)
        ir.begin(end)
        return ir.value(f"load i32, ptr {found}"), ir.value(f"load i32, ptr {length}")

    def _read(self, source: Memory, size: int) -> Fetched:
        ir, kind = self.ir, f"i{8 * size}"
        value, good, end = ir.variable(kind, "0"), ir.variable("i1", "false"), ir.label()
        address = self.address(source, end)
        ir.line(f"store {kind} {memory.read(ir, address, size, self.readable, end)}, ptr {value}")
        ir.line(f"store i1 true, ptr {good}")
        ir.jump(end)
        ir.begin(end)
        return ir.value(f"load {kind}, ptr {value}"), ir.value(f"load i1, ptr {good}")

    def address(self, source: Memory, fault: str) -> str:
        """The address that is meant; go to `fault` where a pointer on the way cannot be read."""
        ir = self.ir
        base, good = self._word(source.base)
        if good is not None:
            onward = ir.label()
            ir.branch(good, onward, fault)
            ir.begin(onward)
        return ir.value(f"add i32 {base}, {source.offset & _WORD}")

    def _word(self, source: Source) -> Fetched:
        """The word that a part of another source is."""
        size = source.size if isinstance(source, Memory) else 4
        value, good = self.fetch(source, size)
        return self._resize(value, 4, 8 * size), good

    def _both(self, good: str | None, also: str | None) -> str | None:
        """Whether two values could be read."""
        if good is None or also is None:
            return good or also
        return self.ir.value(f"and i1 {good}, {also}")

    def _resize(self, value: str, size: int, bits: int = 32) -> str:
        if 8 * size == bits:
            return value
        return self.ir.value(f"{'zext' if 8 * size > bits else 'trunc'} i{bits} {value} to i{8 * size}")
