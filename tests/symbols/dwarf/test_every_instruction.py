"""Arguments by name at every instruction of every function: always what they were when the function was called.

The functions of variables.c never change their arguments. What they are is taken from registers and stack at the entry,
by hand for each function here; afterwards debug information is asked at every instruction that is executed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from tests.symbols.dwarf.programs import LEVELS, image

from armprobe import Hit, emulate

Truth = dict[str, int]


def signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def stack(hit: Hit, offset: int) -> int:
    return hit.u32(hit.regs.sp + offset)


#: what each function is called with, by the procedure call standard
ENTRIES: dict[str, Callable[[Hit, Any], Truth]] = {
    "narrow": lambda hit, r: {"a": r.r0 & 0xFF, "b": signed(r.r1, 8), "c": r.r2 & 0xFFFF, "d": r.r3 & 1},
    "wide": lambda hit, r: {
        "a": r.r0, "b": r.r3 << 32 | r.r2, "c": signed(stack(hit, 4) << 32 | stack(hit, 0), 64),
        "d": stack(hit, 8) & 0xFFFF,
    },
    "by_value": lambda hit, r: {
        "p.first": r.r0, "p.second": r.r1, "s.a": r.r2 & 0xFFFF, "s.b": r.r2 >> 16 & 0xFF, "t.x": signed(r.r3, 32),
        "t.y": signed(stack(hit, 0), 32), "t.z": signed(stack(hit, 4), 32), "last": stack(hit, 8),
    },
    "addressed": lambda hit, r: {"a": r.r0, "b": r.r1 & 0xFF, "c": r.r2},
    "follow": lambda hit, r: {
        "m": r.r0, "wanted": signed(r.r1, 8), "tiny": r.r2 & 0xFF, "m.hdr.type": hit.u8(r.r0),
        "m.hdr.length": hit.u16(r.r0 + 2), "m.hdr.level": signed(hit.u8(r.r0 + 1) >> 4, 4),
        "m.next": hit.u32(r.r0 + 4), "m.word": hit.u32(r.r0 + 12), "m.bytes[2]": hit.u8(r.r0 + 14),
    },
    "outer": lambda hit, r: {"m": r.r0, "factor": r.r1},
    "recursive": lambda hit, r: {"depth": r.r0, "seed": r.r1},
    "stacked": lambda hit, r: {
        "a": r.r0, "b": r.r1, "c": r.r2, "d": r.r3, "e": stack(hit, 0) & 0xFF,
        "f": stack(hit, 12) << 32 | stack(hit, 8), "g": signed(stack(hit, 16), 16),
    },
    "variadic": lambda hit, r: {"count": r.r0},
    "made": lambda hit, r: {"p.first": r.r1, "p.second": r.r2, "z": signed(r.r3, 32)},
}  # fmt: skip
#: why there is no value, where there is none
REASONS = (
    "optimized out here", "known only by what r", "not on the stack here: its place is below the stack pointer",
    "on its way to its place on the stack", "optimized out here, in a part", "not described by the debug information",
    "computed in a way that is not followed", "said to be in one register all the time", "not known to have come to",
    "in several registers, of which one has been written since",
)  # fmt: skip


def walk(level: str, *options: str) -> tuple[Counter[str], Counter[str]]:
    """Compare at every instruction; return (values that were right, values that were not there) by function."""
    right: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    calls: list[tuple[str, int, Truth]] = []
    program = image(level, *options)
    printed = bytearray()
    reasons: set[str] = set()
    with emulate(program, output=printed.extend, arguments=["variables", "6"]) as session:
        session.optimization = False

        def at_instruction(name: str, start: int, hit: Hit) -> None:
            if calls and calls[-1][:2] == (name, hit.address):
                calls.pop()  # this is where the innermost call returns to
            if hit.address == start:
                calls.append((name, hit.regs.lr, ENTRIES[name](hit, hit.regs)))
            for path, expected in calls[-1][2].items():
                try:
                    found = value_of(hit, path)
                except AttributeError as problem:
                    reasons.add(str(problem).partition(" is ")[2])
                    missing[name] += 1
                else:
                    where = f"{level} {path} at {hit.symbol} (0x{hit.address:08x})"
                    assert found == expected, f"{where}: {found:#x} instead of {expected:#x}"
                    right[name] += 1

        for name in ENTRIES:
            (symbol,) = session.symbols.named(name)
            for place in range(symbol.address, symbol.address + symbol.size, 4):
                if not session.explain(place).refused:
                    session.probe(place, partial(at_instruction, name, symbol.address))
        session.run()
    assert printed.endswith(b"calls 6\n")
    assert [reason for reason in reasons if not reason.startswith(REASONS)] == []
    return right, missing


def value_of(hit: Hit, path: str) -> int:
    value: Any = hit.args
    for step in path.removesuffix("[2]").split("."):
        value = getattr(value, step)
    return int(value[2] if path.endswith("]") else value)


@pytest.mark.slow
@pytest.mark.parametrize("options", [*((level,) for level in LEVELS), ("-O0", "-gdwarf-3"), ("-O2", "-gdwarf-4"),
                                     ("-O2", "-fno-var-tracking")])  # fmt: skip
def test_arguments_are_what_they_were_at_the_entry(options):
    right, missing = walk(*options)
    assert set(right) == set(ENTRIES)
    assert sum(right.values()) > 3_000
    share = sum(right.values()) / (sum(right.values()) + sum(missing.values()))
    # Without optimization everything has a place all the time, but for the way there and back.
    followed = "-fno-var-tracking" not in options  # else a compiler claims registers for whole functions
    assert share > (0.97 if options[0] == "-O0" else 0.75 if followed else 0.25)
