"""Functions made of text, for tests of compiled handlers, and a machine that runs them on both sides."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

from tests.codegen.test_handlers import DATA, PAGE, Machine

from armprobe.codegen.actions import Call
from armprobe.codegen.body import Exit
from armprobe.codegen.conditions import map_symbol
from armprobe.codegen.handlers import compile_actions, compile_guard
from armprobe.codegen.map_layout import MapShape
from armprobe.codegen.python_host import Ending, Fault, host_condition, host_function
from armprobe.codegen.python_subset import Checked, check_condition, check_handler
from armprobe.events.record import make_header
from armprobe.events.ring import Ring, drain, initialize
from armprobe.events.values import decode_text, unpack
from armprobe.probes.maps import Map

_numbers = count()
#: memory that handlers may read
READ, READ_SIZE = 0x0004_0040, 64
HITS, FAULTS, LOST = DATA, DATA + 4, DATA + 8
MAPS = DATA + 0x800
#: the ring, and its words
RECORDS, WORDS = 0x6000_0000, 1 << 10
PROBE = 0x1234
MEMORY = bytes(7 * n + 0x81 & 0xFF for n in range(READ_SIZE - 16)) + b"eth0\0\0\0\0\xffx\0" + b"rate9"
#: where there are strings: one that ends, one that is no UTF-8, one that runs out of memory
TEXT, BYTES, OPEN = READ + 48, READ + 56, READ + 59


def define(source: str, **names: object) -> Callable[..., object]:
    """The last function of a text, whose lines errors can show; `names` are what it finds outside."""
    filename = f"<handler {next(_numbers)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    before = set(names)
    exec(compile(source, filename, "exec", dont_inherit=True), names)  # noqa: S102
    return [value for name, value in names.items() if name not in before and callable(value)][-1]


def shape_of(value: object) -> MapShape | None:
    return value.shape if isinstance(value, Map) else None


class BothSides:
    """One handler: compiled, run on Unicorn; and on the host. Each side has memory of its own for its maps."""

    def __init__(self, function: Callable[..., object], *, architecture: int = 7, atomic: bool = False) -> None:
        self.checked: Checked = check_handler(function, shape_of)
        self.program = self.checked.program
        self.body = compile_actions(
            (Call(self.program, WORDS),), architecture=architecture, atomic=atomic,
            readable=((READ, READ + READ_SIZE),),
        )  # fmt: skip
        self.machine = Machine()
        self.machine.uc.mem_map(READ & -PAGE, PAGE)
        self.machine.write(READ, MEMORY)
        self._ring = Ring(RECORDS, WORDS, Ring(RECORDS, WORDS).longest)
        self.machine.uc.mem_map(RECORDS, self._ring.size + PAGE & -PAGE)
        initialize(self._ring, self.machine.write)
        self.machine.write(DATA, bytes(16))
        self.machine.write(MAPS, bytes(PAGE - 0x800))
        self.host_memory = bytearray(PAGE - 0x800)
        self._call = host_function(self.checked)
        self._addresses = [known.address for known in self.checked.maps if isinstance(known, Map)]
        self._host_maps = [
            Map(known.name, known.shape, known.address, _memory=self) for known in self.checked.maps
            if isinstance(known, Map)
        ]  # fmt: skip
        self._records: list[dict[str, int | None]] = []

    def target(self, registers: Mapping[str, int]) -> tuple[list[dict[str, int | None]], bool]:
        """Run the compiled handler: its records, and whether it faulted."""
        layout = self.program.layout
        symbols = {
            "hits": HITS,
            "faults": FAULTS,
            "lost": LOST,
            "probe": PROBE,
            "ring": RECORDS,
            "site": registers["pc"],
        }
        symbols["header"] = make_header(PROBE, layout.words) if layout else 0
        symbols |= {f"map{number}": address for number, address in enumerate(self._addresses)}
        hits, faults = self.machine.word(HITS), self.machine.word(FAULTS)
        self.machine.run(self.body, dict(registers), symbols)
        assert self.machine.word(HITS) == hits + 1
        records = drain(self._ring, self.machine.read, self.machine.write).records
        return [unpack(layout, record) for record in records], self.machine.word(FAULTS) == faults + 1

    def host(self, registers: Mapping[str, int]) -> tuple[list[dict[str, int | None]], bool]:
        """The same on the host."""
        self._records = []
        faulted = self._call(self, SimpleNamespace(**registers), PROBE) is Ending.FAULT
        return self._records, faulted

    @property
    def target_maps(self) -> bytes:
        return self.machine.read(MAPS, PAGE - 0x800)

    # --- what the function reaches on the host: `Surroundings`

    def read(self, address: int, size: int) -> bytes:
        return read_memory(address, size)

    def add(self, number: int, key: int, amount: int) -> None:
        self._host_maps[number].add(amount, key)

    def put(self, number: int, key: int, value: int) -> None:
        self._host_maps[number].put(key, value)

    def get(self, number: int, key: int) -> int:
        return self._host_maps[number].get(key)

    def pop(self, number: int, key: int) -> int:
        return self._host_maps[number].pop(key)

    def record(self, values: Mapping[str, int | bytes | None]) -> None:
        layout = self.program.layout
        assert layout is not None
        self._records.append({
            name: decode_text(value, layout.text) if isinstance(value, bytes) else value
            for name, value in values.items()
        })  # fmt: skip

    def read_memory(self, address: int, size: int) -> bytes:
        return bytes(self.host_memory[address - MAPS :][:size])

    def write_memory(self, address: int, data: bytes) -> None:
        self.host_memory[address - MAPS : address - MAPS + len(data)] = data


class Condition:
    """One condition: compiled, run on Unicorn; and on the host."""

    def __init__(self, function: Callable[..., object], *, architecture: int = 7, atomic: bool = False) -> None:
        condition, scope = check_condition(function, shape_of)
        self._maps = [known for known in scope.handler.maps if isinstance(known, Map)]
        condition = replace(condition, maps=tuple((known.shape, known.address) for known in self._maps))
        readable = ((READ, READ + READ_SIZE),)
        self._body = compile_guard(condition, architecture=architecture, readable=readable, atomic=atomic)
        self._machine = Machine()
        self._machine.uc.mem_map(READ & -PAGE, PAGE)
        self._machine.write(READ, MEMORY)
        self._decide = host_condition(scope)

    def target(self, registers: Mapping[str, int]) -> bool:
        symbols = {"site": registers["pc"]} | {map_symbol(known.address): known.address for known in self._maps}
        return self._machine.run(self._body, dict(registers), symbols) is Exit.HOLDS

    def host(self, registers: Mapping[str, int]) -> bool:
        maps = [Map(known.name, known.shape, known.address, _memory=self) for known in self._maps]
        return self._decide(_Memory(maps), SimpleNamespace(**registers))

    def read_memory(self, address: int, size: int) -> bytes:
        return self._machine.read(address, size)

    def write_memory(self, address: int, data: bytes) -> None:
        """What both sides find in maps."""
        self._machine.write(address, data)


class _Memory:
    """What a condition reaches."""

    def __init__(self, maps: list[Map]) -> None:
        self._maps = maps

    def get(self, number: int, key: int) -> int:
        return self._maps[number].get(key)

    def read(self, address: int, size: int) -> bytes:
        return read_memory(address, size)

    def add(self, number: int, key: int, amount: int) -> None:
        raise NotImplementedError

    def put(self, number: int, key: int, value: int) -> None:
        raise NotImplementedError

    def record(self, values: Mapping[str, int | bytes | None]) -> None:
        raise NotImplementedError


def read_memory(address: int, size: int) -> bytes:
    if not READ <= address <= READ + READ_SIZE - size:
        raise Fault
    return MEMORY[address - READ :][:size]
