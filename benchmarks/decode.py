"""How fast records become NumPy arrays and Arrow tables, and what a recorded event takes in memory.

    python benchmarks/decode.py [RECORDS]

The records are made here; two definitions alternate, and the figures are for one of them.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable

from armprobe.events.arrow import Converter
from armprobe.events.batch import Origin, Store
from armprobe.events.decode import decode
from armprobe.events.record import TYPES, FieldType, Layout, make_header, make_layout
from armprobe.events.ring import BUFFER, READ, WRITE, Ring, drain, initialize

LAYOUTS = {
    "two words": make_layout([("buffer", "r0", TYPES["x32"]), ("length", "r1", TYPES["u32"])]),
    "u8, s16 and a bit-field": make_layout(
        [("kind", "r0", TYPES["u8"]), ("size", "r1", TYPES["s16"]), ("state", "r2", FieldType(4, "u", bits=(4, 2)))]
    ),
}
CAPACITY = 1 << 16


def record(layout: Layout, number: int, salt: int) -> bytes:
    fields = bytes((salt * 37 + at * 11) & 0xFF for at in range(4 * layout.words - 4))
    return make_header(number, layout.words).to_bytes(4, "little") + fields


def fill(ring: Ring, memory: bytearray, data: bytes) -> None:
    """Leave `data` in the ring as target code would."""
    initialize(ring, lambda address, text: memory.__setitem__(slice(address, address + len(text)), text))
    memory[BUFFER : BUFFER + len(data)] = data
    memory[WRITE : WRITE + 4] = (len(data) // 4).to_bytes(4, "little")
    assert memory[READ : READ + 4] == bytes(4)


def drain_often(ring: Ring, memory: bytearray, data: bytes, wanted: int) -> tuple[Store, float]:
    """Drain the same records until there are `wanted`; return them, and the seconds that it took."""
    store = Store()
    events, seconds = 0, 0.0
    while events < wanted:
        fill(ring, memory, data)
        begin = time.perf_counter()
        found = drain(
            ring,
            lambda address, count: bytes(memory[address : address + count]),
            lambda address, text: memory.__setitem__(slice(address, address + len(text)), text),
        )
        store.add(found.records)
        seconds += time.perf_counter() - begin
        events += len(found.records)
    return store, seconds


def rate(what: str, count: int, function: Callable[[], object]) -> None:
    """Print the best of three."""
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begin)
    print(f"{what}: {count / min(seconds) / 1e6:.1f} million records/s")


def main() -> None:
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    layouts = list(enumerate(LAYOUTS.values()))
    pairs = [b"".join(record(layout, number, salt) for number, layout in layouts) for salt in range(256)]
    size = len(pairs[0])
    data = b"".join(pairs[salt % 256] for salt in range(CAPACITY * 4 // size))
    ring = Ring(0, CAPACITY)
    memory = bytearray(ring.size)
    tracemalloc.start()
    store, _ = drain_often(ring, memory, data, wanted)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    batches = store.batches
    events = sum(map(len, batches))
    print(f"{events:,} events: {kept / events:.0f} bytes each in memory")
    _, seconds = drain_often(ring, memory, data, wanted)
    print(f"drain: {events / seconds / 1e6:.1f} million records/s")
    rate("count", events, lambda: [batch.count() for batch in batches])
    for number, (name, layout) in enumerate(LAYOUTS.items()):
        rate(f"NumPy, {name}", events // 2, lambda layout=layout, number=number: decode(layout, batches, number))
    origins = {number: Origin("bench", f"e{number}", number, "f+0x0/0x4", layout) for number, layout in layouts}
    converter = Converter(origins, describe=hex)
    rate("Arrow, both", events, lambda: converter.table(batches, 0))


if __name__ == "__main__":
    main()
