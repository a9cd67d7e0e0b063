"""Routines in the target that read memory by its translation tables, so that no address makes them fault.

What is mapped is found by loads alone, as the processor's own table walk would find it, and read where the target has
all memory mapped all the time (its linear map), or through a window of ours (`page_window`) where that is less than all
memory. So nothing depends on whether the processor may access the address just now, no lock is taken and no function of
the target is called: they can run anywhere. Tables and memory that are changed or freed meanwhile make them read other
memory, never fault. Devices are in no linear map and no RAM, and are not read.

In a Linux process the kernel is asked, page by page, and on a board the processor (`asked_processor`); then memory is
read where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from armprobe.codegen import memory
from armprobe.codegen.asked_processor import AskedProcessorMemory, leave_nothing
from armprobe.codegen.body import stack_use
from armprobe.codegen.descriptors import LongWalk, PhysicalMemory, ShortWalk
from armprobe.codegen.ir import ATTRIBUTES, Lines
from armprobe.codegen.llvm import compile_module
from armprobe.codegen.object_file import read_object
from armprobe.errors import InternalError
from armprobe.isa.decoder import decode
from armprobe.targets.capabilities import AskedKernel, AskedProcessor, TranslationTables

Tables = TranslationTables | AskedKernel | AskedProcessor
_PAGE = 0x1000
#: what `leave_nothing` takes
_ENTRY_STACK = 8


@lru_cache(maxsize=16)
def make_routines(tables: Tables, *, architecture: int) -> dict[str, tuple[int, ...]]:
    """The words of each routine by its name, `memory.READ` and `memory.MEASURE`; they may stand anywhere.

    They are functions of AAPCS, which need SP at a multiple of 4 only and write ROUTINE_STACK bytes below it, at most.
    """
    return {
        memory.READ: _compile(_read, memory.READ, ("to", "from", "size"), tables, architecture),
        memory.MEASURE: _compile(_measure, memory.MEASURE, ("from", "most"), tables, architecture),
    }


def _compile(
    emit: Callable[[Lines, _Translation, str], None],
    name: str,
    parameters: Sequence[str],
    tables: Tables,
    architecture: int,
) -> tuple[int, ...]:
    ir = Lines(atomic=True)
    bad = ir.label()
    translation = _translation(ir, tables)
    emit(ir, translation, bad)
    ir.begin(bad)
    translation.done()
    ir.line("ret i32 0")
    module = [
        *(f"declare {signature}" for signature in sorted(ir.declarations)),
        f"define i32 @{name}({', '.join(f'i32 %{parameter}' for parameter in parameters)}) {ATTRIBUTES} {{",
        *ir.entry,
        *ir.lines,
        "}",
        '!0 = !{!"branch_weights", i32 1, i32 2000}',
        *(f'!{ir.metadata(text)} = !{{!"{text}"}}' for text in ir.texts),
    ]
    code = read_object(compile_module("\n".join(module), architecture=architecture))
    if code.relocations or stack_use(map(decode, code.words[: code.literals])) > memory.ROUTINE_STACK - _ENTRY_STACK:
        raise InternalError(f"the routine {name} is not what its callers count on", evidence="\n".join(module))
    # Only on boards is memory searched for tasks that come back to code of ours.
    return leave_nothing(code.words) if isinstance(tables, AskedProcessor) else code.words


def _translation(ir: Lines, tables: Tables) -> _Translation:
    match tables:
        case AskedKernel():
            return _Asked(ir, tables)
        case AskedProcessor():
            return AskedProcessorMemory(ir, tables)
        case TranslationTables():
            return _Walked(ir, tables)


def _read(ir: Lines, translation: _Translation, bad: str) -> None:
    """Copy page by page."""
    ir.entry.append("%copied = alloca i32")
    ir.line("store i32 0, ptr %copied")
    again, more, end = ir.label(), ir.label(), ir.label()
    ir.jump(again)
    ir.begin(again)
    done = ir.value("load i32, ptr %copied")
    address = _onward(ir, done, bad)
    place = ir.value(f"add i32 %to, {done}")
    size = _part(ir, address, ir.value(f"sub i32 %size, {done}"))
    found = translation.of(address, bad)
    memory.copy_plainly(
        ir, found, ir.value(f"inttoptr i32 {place} to ptr"), size, alignment=ir.value(f"or i32 {found}, {place}")
    )
    translation.done()
    total = ir.value(f"add i32 {done}, {size}")
    ir.line(f"store i32 {total}, ptr %copied")
    ir.branch(ir.value(f"icmp ult i32 {total}, %size"), more, end)
    ir.begin(more)
    ir.jump(again)
    ir.begin(end)
    ir.line("ret i32 1")


def _measure(ir: Lines, translation: _Translation, bad: str) -> None:
    """Look for the zero page by page."""
    ir.entry.append("%measured = alloca i32")
    ir.line("store i32 0, ptr %measured")
    again, full, found, end = (ir.label() for _ in range(4))
    ir.jump(again)
    ir.begin(again)
    before = ir.value("load i32, ptr %measured")
    address = _onward(ir, before, bad)
    size = _part(ir, address, ir.value(f"sub i32 %most, {before}"))
    looked = memory.find_zero(ir, translation.of(address, bad), size, found, full)
    ir.begin(full)
    translation.done()
    total = ir.value(f"add i32 {before}, {size}")
    ir.line(f"store i32 {total}, ptr %measured")
    ir.branch(ir.value(f"icmp ult i32 {total}, %most"), again, end)
    ir.begin(end)
    ir.line("ret i32 %most")
    ir.begin(found)
    translation.done()
    ir.line(f"ret i32 {ir.value(f'add i32 {before}, ' + ir.value(f'load i32, ptr {looked}'))}")


def _onward(ir: Lines, done: str, bad: str) -> str:
    """The address `done` bytes behind the first one; go to `bad` where that is beyond the end of all addresses."""
    address, good = ir.value(f"add i32 %from, {done}"), ir.label()
    ir.branch(ir.value(f"icmp ult i32 {address}, %from"), bad, good)
    ir.begin(good)
    return address


def _part(ir: Lines, address: str, size: str) -> str:
    """The bytes from `address` on that lie in its page, at most `size`."""
    left = ir.value(f"sub i32 {_PAGE}, {ir.value(f'and i32 {address}, {_PAGE - 1}')}")
    return ir.value(f"select i1 {ir.value(f'icmp ult i32 {left}, {size}')}, i32 {left}, i32 {size}")


class _Asked:
    """Memory of a process: it is where it is, if the kernel says so."""

    def __init__(self, ir: Lines, kernel: AskedKernel) -> None:
        self._ir = ir
        self._kernel = kernel

    def of(self, address: str, bad: str) -> str:
        ir = self._ir
        known = ir.value(f"call i32 inttoptr (i32 {self._kernel.routine} to ptr)(i32 {address})")
        good = ir.label()
        ir.branch(ir.value(f"icmp eq i32 {known}, 0"), bad, good)
        ir.begin(good)
        return address

    def done(self) -> None:
        pass


class _Walked:
    """Memory behind translation tables."""

    def __init__(self, ir: Lines, tables: TranslationTables) -> None:
        self._ir = ir
        self._tables = tables
        self._physical = PhysicalMemory(ir, tables)
        self._walk = (LongWalk if tables.long else ShortWalk)(ir, tables, self._physical)

    def of(self, address: str, bad: str) -> str:
        """Where the byte at `address` can be read, with the rest of its page; go to `bad` where it can't be."""
        ir = self._ir
        walk, end, result = ir.label(), ir.label(), ir.variable("i32")
        for _, size, start in self._tables.linear:
            inside, onward = ir.label(), ir.label()
            ir.branch(ir.value(f"icmp ult i32 {ir.value(f'sub i32 {address}, {start}')}, {size}"), inside, onward)
            ir.begin(inside)
            ir.line(f"store i32 {address}, ptr {result}")
            ir.jump(end)
            ir.begin(onward)
        ir.jump(walk)
        ir.begin(walk)
        page, alike = self._walk.page(address, bad)
        base = self._physical.place(page, bad, alike=alike)
        ir.line(f"store i32 {ir.value(f'or i32 {base}, ' + ir.value(f'and i32 {address}, {_PAGE - 1}'))}, ptr {result}")
        ir.jump(end)
        ir.begin(end)
        return ir.value(f"load i32, ptr {result}")

    def done(self) -> None:
        """To be called when what `of` found was read."""
        self._physical.done()


_Translation = _Asked | AskedProcessorMemory | _Walked
