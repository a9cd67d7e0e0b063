"""A life of probes on a fake target, cut short at any operation of the target."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from armprobe import Image, Region, Session
from armprobe.symbols.table import SymbolTable
from armprobe.targets.base import Registers, Stop, TrapHandler
from armprobe.targets.fake import FakeTarget
from armprobe.targets.journal import Change, Left

BASE = 0x8000
NOP = 0xE1A00000  # mov r0, r0
WORDS = [NOP] * 63 + [0xEAFFFFBF]  # ...; b BASE
SITES = range(BASE + 4, BASE + 4 * 9, 4)
SLOTS = Region(0x100000, 0x120000, name="slots")


class Notes:
    """A journal in memory."""

    remedy = "look at the notes"

    def __init__(self) -> None:
        self.changes: list[Change] = []

    @property
    def left(self) -> Left:
        return Left.of(self.changes)

    def note(self, *changes: Change) -> None:
        self.changes += changes


class Interrupted(FakeTarget):
    """A fake target whose operations are counted. `at_operation(number)` may raise; of a write, half is done then."""

    def __init__(self) -> None:
        self.operations = 0
        self.at_operation: Callable[[int], object] = lambda _: None
        self.journal = Notes()
        super().__init__(WORDS, base=BASE)
        self.map_memory(SLOTS)
        self.operations = 0

    def _count(self) -> None:
        self.operations += 1
        self.at_operation(self.operations)

    def read_memory(self, address: int, size: int) -> bytes:
        self._count()
        return super().read_memory(address, size)

    def write_memory(self, address: int, data: bytes) -> None:
        try:
            self._count()
        except BaseException:
            super().write_memory(address, data[: len(data) // 8 * 4])
            raise
        super().write_memory(address, data)

    def read_registers(self) -> Registers:
        self._count()
        return super().read_registers()

    def write_registers(self, registers: Registers) -> None:
        self._count()
        super().write_registers(registers)

    def synchronize(self, ranges: Sequence[tuple[int, int]]) -> None:
        self._count()
        super().synchronize(ranges)

    def run(self, on_trap: TrapHandler, *, until: int | None = None, limit: int | None = None) -> Stop:
        self._count()
        return super().run(on_trap, until=until, limit=limit)


def start(target: FakeTarget) -> Session:
    image = Image.from_words(WORDS, base=BASE)
    return Session(target, symbols=SymbolTable.from_image(image), slots=[SLOTS])


def contents(target: FakeTarget) -> list[bytes]:
    """What memory holds, and what instruction fetch sees of the program."""
    held = [FakeTarget.read_memory(target, region.start, region.end - region.start) for region in (_CODE, SLOTS)]
    seen = [target.fetch(address) for address in range(BASE, BASE + 4 * len(WORDS), 4)]
    return [*held, b"".join(word.to_bytes(4, "little") for word in seen)]


_CODE = Region(BASE, BASE + 4 * len(WORDS))


def live(session: Session) -> None:
    """What happens to probes: traps, branches, host handlers, stops in slots, removal."""
    counters = session.count_all(SITES[:3])
    session.run(limit=3)
    hooked = session.probe(SITES[3], lambda _: None, post_handler=lambda _: None)
    session.optimize_now()
    session.run(limit=7)
    counters[0].park()
    counters[0].unpark()
    session.probe(SITES[0], lambda _: None)
    hooked.disable()
    hooked.enable()
    session.target.run(session._engine.dispatcher.on_trap, limit=30)  # stops in a slot, as like as not
    counters[1].unregister()
    session.optimization = False
    session.optimize_now()
    hooked.unregister()
    session.close()
