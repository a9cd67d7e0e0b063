"""Routines in the target that read memory by its translation tables, so that no address makes them fault.

What is mapped is found by loads alone, as the processor's own table walk would find it, and read where the target has
all memory mapped all the time (its linear map). So nothing depends on whether the processor may access the address just
now, no register is written, no lock is taken and no function of the target is called: they can run anywhere. Tables and
memory that are changed or freed meanwhile make them read other memory of the linear map, never fault. Devices are in no
linear map, and are not read.

In a Linux process the kernel is asked, page by page, and memory is read where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from armprobe.codegen import memory
from armprobe.codegen.body import stack_use
from armprobe.codegen.ir import ATTRIBUTES, Lines
from armprobe.codegen.llvm import compile_module
from armprobe.codegen.object_file import read_object
from armprobe.errors import InternalError
from armprobe.isa.decoder import decode
from armprobe.targets.base import AskedKernel, TranslationTables

Tables = TranslationTables | AskedKernel
_PAGE = 0x1000
#: short descriptors (DDI 0406C B3.5.1): first level, second level, AP[1], which lets users read
_TABLE, _SECTION, _SUPERSECTION = 0b01, 0b10, 1 << 18
_SMALL_PAGE, _USER = 0b10, 1 << 5
#: Linux keeps a table of its own before that of the processor; present, a user's, to be accessed by nobody
#: (arch/arm/include/asm/pgtable-2level.h)
_LINUX_TABLE, _LINUX_PRESENT, _LINUX_USER, _LINUX_NONE = 2048, 1 << 0, 1 << 8, 1 << 11
_LINUX_BITS = _LINUX_PRESENT | _LINUX_USER | _LINUX_NONE
_L1_BASE, _L2_BASE = 0xFFFFC000, 0xFFFFFC00
_TTBR0 = "i32 @llvm.arm.mrc(i32, i32, i32, i32, i32)"


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
    emit: Callable[[Lines, Tables, str], None],
    name: str,
    parameters: Sequence[str],
    tables: Tables,
    architecture: int,
) -> tuple[int, ...]:
    ir = Lines(atomic=True)
    bad = ir.label()
    emit(ir, tables, bad)
    ir.begin(bad)
    ir.line("ret i32 0")
    module = [
        *(f"declare {signature}" for signature in sorted(ir.declarations)),
        f"define i32 @{name}({', '.join(f'i32 %{parameter}' for parameter in parameters)}) {ATTRIBUTES} {{",
        *ir.entry,
        *ir.lines,
        "}",
        '!0 = !{!"branch_weights", i32 1, i32 2000}',
    ]
    code = read_object(compile_module("\n".join(module), architecture=architecture))
    if code.relocations or stack_use(map(decode, code.words[: code.literals])) > memory.ROUTINE_STACK:
        raise InternalError(f"the routine {name} is not what its callers count on", evidence="\n".join(module))
    return code.words


def _read(ir: Lines, tables: Tables, bad: str) -> None:
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
    found = _translate(ir, tables, address, bad)
    memory.copy_plainly(
        ir, found, ir.value(f"inttoptr i32 {place} to ptr"), size, alignment=ir.value(f"or i32 {found}, {place}")
    )
    total = ir.value(f"add i32 {done}, {size}")
    ir.line(f"store i32 {total}, ptr %copied")
    ir.branch(ir.value(f"icmp ult i32 {total}, %size"), more, end)
    ir.begin(more)
    ir.jump(again)
    ir.begin(end)
    ir.line("ret i32 1")


def _measure(ir: Lines, tables: Tables, bad: str) -> None:
    """Look for the zero page by page."""
    ir.entry.append("%measured = alloca i32")
    ir.line("store i32 0, ptr %measured")
    again, full, found, end = (ir.label() for _ in range(4))
    ir.jump(again)
    ir.begin(again)
    before = ir.value("load i32, ptr %measured")
    address = _onward(ir, before, bad)
    size = _part(ir, address, ir.value(f"sub i32 %most, {before}"))
    looked = memory.find_zero(ir, _translate(ir, tables, address, bad), size, found, full)
    ir.begin(full)
    total = ir.value(f"add i32 {before}, {size}")
    ir.line(f"store i32 {total}, ptr %measured")
    ir.branch(ir.value(f"icmp ult i32 {total}, %most"), again, end)
    ir.begin(end)
    ir.line("ret i32 %most")
    ir.begin(found)
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


def _translate(ir: Lines, tables: Tables, address: str, bad: str) -> str:
    """Where the byte at `address` can be read: in the linear map, for tables. Go to `bad` where it can't be."""
    if isinstance(tables, AskedKernel):
        known = ir.value(f"call i32 inttoptr (i32 {tables.routine} to ptr)(i32 {address})")
        good = ir.label()
        ir.branch(ir.value(f"icmp eq i32 {known}, 0"), bad, good)
        ir.begin(good)
        return address
    walk, user, kernel, first = (ir.label() for _ in range(4))
    table, pages, sections, mapped, end = (ir.label() for _ in range(5))
    result, root, physical = (ir.variable("i32") for _ in range(3))
    for _, size, start in tables.linear:
        inside, onward = ir.label(), ir.label()
        ir.branch(ir.value(f"icmp ult i32 {ir.value(f'sub i32 {address}, {start}')}, {size}"), inside, onward)
        ir.begin(inside)
        ir.line(f"store i32 {address}, ptr {result}")
        ir.jump(end)
        ir.begin(onward)
    ir.jump(walk)
    ir.begin(walk)
    is_user = ir.value(f"icmp ult i32 {address}, {tables.user_end}")
    ir.branch(is_user, user, kernel)
    ir.begin(user)
    ir.declare(_TTBR0)
    base = ir.value("call i32 @llvm.arm.mrc(i32 15, i32 0, i32 2, i32 0, i32 0)")
    ir.line(f"store i32 {_linear(ir, tables, ir.value(f'and i32 {base}, {_L1_BASE}'), bad)}, ptr {root}")
    ir.jump(first)
    ir.begin(kernel)
    ir.line(f"store i32 {tables.kernel_table}, ptr {root}")
    ir.jump(first)
    ir.begin(first)
    index = ir.value(f"shl i32 {ir.value(f'lshr i32 {address}, 20')}, 2")
    entry = _entry(ir, ir.value(f"load i32, ptr {root}"), index)
    ir.branch(ir.value(f"icmp eq i32 {ir.value(f'and i32 {entry}, 3')}, {_TABLE}"), table, sections)
    ir.begin(table)
    second = _linear(ir, tables, ir.value(f"and i32 {entry}, {_L2_BASE}"), bad)
    index = ir.value(f"and i32 {ir.value(f'lshr i32 {address}, 10')}, {0xFF << 2}")
    page, old, small = _entry(ir, second, index), ir.label(), ir.variable("i32")
    ir.line(f"store i32 {page}, ptr {small}")
    wanted = ir.value(f"select i1 {is_user}, i32 {_SMALL_PAGE | _USER}, i32 {_SMALL_PAGE}")
    ir.branch(ir.value(f"icmp eq i32 {ir.value(f'and i32 {page}, {wanted}')}, {wanted}"), pages, old)
    ir.begin(old)
    # The processor is not shown a page that is there, but was not used for a while, as after a fork.
    own = _entry(ir, ir.value(f"sub i32 {second}, {_LINUX_TABLE}"), index)
    ir.line(f"store i32 {own}, ptr {small}")
    there = ir.value(f"icmp eq i32 {ir.value(f'and i32 {own}, {_LINUX_BITS}')}, {_LINUX_PRESENT | _LINUX_USER}")
    ir.branch(ir.value(f"select i1 {is_user}, i1 {there}, i1 false"), pages, bad)
    ir.begin(pages)
    ir.line(f"store i32 {_joined(ir, ir.value(f'load i32, ptr {small}'), address, _PAGE)}, ptr {physical}")
    ir.jump(mapped)
    ir.begin(sections)
    kind = ir.value(f"icmp eq i32 {ir.value(f'and i32 {entry}, {_SECTION | _SUPERSECTION}')}, {_SECTION}")
    section = ir.label()
    # Linux gives users no sections.
    ir.branch(ir.value(f"select i1 {is_user}, i1 false, i1 {kind}"), section, bad)
    ir.begin(section)
    ir.line(f"store i32 {_joined(ir, entry, address, 1 << 20)}, ptr {physical}")
    ir.jump(mapped)
    ir.begin(mapped)
    ir.line(f"store i32 {_linear(ir, tables, ir.value(f'load i32, ptr {physical}'), bad)}, ptr {result}")
    ir.jump(end)
    ir.begin(end)
    return ir.value(f"load i32, ptr {result}")


def _entry(ir: Lines, table: str, offset: str) -> str:
    pointer = ir.value(f"inttoptr i32 {ir.value(f'add i32 {table}, {offset}')} to ptr")
    return ir.value(f"load volatile i32, ptr {pointer}")


def _joined(ir: Lines, descriptor: str, address: str, size: int) -> str:
    """The physical address: the base out of a descriptor, the offset out of an address."""
    base = ir.value(f"and i32 {descriptor}, {-size & 0xFFFFFFFF}")
    return ir.value(f"or i32 {base}, {ir.value(f'and i32 {address}, {size - 1}')}")


def _linear(ir: Lines, tables: TranslationTables, physical: str, bad: str) -> str:
    """Where the physical address `physical` is mapped all the time; go to `bad` where it is not."""
    found, end = ir.variable("i32"), ir.label()
    for start, size, address in tables.linear:
        inside, onward = ir.label(), ir.label()
        ir.branch(ir.value(f"icmp ult i32 {ir.value(f'sub i32 {physical}, {start}')}, {size}"), inside, onward)
        ir.begin(inside)
        ir.line(f"store i32 {ir.value(f'add i32 {physical}, {address - start & 0xFFFFFFFF}')}, ptr {found}")
        ir.jump(end)
        ir.begin(onward)
    ir.jump(bad)
    ir.begin(end)
    return ir.value(f"load i32, ptr {found}")
