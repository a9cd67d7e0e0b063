"""What a hit costs: instructions added in the target, and time, against the emulator's own Python hook.

    python benchmarks/hits.py

Instructions are counted by the emulator and do not vary. Times are of this run on this machine: compare them only with
each other.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from unittest import mock

from armprobe import Image, Session, emulate
from armprobe.targets.counting import count_executions

BASE = 0x8000
#: a loop around a call of a small function that overwrites r2 and r3: they are dead at its first instruction, and at
#: its third one no register is
LOOP = (
    0xE3A05601,  # mov r5, #0x100000     (replaced by the number of passes)
    0xE3A00001,  # mov r0, #1
    0xE3A01002,  # mov r1, #2
    0xEB000002,  # bl function
    0xE2555001,  # subs r5, r5, #1
    0x1AFFFFFA,  # bne 0x8004
    0xE1A00000,  # nop                    END
    0xE0802001,  # function: add r2, r0, r1
    0xE0403001,  # sub r3, r0, r1
    0xE0800001,  # add r0, r0, r1         NONE_DEAD
    0xE12FFF1E,  # bx lr
)
END = BASE + 0x18
FUNCTION = BASE + 0x1C
NONE_DEAD = BASE + 0x24
PASSES = 1 << 20
#: passes of the slow mechanisms, which stop the emulator
FEW = 1 << 14
#: passes that the ring has room for
SOME = 1 << 13
COUNTED = 64


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One way to watch the function; `plant` is given a fresh session and plants it at the function's entry."""

    name: str
    plant: Callable[[Session], object]
    passes: int = PASSES
    in_target: bool = True
    #: instructions that a hit may add
    most: int | None = None


def optimized(plant: Callable[[Session], object]) -> Callable[[Session], object]:
    """Plant, then run the optimizer."""

    def planted(session: Session) -> None:
        plant(session)
        assert session.optimize_now() == 1

    return planted


def hook(session: Session, callback: Callable[..., None]) -> None:
    """Unicorn's own UC_HOOK_CODE on the one address."""
    session.target.engine.hook_add(4, callback, begin=FUNCTION, end=FUNCTION)  # type: ignore[attr-defined]


def empty_callback(_uc: object, _address: int, _size: int, _data: object) -> None: ...


def reading_callback(uc: object, _address: int, _size: int, _data: object) -> None:
    uc.reg_read(66)  # type: ignore[attr-defined]  # UC_ARM_REG_R0


def watch(session: Session, condition: str = "", place: int = FUNCTION) -> None:
    session.on_event(lambda _: None)
    session.define(f"p:hit {place:#x} a=%r0 b=%r1{condition}")


def untimed(session: Session, condition: str = "") -> None:
    session.timestamps = False
    watch(session, condition)


def guarded(session: Session) -> None:
    session.probe(FUNCTION, lambda _: None, when="%r0 > 5")


def atomic(session: Session) -> None:
    """As on a target with several processors, or with interrupt handlers that run the same code."""
    with mock.patch.object(type(session.target), "concurrent", new=True):
        session.count(NONE_DEAD)


MECHANISMS = (
    Mechanism("no probe", lambda _: None),
    Mechanism("armprobe: count, branch, two registers dead", optimized(lambda s: s.count(FUNCTION)), most=9),
    Mechanism("armprobe: count, branch, no register dead", optimized(lambda s: s.count(NONE_DEAD)), most=9),
    Mechanism("armprobe: count atomically, no register dead", optimized(atomic), most=15),
    Mechanism("armprobe: record of two registers, branch", optimized(untimed), SOME),
    Mechanism("armprobe: record of two registers and the time", optimized(watch), SOME, most=40),
    Mechanism("armprobe: latency, entry and return", optimized(lambda s: s.latency(FUNCTION)), most=90),
    Mechanism("armprobe: record, the filter rejects", optimized(lambda s: watch(s, " if %r0 > 5")), most=8),
    Mechanism("armprobe: the same, no register dead", optimized(lambda s: watch(s, " if %r0 > 5", NONE_DEAD)), most=8),
    Mechanism("armprobe: host handler, compiled condition rejects", optimized(guarded), most=8),
    Mechanism("armprobe: host handler, trap", lambda s: s.probe(FUNCTION, lambda _: None), FEW, in_target=False),
    Mechanism("armprobe: host handler reads r0, trap", lambda s: s.probe(FUNCTION, lambda h: h.regs.r0), FEW, False),
    Mechanism("Unicorn: UC_HOOK_CODE, empty Python callback", lambda s: hook(s, empty_callback), FEW * 8, False),
    Mechanism("Unicorn: UC_HOOK_CODE, callback reads r0", lambda s: hook(s, reading_callback), FEW * 8, False),
)  # fmt: skip


def start(passes: int) -> Session:
    mov = 0xE3A05000 | {1 << 20: 0x601, 1 << 17: 0x802, 1 << 14: 0x901, 1 << 13: 0xA02, COUNTED: COUNTED}[passes]
    return emulate(Image.from_words((mov, *LOOP[1:]), base=BASE))


def instructions(mechanism: Mechanism) -> float:
    """Instructions executed for each pass, by the emulator's own count."""
    with start(COUNTED) as session:
        mechanism.plant(session)
        slots = [(site.slot.address, site.slot.end) for site in session._engine.sites.values()]
        slots += [(start, end) for start, end, _ in session._engine.returns.slots]
        places = [address for low, high in [(BASE, BASE + 4 * len(LOOP)), *slots] for address in range(low, high, 4)]
        with count_executions(session.target, places) as counts:  # type: ignore[arg-type]
            session.run(until=END)
        return sum(counts.values()) / COUNTED


def seconds(mechanism: Mechanism) -> float:
    """Processor time for each pass: the best of five runs after one that warms up the emulator."""
    best = float("inf")
    with start(mechanism.passes) as session:
        mechanism.plant(session)
        for turn in range(6):
            registers = session.regs
            registers.pc = BASE
            session.target.write_registers(registers)
            begin = time.process_time()
            session.target.run(session._engine.dispatcher.on_trap, until=END)
            if turn:
                best = min(best, time.process_time() - begin)
            session._engine.instruments.drain()
    return best / mechanism.passes


def main() -> int:
    plain_time, plain_count = seconds(MECHANISMS[0]), instructions(MECHANISMS[0])
    times = {mechanism.name: seconds(mechanism) - plain_time for mechanism in MECHANISMS[1:]}
    hook_time = times["Unicorn: UC_HOOK_CODE, empty Python callback"]
    print(f"a pass without a probe: {plain_count:.0f} instructions, {plain_time * 1e9:.1f} ns\n")
    print(f"{'mechanism':52} {'instructions':>12} {'at most':>8} {'ns a hit':>9} {'x empty Python hook':>20}")
    missed = 0
    for mechanism in MECHANISMS[1:]:
        added = instructions(mechanism) - plain_count if mechanism.in_target else None
        own = times[mechanism.name]
        ratio = f"{hook_time / own:.1f} faster" if own < hook_time else f"{own / hook_time:.1f} slower"
        exceeds = added is not None and mechanism.most is not None and added > mechanism.most
        missed += exceeds
        texts = "-" if added is None else f"{added:.1f}", "-" if mechanism.most is None else str(mechanism.most)
        verdict = "  EXCEEDED" if exceeds else ""
        print(f"{mechanism.name:52} {texts[0]:>12} {texts[1]:>8} {own * 1e9:>9.0f} {ratio:>20}{verdict}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
