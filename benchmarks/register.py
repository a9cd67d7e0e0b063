"""How fast handlers are compiled, probes planted and removed, words decoded, and what memory probes take.

    python benchmarks/register.py [SITES]

The sites are instructions of the packaged sample firmware, laid out as often as it takes.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from importlib.resources import files

from armprobe import Image, Map, Refused, Session, emulate
from armprobe.codegen.actions import Action, Count, Record
from armprobe.codegen.filters import Compare, Constant, Register
from armprobe.codegen.handlers import compile_actions
from armprobe.codegen.helpers import emit, log2
from armprobe.isa.decoder import decode, find_row
from armprobe.patching.slots import Pool
from armprobe.probes.definition import parse_definition
from armprobe.probes.instruments import RING_WORDS

BASE = 0x8000
#: what a handler may take to be compiled, and 10,000 probes with one handler to be planted
MOST_MILLISECONDS, MOST_SECONDS = 20, 10


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


def compile_times(count: int = 20) -> dict[str, float]:
    """Milliseconds of processor time to compile a handler, each of `count` different ones, by kind; first use apart."""
    compile_actions((Count(),))
    readable = ((0x8000, 0x20000), (0x40000, 0x50000))
    kinds: dict[str, Callable[[int], Action]] = {
        "count if %r0 > N": lambda n: Count(filter=Compare(">", Register("r0"), Constant(n))),
        "p:e f a=%r0 b=%r1 c=+N(%r0):u8": lambda n: _defined(f"p:e 0x8000 a=%r0 b=%r1 c=+{n}(%r0):u8"),
        "p:e f a=+N(%r0):x8[4] b=+0(%r1):string if a > 1": lambda n: _defined(
            f"p:e 0x8000 k=+{n}(%r0):u8 a=+{n}(%r0):x8[4] b=+0(%r1):string if k > 1"
        ),
    }
    found = {}
    for name, make in kinds.items():
        actions = [make(n) for n in range(5, 5 + count)]
        begin = time.process_time()
        for action in actions:
            compile_actions((action,), readable=readable)
        found[name] = (time.process_time() - begin) * 1000 / count
    with emulate(program(1)) as session:
        sizes, callers = session.histogram("sizes"), session.table("callers", 256)
        begin = time.process_time()
        for n in range(5, 5 + count):
            session.probe(BASE, _handler(sizes, callers, n), compiled=True).unregister()
        found["a function in Python, planted and removed"] = (time.process_time() - begin) * 1000 / count
    return found


def _defined(text: str) -> Action:
    definition = parse_definition(text)
    return Record(definition.layout(), RING_WORDS, definition.filter, stops=True)


def _handler(sizes: Map, callers: Map, limit: int) -> Callable[..., None]:
    def measure(r0: int, lr: int) -> None:
        sizes[log2(r0)] += 1
        if r0 >= limit:
            callers[lr] += 1
            emit(size=r0, caller=lr)

    return measure


def shared_handler(image: Image, places: list[int]) -> float:
    """Seconds to give all places one handler in Python, and branches."""
    with emulate(image) as session:
        handler = _handler(session.histogram("sizes"), session.table("callers", 256), 24)
        begin = time.perf_counter()
        session.probe_all(places, handler, compiled=True)
        assert session.optimize_now() == len(places)
        return time.perf_counter() - begin


def main() -> int:
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
    seconds = shared_handler(image, places)
    exceeded = seconds > MOST_SECONDS
    print(f"{len(places)} probes with one handler in Python: {seconds:.1f} s{_verdict(exceeded)}")
    for name, milliseconds in compile_times().items():
        exceeded |= milliseconds > MOST_MILLISECONDS
        print(f"compiled in {milliseconds:.1f} ms{_verdict(milliseconds > MOST_MILLISECONDS)}: {name}")
    print(f"decoding with usage: {decoding_rate():.0f} instructions/s")
    return int(exceeded)


def _verdict(exceeded: bool) -> str:
    return "  EXCEEDED" if exceeded else ""


if __name__ == "__main__":
    sys.exit(main())
