"""The clock of the embedded emulator: how many instructions the program has executed.

Real time would say more about the computer that emulates than about the program, and differ from run to run. Counted
instructions are the same in every run. Code in slots, which is ours, does not count: a function takes as long with
probes as without.

The emulator calls a hook at each block of code it executes. The hook is native code, made by LLVM, and costs some
nanoseconds; the sum stands in a page of this process that is also memory of the emulated processor.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from importlib.util import find_spec
from typing import Any

from armprobe.isa.reading import Constant, Load
from armprobe.targets.machine import PAGE

NO_CLOCK = "the emulator counts instructions only where llvmlite is installed (pip install armprobe[compile])"
_UC_HOOK_BLOCK, _READABLE = 8, 1
#: in words of 64 bits: the count; the count without the instruction at the end; how many ranges are left out, and where
#: their starts and lengths are
_COUNT, _BEFORE_LAST, _RANGES, _TABLE = range(4)
_INSTRUCTION_BYTES = 4

#: void hook(engine, address, size, words): what a block adds to the count is its size
_HOOK = f"""
define void @count(ptr %engine, i64 %address, i32 %size, ptr %words) {{
  %ranges.at = getelementptr i64, ptr %words, i64 {_RANGES}
  %ranges = load i64, ptr %ranges.at
  %table.at = getelementptr i64, ptr %words, i64 {_TABLE}
  %table = load ptr, ptr %table.at
  br label %look
look:
  %index = phi i64 [ 0, %0 ], [ %next, %other ]
  %more = icmp ult i64 %index, %ranges
  br i1 %more, label %compare, label %add
compare:
  %start.at = getelementptr [2 x i64], ptr %table, i64 %index
  %length.at = getelementptr i64, ptr %start.at, i64 1
  %start = load i64, ptr %start.at
  %length = load i64, ptr %length.at
  %offset = sub i64 %address, %start
  %ours = icmp ult i64 %offset, %length
  br i1 %ours, label %out, label %other
other:
  %next = add i64 %index, 1
  br label %look
add:
  %old = load i64, ptr %words
  %bytes = zext i32 %size to i64
  %new = add i64 %old, %bytes
  store i64 %new, ptr %words
  %before = sub i64 %new, {_INSTRUCTION_BYTES}
  %before.at = getelementptr i64, ptr %words, i64 {_BEFORE_LAST}
  store i64 %before, ptr %before.at
  br label %out
out:
  ret void
}}
"""


def can_count() -> bool:
    """Whether there can be such a clock here."""
    return find_spec("llvmlite") is not None


class InstructionClock:
    """Counts the bytes of the code that `engine` executes: a `Clock`, four ticks of which are an A32 instruction.

    T32 instructions of 16 bits are half of one. A block counts when it is entered, and a site is the last instruction
    of its block, so that counts at probes are exact; but for a window of two instructions, which counts as one.
    """

    name = "instructions executed"
    unit = "instructions"
    #: one instruction stands for one nanosecond, as under QEMU's -icount shift=0
    ns_per_tick = Fraction(1, _INSTRUCTION_BYTES)
    privileged = False

    def __init__(self, engine: Any, binding: Any, *, address: int) -> None:
        """Map the page with the count at `address`, where nothing is yet, and start to count from 0."""
        buffer = (ctypes.c_uint8 * (2 * PAGE))()
        aligned = -(-ctypes.addressof(buffer) // PAGE) * PAGE
        self._table: Any = None
        self._words = (ctypes.c_uint64 * (PAGE // 8)).from_buffer(buffer, aligned - ctypes.addressof(buffer))
        self._engine = engine
        self.at_site = Load(Constant(address), 8 * _BEFORE_LAST, 8)
        self.at_return = Load(Constant(address), 8 * _COUNT, 8)
        engine.mem_map_ptr(address, PAGE, _READABLE, aligned)
        hook = _compiler().get_function_address("count")
        binding.uclib.uc_hook_add(
            engine._uch, ctypes.byref(binding.uc_hook_h()), _UC_HOOK_BLOCK, ctypes.c_void_p(hook),
            ctypes.c_void_p(aligned), ctypes.c_uint64(1), ctypes.c_uint64(0),
        )  # fmt: skip
        # What was translated before knows nothing of the hook.
        engine.ctl_flush_tb()

    def now(self, *, returned: bool) -> int:
        return self._words[_COUNT if returned else _BEFORE_LAST]

    def leave_out(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Count nothing in these [start, end) ranges from now on, and in no others that were given before."""
        table = (ctypes.c_uint64 * (2 * len(ranges)))()
        table[:] = [word for start, end in ranges for word in (start, end - start)]
        self._words[_RANGES], self._words[_TABLE] = len(ranges), ctypes.addressof(table)
        self._table = table


@cache
def _compiler() -> Any:
    """LLVM with the hook, which stays in this process for ever."""
    from llvmlite import binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(opt=2)
    compiler = llvm.create_mcjit_compiler(llvm.parse_assembly(_HOOK), machine)
    compiler.finalize_object()
    return compiler
