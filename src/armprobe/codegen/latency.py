"""Latency in target memory: how often calls took how long. One definition, for the code that counts and the reader.

    offset 0    sum: u64, of all calls, in ticks
    offset 8    least: u32, ones where there was no call yet
    offset 12   greatest: u32
    offset 16   33 numbers of u64: calls that took 0 ticks, 1, 2 to 3, 4 to 7, ..., 2^31 and more

The extremes are 2^32 - 1 at most; the sum is exact.

Where calls are not led back through pads, but met again at the instructions that end them, CALLS entries of a table
keep when calls in progress began:

    offset 0    SP at the entry of the call, which no other call in progress has; 0: free
    offset 8    the time: u64

An entry is one of STEPS from the one that SP gives on, and around the end. One that is left behind, by a call that
never ended, is taken over by the next call with that SP.
"""

from __future__ import annotations

from armprobe.codegen.cell_search import Search, begin_search
from armprobe.codegen.ir import Lines
from armprobe.codegen.map_layout import HASH

CALLS, STEPS, CALL_BYTES = 1024, 16, 16
_BEGAN = 8
SUM, LEAST, GREATEST, BUCKETS = 0, 8, 12, 16
BUCKET_COUNT = 33
BYTES = BUCKETS + 8 * BUCKET_COUNT
_WORD = 0xFFFFFFFF


def add_latency(ir: Lines, symbol: str, ticks: str, *, has_clz: bool) -> None:
    """Count a call that took `ticks` (i64); `symbol` is where its latencies stand."""
    base = ir.symbol(symbol, f"[{BYTES} x i8]", 8)
    ir.add(base, ticks, bits=64)
    high = ir.value(f"trunc i64 {ir.value(f'lshr i64 {ticks}, 32')} to i32")
    short = ir.value(f"icmp eq i32 {high}, 0")
    low = ir.value(f"select i1 {short}, i32 {ir.value(f'trunc i64 {ticks} to i32')}, i32 {_WORD}")
    _extreme(ir, ir.offset(base, LEAST), low, "umin", "ult")
    _extreme(ir, ir.offset(base, GREATEST), low, "umax", "ugt")
    bucket = _bit_length(ir, low, has_clz=has_clz)
    ir.add(ir.value(f"getelementptr i64, ptr {ir.offset(base, BUCKETS)}, i32 {bucket}"), bits=64)


def begin_call(ir: Lines, symbol: str, sp: str, now: str, missed: str) -> None:
    """Keep when a call began (i64), in the table at `symbol`; count it as missed where there is no entry for it."""
    taken, free, found, none, end = (ir.label() for _ in range(5))
    search, place = _look(ir, symbol, sp, none)
    held = ir.value(f"load volatile i32, ptr {place}, align 4")
    ir.branch(ir.value(f"icmp eq i32 {held}, {sp}"), found, taken)
    ir.begin(taken)
    ir.branch(ir.value(f"icmp eq i32 {held}, 0"), free, search.onward)
    ir.begin(free)
    if ir.atomic:
        pair = ir.value(f"cmpxchg ptr {place}, i32 0, i32 {sp} monotonic monotonic")
        ir.branch(ir.value(f"extractvalue {{ i32, i1 }} {pair}, 1"), found, search.onward)
    else:
        ir.line(f"store volatile i32 {sp}, ptr {place}, align 4")
        ir.jump(found)
    search.close()
    ir.begin(none)
    ir.add(ir.symbol(missed))
    ir.jump(end)
    ir.begin(found)
    ir.line(f"store volatile i64 {now}, ptr {ir.offset(place, _BEGAN)}, align 8")
    ir.jump(end)
    ir.begin(end)


def end_call(ir: Lines, symbol: str, sp: str, now: str, latency: str, *, has_clz: bool) -> None:
    """Count how long the call took that began with this SP, at the symbol `latency`, if it is known."""
    found, end = ir.label(), ir.label()
    search, place = _look(ir, symbol, sp, end)
    held = ir.value(f"load volatile i32, ptr {place}, align 4")
    ir.branch(ir.value(f"icmp eq i32 {held}, {sp}"), found, search.onward)
    search.close()
    ir.begin(found)
    began = ir.value(f"load volatile i64, ptr {ir.offset(place, _BEGAN)}, align 8")
    # The time was read before the entry is free for others.
    order = "store atomic volatile i32 0" if ir.atomic else "store volatile i32 0"
    ir.line(f"{order}, ptr {place}{' release' if ir.atomic else ''}, align 4")
    add_latency(ir, latency, ir.value(f"sub i64 {now}, {began}"), has_clz=has_clz)
    ir.jump(end)
    ir.begin(end)


def _look(ir: Lines, symbol: str, sp: str, none: str) -> tuple[Search, str]:
    """Look at the entries that a call may have, one after another; a pointer to the one at hand."""
    calls, index = ir.symbol(symbol, f"[{CALLS * CALL_BYTES} x i8]", 8), ir.variable("i32")
    # The highest bits of a product are those that depend on all others.
    first = ir.value(f"lshr i32 {ir.value(f'mul i32 {sp}, {HASH}')}, {32 - CALLS.bit_length() + 1}")
    ir.line(f"store i32 {first}, ptr {index}")
    search = begin_search(ir, index, size=CALLS, steps=STEPS, none=none)
    return search, ir.offset(calls, ir.value(f"mul i32 {search.here}, {CALL_BYTES}"))


def _extreme(ir: Lines, place: str, value: str, operation: str, order: str) -> None:
    if ir.atomic:
        ir.value(f"atomicrmw {operation} ptr {place}, i32 {value} monotonic")
        return
    known = ir.value(f"load i32, ptr {place}")
    better, out = ir.label(), ir.label()
    ir.branch(ir.value(f"icmp {order} i32 {value}, {known}"), better, out)
    ir.begin(better)
    ir.line(f"store i32 {value}, ptr {place}")
    ir.jump(out)
    ir.begin(out)


def _bit_length(ir: Lines, value: str, *, has_clz: bool) -> str:
    if has_clz:
        ir.declare("i32 @llvm.ctlz.i32(i32, i1)")
        return ir.value(f"sub i32 32, {ir.value(f'call i32 @llvm.ctlz.i32(i32 {value}, i1 false)')}")
    result, rest = "0", value
    for step in (16, 8, 4, 2, 1):
        upper = ir.value(f"lshr i32 {rest}, {step}")
        high = ir.value(f"icmp ne i32 {upper}, 0")
        rest = ir.value(f"select i1 {high}, i32 {upper}, i32 {rest}")
        result = ir.value(f"add i32 {result}, {ir.value(f'select i1 {high}, i32 {step}, i32 0')}")
    return ir.value(f"add i32 {result}, {rest}")
