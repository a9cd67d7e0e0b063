"""Windows in the target, through which code there sees physical memory that is not mapped all the time.

A window is a page of ours whose descriptor is 0, but for the moment in which somebody looks through it. That happens
with interrupts masked, so that nobody else runs on this processor meanwhile: a free descriptor is taken by exclusive
access, and made one of the page that is wanted; what the processor may still know of the window is invalidated; the
page is read; the descriptor becomes 0 again. There are as many windows as processors, and none has two: one is free
always. The page is mapped as all memory of the kernel is, but for reading alone, and is only mapped where the
descriptor that led to it says the same memory attributes, so that no two are at odds (DDI 0406C A3.5.7).
"""

from __future__ import annotations

from armprobe.codegen.ir import Lines
from armprobe.codegen.masking import Masking
from armprobe.isa.reading import MPIDR
from armprobe.targets.capabilities import Windows

_PAGE_BITS = 12
#: dmb ish, dsb sy, isb sy
_INNER, _SYSTEM = 11, 15
_PROCESSOR = 0xFF
_MRC = "i32 @llvm.arm.mrc(i32, i32, i32, i32, i32)"
_MCR = "void @llvm.arm.mcr(i32, i32, i32, i32, i32, i32)"
#: CRn, CRm and opc2 (DDI 0406C B4.2): clean the data cache, for processors that walk tables in memory; invalidate a
#: page in the TLB, in whatever address space, as what the kernel maps is in all of them
_CLEAN, _INVALIDATE = (7, 10, 1), (8, 7, 1)


class Window:
    """The window that a routine has open, or none. Whoever may have opened it closes it on every way out."""

    def __init__(self, ir: Lines, windows: Windows) -> None:
        self._ir = ir
        self._windows = windows
        self._kind, self._size = ("i64", 8) if windows.wide else ("i32", 4)
        #: interrupts are masked where a window is open
        self._masking = Masking(ir)
        self._number = ir.variable("i32")
        for signature in (
            _MRC,
            _MCR,
            *(f"void @llvm.arm.{name}(i32)" for name in ("dmb", "dsb", "isb")),
        ):
            ir.declare(signature)

    def look_at(self, page: str) -> str:
        """Where the physical page of this number is from here on, until the next call; it must be RAM."""
        ir = self._ir
        descriptor = self._descriptor(page)
        first, again, occupied, moved, mapped = (ir.label() for _ in range(5))
        ir.branch(self._masking.is_off(), first, moved)
        ir.begin(first)
        self._mask()
        ir.jump(again)
        ir.begin(again)
        exchange = (
            f"cmpxchg volatile ptr {self._place()}, {self._kind} 0, {self._kind} {descriptor} monotonic monotonic"
        )
        taken = ir.value(f"extractvalue {{ {self._kind}, i1 }} {ir.value(exchange)}, 1")
        ir.branch(taken, mapped, occupied)
        ir.begin(occupied)
        following = ir.value(f"add i32 {ir.value(f'load i32, ptr {self._number}')}, 1")
        self._choose(following)
        ir.jump(again)
        ir.begin(moved)
        # What was read through it was read.
        self._barrier("dmb", _INNER)
        ir.line(f"store volatile {self._kind} {descriptor}, ptr {self._place()}")
        ir.jump(mapped)
        ir.begin(mapped)
        shown = ir.value(f"add i32 {ir.value(f'shl i32 {self._load_number()}, {_PAGE_BITS}')}, {self._windows.address}")
        self._maintain(_CLEAN, ir.value(f"ptrtoint ptr {self._place()} to i32"))
        self._barrier("dsb", _SYSTEM)
        self._maintain(_INVALIDATE, shown)
        self._barrier("dsb", _SYSTEM)
        self._barrier("isb", _SYSTEM)
        return shown

    def close(self) -> None:
        """Close the window, if one is open, and let interrupts come as before."""
        ir = self._ir
        shut, out = ir.label(), ir.label()
        ir.branch(self._masking.is_off(), out, shut)
        ir.begin(shut)
        self._barrier("dmb", _INNER)
        ir.line(f"store volatile {self._kind} 0, ptr {self._place()}")
        self._masking.restore()
        ir.jump(out)
        ir.begin(out)

    def _mask(self) -> None:
        """Mask interrupts, and choose the window to try first: no other processor begins with the same, if few."""
        ir = self._ir
        self._masking.mask(self._masking.status())
        numbers = ", ".join(f"i32 {n}" for n in (MPIDR.coprocessor, MPIDR.opc1, MPIDR.crn, MPIDR.crm, MPIDR.opc2))
        self._choose(ir.value(f"and i32 {ir.value(f'call i32 @llvm.arm.mrc({numbers})')}, {_PROCESSOR}"))

    def _choose(self, number: str) -> None:
        ir = self._ir
        known = ir.value(f"icmp ult i32 {number}, {self._windows.count}")
        ir.line(f"store i32 {ir.value(f'select i1 {known}, i32 {number}, i32 0')}, ptr {self._number}")

    def _load_number(self) -> str:
        return self._ir.value(f"load i32, ptr {self._number}")

    def _place(self) -> str:
        """A pointer to the descriptor of the window."""
        ir = self._ir
        offset = ir.value(f"mul i32 {self._load_number()}, {self._size}")
        return ir.value(f"inttoptr i32 {ir.value(f'add i32 {offset}, {self._windows.descriptors}')} to ptr")

    def _descriptor(self, page: str) -> str:
        ir = self._ir
        wide = ir.value(f"zext i32 {page} to i64") if self._windows.wide else page
        base = ir.value(f"shl {self._kind} {wide}, {_PAGE_BITS}")
        return ir.value(f"or {self._kind} {base}, {self._windows.attributes}")

    def _maintain(self, operation: tuple[int, int, int], address: str) -> None:
        crn, crm, opc2 = operation
        self._ir.line(f"call void @llvm.arm.mcr(i32 15, i32 0, i32 {address}, i32 {crn}, i32 {crm}, i32 {opc2})")

    def _barrier(self, name: str, option: int) -> None:
        self._ir.line(f"call void @llvm.arm.{name}(i32 {option})")
