"""The modules that a Linux kernel has loaded, found in its own data: no types have to be known.

All modules are in a list (kernel/module/main.c), whose head is a constant in the code of functions that go through it.
A link is the second member of `struct module` (include/linux/module.h), behind the state and before the name. The other
members are known by what they must be:

- the symbols (`core_kallsyms`) stand right behind the only pointer of the module to what is right behind it
- memory is described by structures that end in a pointer to the module: one for all of it, and one for what goes after
  the start, up to Linux 6.3; one for each of seven kinds later, of which the first is the code, and the fifth that of
  the start
- sections have their names and addresses (`sect_attrs`, as in /sys/module/NAME/sections), one of them that of the
  module itself

What is not as it must be, in one of the modules, is refused, not guessed.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from armprobe.errors import Refused
from armprobe.isa.moves import moved_numbers
from armprobe.symbols.image import Symbol

#: reads (address, size) ranges, what is not there as zeros
ReadMany = Callable[[Sequence[tuple[int, int]]], list[bytes]]

#: functions that go through the list of all modules
_WALKERS = ("module_kallsyms_lookup_name", "module_get_kallsym")
_WALKER_BYTES = 0x100
_WORD, _PAGE = 4, 0x1000
#: of struct module: the link, the name, and more than all of it
_LINK, _NAME, _NAME_BYTES, _MODULE_BYTES = 4, 12, 60, 0x400
_MOST_MODULES = 2048
#: the state, the link and the name
SEEN_BYTES = _NAME + _NAME_BYTES
_MODULE_NAME = re.compile(r"[!-~]+")
#: MODULE_STATE_LIVE: it is initialized, and not on its way out; MODULE_STATE_COMING
_LIVE, _COMING = 0, 1
#: struct module_layout up to 6.3, and module_memory: how many bytes it has, how many there are, which is that of the
#: code of the start, and how far before the pointer to the module are the base, and sizes that ascend; the first of
#: these is that of the code
_MEMORY = ((48, 2, 1, (20, 12, 8, 4, 16)), (36, 7, 4, (8, 4)))
#: struct mod_kallsyms
_KALLSYMS = struct.Struct("<4I")
#: Elf32_Sym, and bytes that a name takes at most
_SYMBOL, _LONGEST_NAME, _MOST_SYMBOLS = struct.Struct("<3I2BH"), 512, 1 << 16
#: the attributes of sections, and before them the group of all, which has at most so many words
_ATTRIBUTES_BYTES, _MOST_BEFORE, _MOST_STRIDE, _MOST_SECTIONS, _SECTION_NAME_BYTES = 0x2000, 10, 20, 128, 64
#: no module is larger, and no table of one
_MOST_CODE, MOST_TABLE = 16 << 20, 1 << 18
#: what root may read
_READABLE = 0o400
_OF_MODULE = ".gnu.linkonce.this_module"
#: sections that name places in the code
ACCESSES, JUMP_LABELS, NOT_TO_BE_PROBED = TABLES = "__ex_table", "__jump_table", "_kprobe_blacklist"


@dataclass(frozen=True, slots=True)
class Section:
    """[start, end) of a module; the end is where the next one begins."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class KernelModule:
    """A module: `address` is that of its struct module, [start, end) its code, which is `code`.

    `marks` are the mapping symbols of its code (see `Image`), `data` what the sections hold that say where it is
    changed: by the name of the section.
    """

    name: str
    address: int
    start: int
    code: bytes
    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]
    marks: tuple[tuple[int, str], ...]
    data: Mapping[str, bytes]

    @property
    def end(self) -> int:
        return self.start + len(self.code)

    @property
    def code_sections(self) -> list[Section]:
        """Those that are in its code."""
        return [section for section in self.sections if self.start <= section.start < self.end]


@dataclass(frozen=True, slots=True)
class Layout:
    """Offsets in struct module: of address and size of the code, and of the tables of symbols.

    So many bytes behind address and size of the code are those of the code of its `start`.
    """

    code: int
    size: int
    symbols: int
    start: int


@dataclass(frozen=True, slots=True)
class Link:
    """A module in the list: what is read before all else."""

    address: int
    data: bytes

    @property
    def name(self) -> str:
        return self.data[_NAME : _NAME + _NAME_BYTES].partition(b"\0")[0].decode("latin-1")

    @property
    def live(self) -> bool:
        return self.word(0) == _LIVE

    @property
    def coming(self) -> bool:
        """Whether none of its code has run, or what begins it runs."""
        return self.word(0) == _COMING

    def word(self, offset: int) -> int:
        """The word of the module at an offset in it."""
        return int.from_bytes(self.data[offset : offset + _WORD], "little")


def find_list(read: ReadMany, functions: Mapping[str, int]) -> int:
    """Return the address of the head of the list of modules; `functions` are those of the kernel, by name.

    Raises Refused when it is not certain.
    """
    known = [functions[name] for name in _WALKERS if name in functions]
    code = read([(address, _WALKER_BYTES) for address in known])
    numbers = {number for data in code for number in moved_numbers(_words(data))}
    heads = [number for number in sorted(numbers) if number % _WORD == 0 and _is_head(read, number)]
    if len(heads) != 1:
        raise Refused("the kernel's list of modules was not found")
    return heads[0]


def read_list(read: ReadMany, head: int) -> list[Link]:
    """All modules of the list, in any state. Raises Refused when it is damaged."""
    found: list[Link] = []
    before, (place, last) = head, _words(read([(head, 2 * _WORD)])[0])
    while place != head:
        link = read_link(read, place - _LINK)
        if link.word(_LINK + _WORD) != before or not _is_name(link.name) or len(found) == _MOST_MODULES:
            raise Refused("the kernel's list of modules is damaged")
        found.append(link)
        before, place = place, link.word(_LINK)
    if before != last:
        raise Refused("the kernel's list of modules is damaged")
    return found


def read_link(read: ReadMany, address: int) -> Link:
    """The module whose struct module is at the address."""
    return Link(address, *read([(address, _MODULE_BYTES)]))


def find_layout(links: Iterable[Link]) -> Layout:
    """How the members of all these modules lie, which have been initialized. Raises Refused when it is not certain."""
    found = [set(_layouts(link, _symbols(link))) for link in links]
    layouts = set.intersection(*found) if found else set()
    if len(layouts) != 1:
        raise Refused("how the kernel describes its modules is not certain")
    return layouts.pop()


def read_module(read: ReadMany, link: Link, layout: Layout) -> KernelModule:
    """Read a module. Raises Refused when it is not as `layout` says."""
    return _read_part(
        read, link, layout, _KALLSYMS.unpack_from(link.data, layout.symbols), link.word(layout.code), layout.size
    )


def read_start(read: ReadMany, link: Link, layout: Layout) -> KernelModule | None:
    """Read that part of a module which runs once, when it begins, and of which nothing has run yet.

    None where there is none. Raises Refused when it is not as `layout` says.
    """
    start = link.word(layout.code + layout.start)
    if not start or not link.word(layout.size + layout.start):
        return None
    every = _KALLSYMS.unpack(read([(link.word(layout.symbols - _WORD), _KALLSYMS.size)])[0])
    return _read_part(read, link, layout, every, start, layout.size + layout.start)


def _read_part(
    read: ReadMany, link: Link, layout: Layout, kallsyms: tuple[int, ...], start: int, at_size: int
) -> KernelModule:
    """The code at `start`, whose size is in the module at an offset, with the symbols of these tables."""
    symtab, count, strtab, typetab = kallsyms
    size = link.word(at_size)
    if count > _MOST_SYMBOLS or size > _MOST_CODE or start % _PAGE or size % _PAGE:
        raise _uncertain(link)
    entries, types, attributes, code = read(
        [
            (symtab, count * _SYMBOL.size),
            (typetab, count),
            (link.word(layout.symbols + _KALLSYMS.size), _ATTRIBUTES_BYTES),
            (start, size),
        ]
    )
    symbols = list(_SYMBOL.iter_unpack(entries))
    names, addresses = _attributes(attributes, link)
    strings, *section_names = read(
        [(strtab, max((entry[0] for entry in symbols), default=0) + _LONGEST_NAME)]
        + [(place, _SECTION_NAME_BYTES) for place in names]
    )
    sections = _sections([_text(name) for name in section_names], addresses, start + size)
    if (_OF_MODULE, link.address) not in {(section.name, section.start) for section in sections}:
        raise _uncertain(link)
    named = [
        (value, chr(kind), _text(strings[name : name + _LONGEST_NAME]))
        for (name, value, _, _, _, _), kind in zip(symbols, types, strict=True)
        if start <= value < start + size
    ]
    tables = [section for section in sections if section.name in TABLES]
    data = read([(table.start, min(table.end - table.start, MOST_TABLE)) for table in tables])
    return KernelModule(
        link.name,
        link.address,
        start,
        code,
        sections,
        tuple(_functions(named, [section.end for section in sections])),
        tuple(sorted((value, name[1]) for value, _, name in named if name[:1] == "$" and name[1:2] in ("a", "t", "d"))),
        {table.name: content for table, content in zip(tables, data, strict=True)},
    )


def layout_of_coming(read: ReadMany, link: Link) -> Layout:
    """How the members of a module lie of which no code has run. Raises Refused when it is not certain.

    Its symbols are described twice then: all of them, where a pointer leads, and behind that those that will stay.
    """
    found = {
        layout
        for place in range(0, _MODULE_BYTES - _WORD - _KALLSYMS.size, _WORD)
        if _stays(read, link, place)
        for layout in _layouts(link, symbols=[place + _WORD])
    }
    if len(found) != 1:
        raise _uncertain(link)
    return found.pop()


def _stays(read: ReadMany, link: Link, place: int) -> bool:
    """Whether a pointer to the description of all symbols may be there, and behind it that of those that stay."""
    every, own = link.word(place), _KALLSYMS.unpack_from(link.data, place + _WORD)
    if not every or every % _WORD or not all(own) or own[0] % _WORD or own[1] > _MOST_SYMBOLS:
        return False
    whole = _KALLSYMS.unpack(read([(every, _KALLSYMS.size)])[0])
    if not all(whole) or whole[0] % _WORD or not own[1] <= whole[1] <= _MOST_SYMBOLS:
        return False
    # The first symbol has no name and no value.
    return not any(b"".join(read([(own[0], _SYMBOL.size), (whole[0], _SYMBOL.size)])))


def identity(link: Link, layout: Layout) -> tuple[str | int, ...]:
    """What tells a module from others, and from itself when it is unloaded and loaded again elsewhere."""
    members = range(layout.symbols, layout.symbols + _KALLSYMS.size + _WORD, _WORD)
    return link.name, link.address, link.word(layout.code), link.word(layout.size), *map(link.word, members)


def _symbols(link: Link) -> list[int]:
    """Where the tables of symbols may be described: behind a pointer to what is right behind it."""
    places = range(_WORD, _MODULE_BYTES - _KALLSYMS.size, _WORD)
    return [place for place in places if link.word(place - _WORD) == link.address + place]


def _layouts(link: Link, symbols: Sequence[int]) -> Iterator[Layout]:
    """What can be: all that fits this module, whose symbols are described at one of the offsets."""
    own = {index * _WORD for index, word in enumerate(_words(link.data)) if word == link.address}
    for end in sorted(own):
        for stride, parts, of_start, members in _MEMORY:
            ends = [end + number * stride for number in range(-1, parts + 1)]
            if ends[0] in own or ends[-1] in own or not own.issuperset(ends[1:-1]) or end < members[0]:
                continue
            base, *sizes = (link.word(end - member) for member in members)
            if base % _PAGE == 0 and all(size % _PAGE == 0 for size in sizes) and sizes == sorted(sizes):
                offsets = end - members[0], end - members[1]
                yield from (Layout(*offsets, place, of_start * stride) for place in symbols)


def _attributes(data: bytes, link: Link) -> tuple[list[int], list[int]]:
    """Where the names of the sections are, and their addresses.

    Each has an attribute, which begins with its name and says who may read it. The address of one is known.
    """
    words = _words(data)
    first = next((index for index in range(1, _MOST_BEFORE) if words[index + 1] == _READABLE), 0)
    count = words[first - 1]
    following = next((index for index in range(first + 2, first + _MOST_STRIDE) if words[index + 1] == _READABLE), 0)
    stride = following - first
    last = first + stride * (count - 1)
    if first and 1 < count <= _MOST_SECTIONS and stride > 0 and last + stride <= len(words):
        starts = range(first, last + 1, stride)
        columns = [offset for offset in range(2, stride) if link.address in (words[start + offset] for start in starts)]
        if len(columns) == 1 and all(words[start + 1] == _READABLE for start in starts):
            return [words[start] for start in starts], [words[start + columns[0]] for start in starts]
    raise _uncertain(link)


def _sections(names: Sequence[str], addresses: Sequence[int], end: int) -> tuple[Section, ...]:
    """The sections, ascending; what is behind the code's `end` is no code."""
    ends = sorted({*addresses, end})
    found = [
        Section(name, start, ends[following] if (following := bisect_right(ends, start)) < len(ends) else start + _PAGE)
        for name, start in zip(names, addresses, strict=True)
    ]
    return tuple(sorted(found, key=lambda section: section.start))


def _functions(named: Sequence[tuple[int, str, str]], ends: Sequence[int]) -> Iterator[Symbol]:
    """Each as long as up to the next one, or the end of the section."""
    known = [(value, kind, name) for value, kind, name in named if name and name[0] not in "$."]
    places = sorted({value & ~1 for value, _, _ in known} | set(ends))
    for value, kind, name in known:
        address = value & ~1
        following = bisect_right(places, address)
        size = places[following] - address if following < len(places) else 0
        yield Symbol(name, address, size, thumb=bool(value & 1), function=kind in "tTwW")


def _is_head(read: ReadMany, place: int) -> bool:
    after, before = _words(read([(place, 2 * _WORD)])[0])
    if after % _WORD or before % _WORD or not after or not before:
        return False
    if after == before == place:
        return True
    first, last, name = read([(after + _WORD, _WORD), (before, _WORD), (after - _LINK + _NAME, _NAME_BYTES)])
    return _words(first)[0] == _words(last)[0] == place and _is_name(_text(name))


def _is_name(text: str) -> bool:
    return len(text) < _NAME_BYTES and _MODULE_NAME.fullmatch(text) is not None


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("latin-1")


def _words(data: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(data) // _WORD}I", data))


def _uncertain(link: Link) -> Refused:
    return Refused(f"how the kernel describes its module {link.name} is not certain")
