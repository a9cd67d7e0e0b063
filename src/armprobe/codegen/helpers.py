"""The helpers of compiled handlers, to be imported where a type checker or a linter asks for them.

A handler knows them without an import. Outside of handlers, conversions and log2 compute; the others have no target.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from armprobe.codegen.words import Type
from armprobe.errors import UsageError

_SIZES = (8, 16, 32, 64)


def log2(value: int) -> int:
    """The position of the highest bit that is set: `2**n <= value < 2**(n + 1)` gives n; 0 gives 0."""
    return max(value.bit_length() - 1, 0)


def emit(**_fields: int | str) -> None:
    """Write a record of named values; it comes back in `session.events()`."""
    raise UsageError("emit() is there in compiled handlers only")


def skip(_result: int = 0) -> None:
    """At the first instruction of a function: go back to its caller, with this result, instead of executing it."""
    raise UsageError("skip() is there in compiled handlers only", hint="a handler of the host sets hit.regs.r0, "
                     "hit.regs.pc = hit.regs.lr, and returns True")  # fmt: skip


def cast(type_name: str, address: int) -> Any:
    """The address as a pointer of a type of the program: `cast("struct packet *", r0).len`."""
    raise UsageError(f"cast({type_name!r}, 0x{address:x}) is there in compiled handlers only",
                     hint="use hit.cast() in handlers of the host")  # fmt: skip


def string(address: int) -> str:
    """The string at an address, up to its zero; at most 256 bytes of it. It is compared, or given to emit()."""
    raise UsageError(f"string(0x{address:x}) is there in compiled handlers only", hint="use hit.string()")


def _read(name: str) -> Callable[[int], int]:
    """Reads memory at an address, at any alignment; a fault where there is none."""

    def read(address: int) -> int:
        raise UsageError(f"{name}(0x{address:x}) is there in compiled handlers only", hint="use session.read_memory()")

    return read


def _conversion(bits: int, signed: bool) -> Callable[[int], int]:
    """The lowest bits of a number, as a number with or without a sign."""
    return Type(bits, signed).wrap


u8, u16, u32, u64 = (_read(f"u{bits}") for bits in _SIZES)
s8, s16, s32, s64 = (_read(f"s{bits}") for bits in _SIZES)
as_u8, as_u16, as_u32, as_u64 = (_conversion(bits, False) for bits in _SIZES)
as_s8, as_s16, as_s32, as_s64 = (_conversion(bits, True) for bits in _SIZES)

#: by name; `min`, `max` and `range` are Python's own
HELPERS: dict[str, Callable[..., object]] = {
    "log2": log2, "emit": emit, "skip": skip, "cast": cast, "string": string,
    "u8": u8, "u16": u16, "u32": u32, "u64": u64, "s8": s8, "s16": s16, "s32": s32, "s64": s64,
    "as_u8": as_u8, "as_u16": as_u16, "as_u32": as_u32, "as_u64": as_u64,
    "as_s8": as_s8, "as_s16": as_s16, "as_s32": as_s32, "as_s64": as_s64,
}  # fmt: skip
