"""Compiled handlers as checked trees: every name resolved, every value typed, calls inlined.

Trees compare by what they do, so that functions that do the same share one compilation.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from armprobe.codegen.map_layout import MapShape
from armprobe.codegen.text_pattern import TextPattern
from armprobe.codegen.words import Type
from armprobe.events.record import Layout
from armprobe.events.source import Read as Source


@dataclass(frozen=True, slots=True)
class Constant:
    type: Type
    value: int


@dataclass(frozen=True, slots=True)
class Local:
    type: Type
    name: str


@dataclass(frozen=True, slots=True)
class Register:
    """A register (`r0` to `r12`, `sp`, `lr`, `pc`, `cpsr`) as it was at the site, u32."""

    type: Type
    name: str


@dataclass(frozen=True, slots=True)
class ProbeNumber:
    """The number of the probe, u32."""

    type: Type


@dataclass(frozen=True, slots=True)
class Moment:
    """Something of the hit: `time`, in ticks of the target's clock (u64), or, u32, `cpu`, the number of the processor,
    `pid` and `tgid`, those of the task and of its process, and `comm`, where the name of the task is.
    """

    type: Type
    name: str


@dataclass(frozen=True, slots=True)
class EntryValue:
    """At a return: a register, u32, or the `time`, u64, at the entry of the call."""

    type: Type
    name: str


@dataclass(frozen=True, slots=True)
class Result:
    """At a return: what the function returned, u32, or what the handler has set instead so far."""

    type: Type


@dataclass(frozen=True, slots=True)
class Convert:
    """The lowest `bits` bits of the operand, extended with their sign or with zeros."""

    type: Type
    operand: Expression
    bits: int
    signed: bool


@dataclass(frozen=True, slots=True)
class Binary:
    """`op` is + - * // % << >> & | ^ min max; both sides have the type (the distance of a shift: u32 or u64).

    The right side of // and % is a positive Constant, and one that is a power of two for 64 bits.
    """

    type: Type
    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Compare:
    """`op` is == != < <= > >=; both sides have one type."""

    type: Type
    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Logic:
    """`op` is `and` or `or`; the right side is evaluated only where it matters."""

    type: Type
    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Not:
    type: Type
    operand: Expression


@dataclass(frozen=True, slots=True)
class Choice:
    """`yes if condition else no`; only one of them is evaluated."""

    type: Type
    condition: Expression
    yes: Expression
    no: Expression


@dataclass(frozen=True, slots=True)
class Log2:
    """u32, whatever the operand."""

    type: Type
    operand: Expression


@dataclass(frozen=True, slots=True)
class Read:
    """`bits` bits of memory at the u32 `address`, at any alignment, extended with their sign or with zeros."""

    type: Type
    address: Expression
    bits: int
    signed: bool


@dataclass(frozen=True, slots=True)
class Bounded:
    """The u32 operand where it is below `count`; else a fault."""

    type: Type
    operand: Expression
    count: int


@dataclass(frozen=True, slots=True)
class ReadText:
    """The string at the u32 `address`, or that of the Moment `comm`; as a value of Emit only."""

    type: Type
    address: Expression


@dataclass(frozen=True, slots=True)
class MatchText:
    """Whether the string at the u32 `address` matches (`equal` false: does not)."""

    type: Type
    address: Expression
    pattern: TextPattern
    equal: bool


@dataclass(frozen=True, slots=True)
class MapRead:
    """The number, u64, of a key in the map with the number `map`, which is as in `MapUpdate`; 0 where there is none."""

    type: Type
    map: int
    key: Expression | tuple[Expression, ...] | None


@dataclass(frozen=True, slots=True)
class MapPop:
    """Remove a key from the table with the number `map`: the number, u64, that it had, 0 where it is not there."""

    type: Type
    map: int
    key: Expression | tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Inline:
    """A call: the body runs until a Return, whose value is left in the variable `result` (None: there is none)."""

    type: Type
    body: tuple[Statement, ...]
    result: str | None


Expression = (
    Constant
    | Local
    | Register
    | ProbeNumber
    | Moment
    | EntryValue
    | Result
    | Convert
    | Binary
    | Compare
    | Logic
    | Not
    | Choice
    | Log2
    | Read
    | Bounded
    | ReadText
    | MatchText
    | MapRead
    | MapPop
    | Inline
)


@dataclass(frozen=True, slots=True)
class Assign:
    name: str
    value: Expression


@dataclass(frozen=True, slots=True)
class If:
    condition: Expression
    then: tuple[Statement, ...]
    orelse: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class For:
    """The variable `name` runs through `values`, which is not empty."""

    type: Type
    name: str
    values: range
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Break:
    pass


@dataclass(frozen=True, slots=True)
class Continue:
    pass


@dataclass(frozen=True, slots=True)
class Return:
    value: Expression | None = None


@dataclass(frozen=True, slots=True)
class Evaluate:
    value: Expression


@dataclass(frozen=True, slots=True)
class MapUpdate:
    """Add the u64 `amount` to the cell of `key` in the map with the number `map`; a counter has no key.

    Where keys are made of parts, `key` are these: numbers, u32, and ReadText. With `replace`, the amount takes the
    place of what is there.
    """

    map: int
    key: Expression | tuple[Expression, ...] | None
    amount: Expression
    replace: bool = False


@dataclass(frozen=True, slots=True)
class Emit:
    """Write one record. A read that faults in a value leaves 0 there and sets the fault bit of its field."""

    values: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Skip:
    """End the handler and the call: the value becomes r0, of 64 bits r0 and r1; without one, both stay."""

    value: Expression | None = None


@dataclass(frozen=True, slots=True)
class SetResult:
    """At a return: let the function have returned the value, of 32 bits."""

    value: Expression


Statement = Assign | If | For | Break | Continue | Return | Evaluate | MapUpdate | Emit | Skip | SetResult


@dataclass(frozen=True, slots=True)
class Program:
    """A checked handler. `maps` are the shapes of the maps it uses; `layout` is that of its records, if it emits."""

    body: tuple[Statement, ...] = field(repr=False)
    maps: tuple[MapShape, ...] = ()
    layout: Layout | None = None
    #: whether it reads memory, so that it may fault
    reads: bool = False
    #: the names of the `Moment`s in it
    moment: frozenset[str] = frozenset()
    #: the names of the `EntryValue`s in it
    entry: frozenset[str] = frozenset()
    #: how many registers of the caller's result it may set, from r0 on: `Skip` does, and `SetResult`
    results: int = 0
    #: whether there is a `Skip` in it
    skips: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """A checked condition: a truth value, false where it reads memory that may not be read."""

    value: Expression
    reads: bool
    #: how its `Moment`s are read: name, source, size in bytes
    moment: tuple[tuple[str, Source, int], ...] = ()
    #: the maps that it reads, by their numbers, and where they stand
    maps: tuple[tuple[MapShape, int], ...] = ()
