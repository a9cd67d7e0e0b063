"""How fast probes are planted, optimized and removed, what memory they take, and how fast words are decoded.

    python benchmarks/register.py [SITES]

The sites are instructions of the packaged sample firmware, laid out as often as it takes.
"""

from __future__ import annotations

import random
import sys
import time
from importlib.resources import files

from armprobe import Image, Refused, Session, emulate
from armprobe.isa.decoder import decode, find_row
from armprobe.patching.slots import Pool

BASE = 0x8000


def program(sites: int) -> Image:
    image = Image.load(str(files("armprobe") / "demo" / "demo.elf"))
    text = image.segments[0].data[:0x1000]
    return Image.from_bytes(text * (sites * 4 // len(text) * 2 + 2), base=BASE)


def good_sites(session: Session, image: Image, wanted: int) -> list[int]:
    """The first addresses whose instruction can be probed."""
    found: list[int] = []
    for address in range(BASE, image.segments[0].end, 4):
        if len(found) == wanted:
            break
        if not session.explain(address).refused:
            found.append(address)
    return found


def decoding_rate(count: int = 200_000) -> float:
    """Distinct valid words decoded, with their usage, per second."""
    rng = random.Random(1)
    words: set[int] = set()
    while len(words) < count:
        word = rng.getrandbits(32)
        row = find_row(word)
        if row is not None and row.invalid(word) is None:
            words.add(word)
    uncached = decode.__wrapped__
    begin = time.perf_counter()
    for word in words:
        _ = uncached(word).usage
    return count / (time.perf_counter() - begin)


def main() -> None:
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    image = program(wanted)
    with emulate(image) as session:
        places = good_sites(session, image, wanted)
    session = emulate(image)
    try:
        before = session.target.read_memory(BASE, image.segments[0].size)
        begin = time.perf_counter()
        session.count_all(places)
        planted = time.perf_counter()
        optimized = session.optimize_now()
        done = time.perf_counter()
        memory = session._engine.slots.statistics()
    except Refused:
        session.close()
        raise
    closing = time.perf_counter()
    session.close()
    closed = time.perf_counter()
    assert session.target.read_memory(BASE, image.segments[0].size) == before
    print(f"{len(places)} counters: planted {planted - begin:.2f} s, {optimized} optimized {done - planted:.2f} s, "
          f"removed {closed - closing:.2f} s: {len(places) / (done - begin):.0f} probes/s")  # fmt: skip
    print(f"memory a probe: {memory[Pool.CODE].used / len(places):.0f} bytes of code, "
          f"{memory[Pool.DATA].used / len(places):.0f} of data")  # fmt: skip
    print(f"decoding with usage: {decoding_rate():.0f} instructions/s")


if __name__ == "__main__":
    main()
