"""The part of a kernel's memory that says what modules it has loaded, as Linux 6.1 and 6.12 have it on 32-bit ARM."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

HEAD, CODE, WALKER = 0xC1400000, 0xC0300000, 0xC03F0000
NOP, RETURN, PUSH_LR, ADD_SP = 0xE320F000, 0xE12FFF1E, 0xE52DE004, 0xE28DD004


@dataclass
class Module:
    """`text` are the words of its code; `tables` are sections of data, as words."""

    name: str
    base: int
    text: list[int]
    #: name, offset, type
    symbols: list[tuple[str, int, str]] = field(default_factory=list)
    #: section -> offset in the code
    sections: dict[str, int] = field(default_factory=lambda: {".text": 0})
    tables: dict[str, list[int]] = field(default_factory=dict)
    state: int = 0

    @property
    def address(self) -> int:
        return self.base + 0x4040


class Memory:
    """Memory of which everything is zero that was not written. `later` is 6.4 and later."""

    def __init__(self, *modules: Module, later: bool = False) -> None:
        self._pages: dict[int, bytearray] = {}
        self.functions = {"module_get_kallsym": WALKER, "free_module": CODE}
        # movw r0; movt r0
        halves = HEAD & 0xFFFF, HEAD >> 16
        self.words(
            WALKER,
            [top | half >> 12 << 16 | half & 0xFFF for top, half in zip((0xE3000000, 0xE3400000), halves, strict=True)],
        )
        places = [HEAD, *(module.address + 4 for module in modules)]
        for number, place in enumerate(places):
            self.words(place, [places[(number + 1) % len(places)], places[number - 1]])
        for module in modules:
            self._write(module, later=later)

    def words(self, address: int, words: list[int]) -> None:
        self.bytes(address, struct.pack(f"<{len(words)}I", *words))

    def bytes(self, address: int, data: bytes) -> None:
        for offset, byte in enumerate(data):
            page = self._pages.setdefault((address + offset) >> 12, bytearray(4096))
            page[(address + offset) & 4095] = byte

    def read(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        return [
            bytes(self._pages.get(place >> 12, bytes(4096))[place & 4095] for place in range(start, start + size))
            for start, size in ranges
        ]

    def _write(self, module: Module, *, later: bool) -> None:
        at, base = module.address, module.base
        self.words(base, module.text)
        self.words(at, [module.state])
        self.bytes(at + 12, module.name.encode())
        self.words(at + 0x6C, [at])  # of its kobject
        if later:
            for kind in range(7):
                self.words(at + 0x100 + 36 * kind, [*([base, 0x1000] if kind == 0 else [0, 0]), at])
        else:
            self.words(at + 0x100, [base, 0x8000, 0x1000, 0x2000, 0x3000, at])
            self.words(at + 0x144, [at])
        kallsyms = at + 0x200
        symtab, strtab, sections = base + 0x6000, base + 0x6800, 0xC2000000 + (base & 0xFFFFFF)
        typetab = strtab + 0x700
        self.words(kallsyms, [kallsyms + 4, symtab, len(module.symbols) + 1, strtab, typetab, sections])
        place = strtab + 1
        for number, (name, offset, kind) in enumerate(module.symbols, 1):
            self.words(symtab + 16 * number, [place - strtab, base + offset, 4, 2 << 16])
            self.bytes(place, name.encode())
            self.bytes(typetab + number, kind.encode())
            place += len(name) + 1
        named = {name: base + offset for name, offset in module.sections.items()} | {".gnu.linkonce.this_module": at}
        for number, (name, words) in enumerate(module.tables.items()):
            named[name] = base + 0x5000 + 0x100 * number
            self.words(named[name], words)
        self.words(sections, [0xC1000000, 0, 0, 0, 0, len(named)])
        stride = 10 if later else 9
        for number, (name, start) in enumerate(named.items()):
            text = sections + 0x4000 + 0x40 * number
            self.bytes(text, name.encode())
            self.words(
                sections + 24 + 4 * stride * number, [text, 0o400, 19, 0, 0, 0xC0400000, *([0] * (stride - 7)), start]
            )
