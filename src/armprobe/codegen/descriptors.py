"""Target code that finds the physical page behind an address, in translation tables of either format.

Pages are known by their numbers, which have 28 bits with long descriptors: they are words, whatever the format.
"""

from __future__ import annotations

from collections.abc import Callable

from armprobe.codegen.ir import Lines
from armprobe.codegen.page_window import Window
from armprobe.targets.capabilities import TranslationTables

_PAGE_BITS = 12
#: short descriptors (DDI 0406C B3.5.1): first level, second level, AP[1], which lets users read
_TABLE, _SECTION, _SUPERSECTION = 0b01, 0b10, 1 << 18
_SMALL_PAGE, _USER = 0b10, 1 << 5
#: what memory a small page is: TEX[0], C and B, which are an index with TEX remap, and S
_KIND = 1 << 6 | 1 << 3 | 1 << 2 | 1 << 10
_L1_MASK, _L2_OFFSET = 0xFFFFC000, 0xC00
#: Linux keeps a table of its own before that of the processor; present, a user's, to be accessed by nobody, and what
#: memory it is (arch/arm/include/asm/pgtable-2level.h)
_LINUX_TABLE, _LINUX_PRESENT, _LINUX_USER, _LINUX_NONE = 2048, 1 << 0, 1 << 8, 1 << 11
_LINUX_BITS = _LINUX_PRESENT | _LINUX_USER | _LINUX_NONE
_LINUX_KIND = 0xF << 2 | 1 << 10
#: long descriptors (B3.6.1): the levels by the lowest bit of their index; AP[1]; AttrIndx and SH
_GIGABYTE, _BLOCK, _INDEX = 30, 21, 511
_LONG_BLOCK, _LONG_TABLE, _LONG_USER, _LONG_KIND = 0b01, 0b11, 1 << 6, 0b111 << 2 | 0b11 << 8
_LONG_L1_OFFSET = 0xFE0
_MRC = "i32 @llvm.arm.mrc(i32, i32, i32, i32, i32)"
_MRRC = "{ i32, i32 } @llvm.arm.mrrc(i32, i32, i32)"


class PhysicalMemory:
    """The way to physical pages: by the linear map, else through a window, where there are any."""

    def __init__(self, ir: Lines, tables: TranslationTables) -> None:
        self._ir = ir
        self._tables = tables
        self._window = None if tables.windows is None else Window(ir, tables.windows)

    def linear(self, page: str, bad: str) -> str:
        """Where the page of this number is all the time, with those behind it; go to `bad` where it is not."""
        found, end, other = self._linear(page)
        self._ir.begin(other)
        self._ir.jump(bad)
        self._ir.begin(end)
        return self._ir.value(f"load i32, ptr {found}")

    def place(self, page: str, bad: str, *, alike: str = "true") -> str:
        """Where the page of this number is, until the next call or `done`; go to `bad` where there is no way.

        `alike`, an i1, says whether a window would show the page as what leads to it does.
        """
        ir, windows = self._ir, self._tables.windows
        if windows is None or self._window is None:
            return self.linear(page, bad)
        found, end, other = self._linear(page)
        ram, shown = ir.label(), ir.label()
        ir.begin(other)
        ir.branch(alike, ram, bad)
        ir.begin(ram)
        for start, size in windows.ram:
            onward = ir.label()
            self._inside(page, start, size, shown, onward)
            ir.begin(onward)
        ir.jump(bad)
        ir.begin(shown)
        ir.line(f"store i32 {self._window.look_at(page)}, ptr {found}")
        ir.jump(end)
        ir.begin(end)
        return ir.value(f"load i32, ptr {found}")

    def _linear(self, page: str) -> tuple[str, str, str]:
        """A pointer to the place in the linear map, a label to go on at, and one for pages that are in none."""
        ir = self._ir
        found, end, other = ir.variable("i32"), ir.label(), ir.label()
        for start, size, address in self._tables.linear:
            inside, onward = ir.label(), ir.label()
            self._inside(page, start, size, inside, onward)
            ir.begin(inside)
            base = ir.value(f"shl i32 {page}, {_PAGE_BITS}")
            ir.line(f"store i32 {ir.value(f'add i32 {base}, {address - start & 0xFFFFFFFF}')}, ptr {found}")
            ir.jump(end)
            ir.begin(onward)
        ir.jump(other)
        return found, end, other

    def _inside(self, page: str, start: int, size: int, yes: str, no: str) -> None:
        distance = self._ir.value(f"sub i32 {page}, {start >> _PAGE_BITS}")
        self._ir.branch(self._ir.value(f"icmp ult i32 {distance}, {size >> _PAGE_BITS}"), yes, no)

    def done(self) -> None:
        """Close the window, if that was the way."""
        if self._window is not None:
            self._window.close()


class _Walk:
    """From an address to its page, by `tables`, which lie in physical memory."""

    def __init__(self, ir: Lines, tables: TranslationTables, physical: PhysicalMemory) -> None:
        self._ir = ir
        self._tables = tables
        self._physical = physical


class ShortWalk(_Walk):
    """Two levels of descriptors of 32 bits."""

    def page(self, address: str, bad: str) -> tuple[str, str]:
        """The number of the page, and whether it is memory as that of windows, an i1; go to `bad` where is none."""
        ir, tables = self._ir, self._tables
        is_user = ir.value(f"icmp ult i32 {address}, {tables.user_end}")
        table, sections, section, old, small, found = (ir.label() for _ in range(6))
        page, alike = ir.variable("i32"), ir.variable("i1", "false")
        root = _root(ir, tables, is_user, lambda: self._of_user(bad))
        entry = _load(ir, root, _index(ir, address, 20, 0xFFF, 4), "i32")
        ir.branch(ir.value(f"icmp eq i32 {ir.value(f'and i32 {entry}, 3')}, {_TABLE}"), table, sections)

        ir.begin(table)
        base = self._physical.place(ir.value(f"lshr i32 {entry}, {_PAGE_BITS}"), bad)
        second = ir.value(f"add i32 {base}, {ir.value(f'and i32 {entry}, {_L2_OFFSET}')}")
        index = _index(ir, address, 12, 0xFF, 4)
        descriptor = _load(ir, second, index, "i32")
        wanted = ir.value(f"select i1 {is_user}, i32 {_SMALL_PAGE | _USER}, i32 {_SMALL_PAGE}")
        mapped = ir.value(f"icmp eq i32 {ir.value(f'and i32 {descriptor}, {wanted}')}, {wanted}")
        ir.line(f"store i32 {ir.value(f'lshr i32 {descriptor}, {_PAGE_BITS}')}, ptr {page}")
        self._compare(descriptor, _KIND, alike)
        ir.branch(mapped, found, old)
        ir.begin(old)
        # The processor is not shown a page that is there, but was not used for a while, as after a fork.
        own = _load(ir, ir.value(f"and i32 {second}, {~_LINUX_TABLE & 0xFFFFFFFF}"), index, "i32")
        there = ir.value(f"icmp eq i32 {ir.value(f'and i32 {own}, {_LINUX_BITS}')}, {_LINUX_PRESENT | _LINUX_USER}")
        ir.branch(ir.value(f"select i1 {is_user}, i1 {there}, i1 false"), small, bad)
        ir.begin(small)
        ir.line(f"store i32 {ir.value(f'lshr i32 {own}, {_PAGE_BITS}')}, ptr {page}")
        self._compare(own, _LINUX_KIND, alike)
        ir.jump(found)

        ir.begin(sections)
        kind = ir.value(f"icmp eq i32 {ir.value(f'and i32 {entry}, {_SECTION | _SUPERSECTION}')}, {_SECTION}")
        # Linux gives users no sections.
        ir.branch(ir.value(f"select i1 {is_user}, i1 false, i1 {kind}"), section, bad)
        ir.begin(section)
        base = ir.value(f"and i32 {ir.value(f'lshr i32 {entry}, {_PAGE_BITS}')}, {~0xFF & 0xFFFFF}")
        within = ir.value(f"and i32 {ir.value(f'lshr i32 {address}, {_PAGE_BITS}')}, {0xFF}")
        ir.line(f"store i32 {ir.value(f'or i32 {base}, {within}')}, ptr {page}")
        ir.jump(found)
        ir.begin(found)
        return ir.value(f"load i32, ptr {page}"), ir.value(f"load i1, ptr {alike}")

    def _of_user(self, bad: str) -> str:
        """The first level that TTBR0 names; go to `bad` where it is not in the linear map."""
        ir = self._ir
        ir.declare(_MRC)
        base = ir.value("call i32 @llvm.arm.mrc(i32 15, i32 0, i32 2, i32 0, i32 0)")
        number = ir.value(f"lshr i32 {ir.value(f'and i32 {base}, {_L1_MASK}')}, {_PAGE_BITS}")
        return self._physical.linear(number, bad)

    def _compare(self, descriptor: str, mask: int, alike: str) -> None:
        windows = self._tables.windows
        if windows is not None:
            wanted = windows.attributes if mask == _KIND else windows.own
            same = f"icmp eq i32 {self._ir.value(f'and i32 {descriptor}, {mask}')}, {wanted & mask}"
            self._ir.line(f"store i1 {self._ir.value(same)}, ptr {alike}")


class LongWalk(_Walk):
    """Three levels of descriptors of 64 bits; what Linux notes beside is in their free bits.

    A page that was not used for a while is valid and has no access flag, so that it needs no rule of its own.
    """

    def page(self, address: str, bad: str) -> tuple[str, str]:
        """As `ShortWalk.page`."""
        ir, tables = self._ir, self._tables
        is_user = ir.value(f"icmp ult i32 {address}, {tables.user_end}")
        second, block, third, allowed = (ir.label() for _ in range(4))
        leaf, page = ir.variable("i32"), ir.variable("i32")
        table = _root(ir, tables, is_user, lambda: self._of_user(bad))
        number = self._next(table, address, _GIGABYTE, 3, second, bad)
        ir.begin(second)
        table = self._physical.place(number, bad)
        low, number = self._descriptor(table, address, _BLOCK, _INDEX)
        is_table = _has(ir, low, _LONG_TABLE, _LONG_TABLE)
        ir.line(f"store i32 {low}, ptr {leaf}")
        within = ir.value(f"and i32 {ir.value(f'lshr i32 {address}, {_PAGE_BITS}')}, {_INDEX}")
        start = ir.value(f"and i32 {number}, {~_INDEX & 0xFFFFFFFF}")
        ir.line(f"store i32 {ir.value(f'or i32 {start}, {within}')}, ptr {page}")
        ir.branch(is_table, third, block)
        ir.begin(block)
        ir.branch(_has(ir, low, _LONG_TABLE, _LONG_BLOCK), allowed, bad)
        ir.begin(third)
        table, mapped = self._physical.place(number, bad), ir.label()
        low, number = self._descriptor(table, address, _PAGE_BITS, _INDEX)
        ir.branch(_has(ir, low, _LONG_TABLE, _LONG_TABLE), mapped, bad)
        ir.begin(mapped)
        ir.line(f"store i32 {low}, ptr {leaf}")
        ir.line(f"store i32 {number}, ptr {page}")
        ir.jump(allowed)
        ir.begin(allowed)
        good, last = ir.label(), ir.value(f"load i32, ptr {leaf}")
        wanted = ir.value(f"select i1 {is_user}, i32 {_LONG_USER}, i32 0")
        ir.branch(ir.value(f"icmp eq i32 {ir.value(f'and i32 {last}, {wanted}')}, {wanted}"), good, bad)
        ir.begin(good)
        attributes = 0 if tables.windows is None else tables.windows.attributes & _LONG_KIND
        return ir.value(f"load i32, ptr {page}"), _has(ir, last, _LONG_KIND, attributes)

    def _of_user(self, bad: str) -> str:
        """As that of `ShortWalk`."""
        ir = self._ir
        ir.declare(_MRRC)
        pair = ir.value("call { i32, i32 } @llvm.arm.mrrc(i32 15, i32 0, i32 2)")
        low, high = (ir.value(f"extractvalue {{ i32, i32 }} {pair}, {half}") for half in (0, 1))
        base = self._physical.linear(_number(ir, low, high), bad)
        return ir.value(f"or i32 {base}, {ir.value(f'and i32 {low}, {_LONG_L1_OFFSET}')}")

    def _next(self, table: str, address: str, shift: int, mask: int, yes: str, no: str) -> str:
        """The page of the table of the next level; go to `yes` where there is one."""
        low, number = self._descriptor(table, address, shift, mask)
        self._ir.branch(_has(self._ir, low, _LONG_TABLE, _LONG_TABLE), yes, no)
        return number

    def _descriptor(self, table: str, address: str, shift: int, mask: int) -> tuple[str, str]:
        """The lower word of the descriptor for `address`, and the number of the page that it names."""
        ir = self._ir
        # One load of 64 bits: Linux writes them so, and both halves belong together.
        whole = _load(ir, table, _index(ir, address, shift, mask, 8), "i64")
        low = ir.value(f"trunc i64 {whole} to i32")
        return low, _number(ir, low, ir.value(f"trunc i64 {ir.value(f'lshr i64 {whole}, 32')} to i32"))


def _root(ir: Lines, tables: TranslationTables, is_user: str, of_user: Callable[[], str]) -> str:
    """Where the first level is: what the code of `of_user` finds, or the kernel's own."""
    user, kernel, first, root = ir.label(), ir.label(), ir.label(), ir.variable("i32")
    ir.branch(is_user, user, kernel)
    ir.begin(user)
    ir.line(f"store i32 {of_user()}, ptr {root}")
    ir.jump(first)
    ir.begin(kernel)
    ir.line(f"store i32 {tables.kernel_table}, ptr {root}")
    ir.jump(first)
    ir.begin(first)
    return ir.value(f"load i32, ptr {root}")


def _number(ir: Lines, low: str, high: str) -> str:
    """The number of the page that a long descriptor, or TTBR0, names with its 40 bits."""
    upper = ir.value(f"shl i32 {ir.value(f'and i32 {high}, {0xFF}')}, {32 - _PAGE_BITS}")
    return ir.value(f"or i32 {upper}, {ir.value(f'lshr i32 {low}, {_PAGE_BITS}')}")


def _has(ir: Lines, value: str, mask: int, wanted: int) -> str:
    return ir.value(f"icmp eq i32 {ir.value(f'and i32 {value}, {mask}')}, {wanted}")


def _index(ir: Lines, address: str, shift: int, mask: int, size: int) -> str:
    """The offset of an entry of `size` bytes, by the bits of an address from `shift` on."""
    shifted = ir.value(f"lshr i32 {address}, {shift}")
    return ir.value(f"mul i32 {ir.value(f'and i32 {shifted}, {mask}')}, {size}")


def _load(ir: Lines, table: str, offset: str, kind: str) -> str:
    pointer = ir.value(f"inttoptr i32 {ir.value(f'add i32 {table}, {offset}')} to ptr")
    return ir.value(f"load volatile {kind}, ptr {pointer}")
