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
#: in words of 64 bits: the count; the count without the instruction at the end; the count in bytes of code; the block
#: that was counted last; how many ranges are left out, and where their starts and lengths are; whether to stop, and how
_COUNT, _BEFORE_LAST, _BYTES, _LAST, _LAST_SIZE, _RANGES, _TABLE, _STOP, _HOW_TO_STOP = range(9)

#: void hook(engine, address, size, words): what a block adds to the count is its size
_HOOK = f"""
define void @count(ptr %engine, i64 %address, i32 %size, ptr %words) {{
  %stop.at = getelementptr i64, ptr %words, i64 {_STOP}
  %stop = load volatile i64, ptr %stop.at
  %stops = icmp ne i64 %stop, 0
  br i1 %stops, label %halt, label %begin
halt:
  %how.at = getelementptr i64, ptr %words, i64 {_HOW_TO_STOP}
  %how = load ptr, ptr %how.at
  %status = call i32 %how(ptr %engine)
  br label %nothing
begin:
  %ranges.at = getelementptr i64, ptr %words, i64 {_RANGES}
  %ranges = load i64, ptr %ranges.at
  %table.at = getelementptr i64, ptr %words, i64 {_TABLE}
  %table = load ptr, ptr %table.at
  br label %look
look:
  %index = phi i64 [ 0, %begin ], [ %next, %other ]
  %more = icmp ult i64 %index, %ranges
  br i1 %more, label %compare, label %add
compare:
  %start.at = getelementptr [2 x i64], ptr %table, i64 %index
  %length.at = getelementptr i64, ptr %start.at, i64 1
  %start = load i64, ptr %start.at
  %length = load i64, ptr %length.at
  %offset = sub i64 %address, %start
  %ours = icmp ult i64 %offset, %length
  br i1 %ours, label %nothing, label %other
other:
  %next = add i64 %index, 1
  br label %look
add:
  %bytes.at = getelementptr i64, ptr %words, i64 {_BYTES}
  %old = load i64, ptr %bytes.at
  %bytes = zext i32 %size to i64
  %new = add i64 %old, %bytes
  store i64 %new, ptr %bytes.at
  %count = lshr i64 %new, 2
  store i64 %count, ptr %words
  %before = sub i64 %count, 1
  %before.at = getelementptr i64, ptr %words, i64 {_BEFORE_LAST}
  store i64 %before, ptr %before.at
  %last.at = getelementptr i64, ptr %words, i64 {_LAST}
  store i64 %address, ptr %last.at
  %last.size.at = getelementptr i64, ptr %words, i64 {_LAST_SIZE}
  store i64 %bytes, ptr %last.size.at
  ret void
nothing:
  %none.at = getelementptr i64, ptr %words, i64 {_LAST_SIZE}
  store i64 0, ptr %none.at
  ret void
}}
"""


def can_count() -> bool:
    """Whether there can be such a clock here."""
    return find_spec("llvmlite") is not None


class InstructionClock:
    """Counts the instructions that `engine` executes: a `Clock`.

    Four bytes of code are one: a T32 instruction of 16 bits is half of one. A block counts when it is entered, and a
    site is the last instruction of its block, so that counts at probes are exact; but for a window of two instructions,
    which counts as one.
    """

    name = "instructions executed"
    unit = "instructions"
    #: one instruction stands for one nanosecond, as under QEMU's -icount shift=0
    ns_per_tick = Fraction(1)
    start = 0
    privileged = False

    def __init__(self, engine: Any, binding: Any, *, address: int, at_site: bool) -> None:
        """Map the page with the count at `address`, where nothing is yet, and start to count from 0.

        `at_site`: the engine stands at an instruction that will not be seen any more, but counts.
        """
        buffer = (ctypes.c_uint8 * (2 * PAGE))()
        aligned = -(-ctypes.addressof(buffer) // PAGE) * PAGE
        self._table: Any = None
        self._words = (ctypes.c_uint64 * (PAGE // 8)).from_buffer(buffer, aligned - ctypes.addressof(buffer))
        self._words[_COUNT], self._words[_BYTES] = at_site, 4 * at_site
        self._words[_HOW_TO_STOP] = ctypes.cast(binding.uclib.uc_emu_stop, ctypes.c_void_p).value or 0
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

    def stop(self, wanted: bool) -> None:
        """Stop the engine, or not, before the next block.

        Stopped in another way it would lose count: nobody could tell whether a block that was counted was executed too.
        """
        self._words[_STOP] = wanted

    def settle(self, pc: int) -> None:
        """Take back what was counted and not executed, now that the engine stands still at `pc`."""
        rest = self._words[_LAST] + self._words[_LAST_SIZE] - pc
        if 0 < rest <= self._words[_LAST_SIZE]:
            self._words[_BYTES] -= rest
            self._words[_COUNT] = self._words[_BYTES] >> 2
            self._words[_BEFORE_LAST] = self._words[_COUNT] - 1
        self.executed()

    def executed(self) -> None:
        """Take it that the last block was executed to its end."""
        self._words[_LAST_SIZE] = 0

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
