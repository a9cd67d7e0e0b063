"""Windows in the memory that a kernel gave, to the RAM that it has not mapped all the time (`codegen.page_window`).

Linux on 32-bit ARM maps some 760 MiB of RAM all the time; the rest is high memory, which holds pages of users and, with
CONFIG_HIGHPTE, their page tables. What of the addresses is RAM says the emulator itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from armprobe.errors import TargetError
from armprobe.targets.capabilities import TranslationTables, Windows
from armprobe.targets.memorytree import COMMAND, MACHINE, read_tree
from armprobe.targets.pagetables import PageTables
from armprobe.targets.spans import whole_pages, without

_PAGE = 0x1000
#: descriptors (DDI 0406C B3.5.1, B3.6.1): what makes a page readable alone, and no code; what is the address
_SHORT_READ, _SHORT_ATTRIBUTES, _LONG_READ, _LONG_ADDRESS = 1 << 9 | 1, 0xFFF, 1 << 54 | 1 << 7, 0xFF_FFFF_F000
#: where Linux's own descriptor stands, before that of the processor
_OWN = 2048


def high_memory(monitor: Callable[[str], str], tables: TranslationTables) -> tuple[tuple[int, int], ...]:
    """(physical address, size) of the RAM that is in no linear map; nothing where the emulator does not tell."""
    with suppress(TargetError):
        parts = read_tree(monitor(COMMAND)).get(MACHINE, ())
        return _beyond([(part.start, part.end) for part in parts if part.kind == "ram"], tables)
    return ()


def _beyond(ram: Sequence[tuple[int, int]], tables: TranslationTables) -> tuple[tuple[int, int], ...]:
    beyond = without(ram, [(physical, physical + size) for physical, size, _ in tables.linear])
    return tuple((start, end - start) for start, end in whole_pages(beyond))


def open_windows(
    tables: PageTables,
    memory: tuple[int, int],
    known: TranslationTables,
    ram: tuple[tuple[int, int], ...],
    *,
    count: int,
    read: Callable[[int, int], bytes],
    write: Callable[[int, bytes], None],
) -> Windows | None:
    """Make windows of `count` pages out of the [start, end) `memory` of twice as many; None where that can't be done.

    `read` and `write` know physical addresses. The pages belong to nobody until the memory is given back.
    """
    size = 8 if known.long else 4
    start, end = memory
    # Twice as many, as a table may end among them.
    for address in (start, end - count * _PAGE):
        places = [tables.descriptor(address + _PAGE * number) for number in range(count)]
        first = places[0]
        if first is None or places != [first + size * number for number in range(count)]:
            continue
        at = next((to + first - base for base, size_, to in known.linear if base <= first < base + size_), None)
        if at is None:
            continue
        value = int.from_bytes(read(first, size), "little")
        if known.long:
            attributes, own = value & ~_LONG_ADDRESS | _LONG_READ, 0
        else:
            attributes = value & _SHORT_ATTRIBUTES | _SHORT_READ
            own = int.from_bytes(read(first - _OWN, size), "little") & _SHORT_ATTRIBUTES
        write(first, bytes(size * count))
        tables.forget()
        return Windows(address, count, at, known.long, attributes, own, ram)
    return None
