"""Latency in target memory: how often calls took how long. One definition, for the code that counts and the reader.

    offset 0    sum: u64, of all calls, in ticks
    offset 8    least: u32, ones where there was no call yet
    offset 12   greatest: u32
    offset 16   33 numbers of u64: calls that took 0 ticks, 1, 2 to 3, 4 to 7, ..., 2^31 and more

The extremes are 2^32 - 1 at most; the sum is exact.
"""

from __future__ import annotations

from armprobe.codegen.ir import Lines

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
