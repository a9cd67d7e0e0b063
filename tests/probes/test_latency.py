"""How long calls take: counted in the target, compared with what is known of code, and with host handlers."""

from __future__ import annotations

import re
from collections import Counter
from importlib.resources import as_file, files
from itertools import pairwise

import pytest
from tests.probes.program import BASE, DOUBLE, END, PASSES, start
from tests.probes.returning import END as RETURNING_END
from tests.probes.returning import FACT, WORDS

from armprobe import Image, Refused, Session, emulate
from armprobe.codegen.latency import BUCKET_COUNT
from armprobe.targets.unicorn import UnicornTarget


def returning() -> Session:
    return emulate(Image.from_words(WORDS, base=BASE))


@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("concurrent", [False, True])
@pytest.mark.parametrize("cpu", ["arm926", "arm1176", "cortex-a15"])
def test_a_function_takes_as_many_instructions_as_it_has(optimize, concurrent, cpu, monkeypatch):
    if concurrent and cpu == "arm926":
        pytest.skip("load-exclusive came with ARMv6")
    monkeypatch.setattr(UnicornTarget, "concurrent", concurrent)
    with start(cpu=cpu) as session:
        session.optimization = optimize
        found = session.latency(DOUBLE)
        session.optimize_now()
        session.run(until=END)
        assert (found.count, found.missed, found.unit) == (PASSES, 0, "instructions")
        assert (found.least, found.mean, found.greatest, found.total) == (3, 3, 3, 3 * PASSES)
        assert found.buckets() == [(2, 4, PASSES)]
        assert found.probe.hits == PASSES
    # The end of the session keeps them.
    assert (found.count, found.total) == (PASSES, 3 * PASSES)


def test_latencies_are_those_that_handlers_on_the_host_see_of_every_call():
    with as_file(files("armprobe") / "demo" / "demo.elf") as elf:
        seen: dict[str, list[int]] = {"malloc": [], "crc32": [], "parse_packet": []}
        with emulate(elf, arguments=["demo", "200"], output=lambda _: None) as session:
            for name, times in seen.items():
                session.retprobe(
                    name, lambda hit, times=times: times.append(hit.time - hit.entry), entry=lambda hit: hit.time
                )
            session.run()
        with emulate(elf, arguments=["demo", "200"], output=lambda _: None) as session:
            found = {name: session.latency(name) for name in seen}
            session.optimize_now()
            session.run()
    for name, times in seen.items():
        assert len(times) > 50
        assert (found[name].count, found[name].total) == (len(times), sum(times)), name
        assert (found[name].least, found[name].greatest) == (min(times), max(times)), name
        buckets = {int(low): calls for low, _, calls in found[name].buckets() if calls}
        assert buckets == Counter(1 << time.bit_length() - 1 for time in times), name


class SleepingTasks:
    """The one thread of the emulator, where there may be others that sleep."""

    complete = False

    def __init__(self, target: UnicornTarget) -> None:
        self._target = target

    def ids(self) -> list[int]:
        return [0]

    def read_registers(self, thread: int):
        return self._target.read_registers()

    def write_registers(self, thread: int, registers) -> None:
        self._target.write_registers(registers)

    def select(self, thread: int) -> None:
        pass


@pytest.mark.parametrize("concurrent", [False, True])
@pytest.mark.parametrize("optimize", [False, True])
def test_where_tasks_sleep_calls_are_met_again_at_the_ends_of_their_functions(monkeypatch, optimize, concurrent):
    """What is left out is the instruction that returns itself."""
    names = ("malloc", "crc32", "parse_packet", "handle_time")
    monkeypatch.setattr(UnicornTarget, "concurrent", concurrent)
    with as_file(files("armprobe") / "demo" / "demo.elf") as elf:
        with emulate(elf, arguments=["demo", "200"], output=lambda _: None) as session:
            expected = {name: session.latency(name) for name in names}
            session.run()
        monkeypatch.setattr(UnicornTarget, "threads", property(SleepingTasks))
        with emulate(elf, arguments=["demo", "200"], output=lambda _: None) as session:
            session.optimization = optimize
            found = {name: session.latency(name) for name in names}
            assert len(session.probes) > len(names)
            session.optimize_now()
            assert {probe.state for probe in session.probes} == {"branch" if optimize else "trap"}
            session.run()
            assert [latencies.missed for latencies in found.values()] == [0] * len(names)
            for latencies in found.values():
                latencies.probe.unregister()
            assert session.probes == ()
    for name in names:
        assert found[name].count == expected[name].count > 10
        without_returns = expected[name].total - expected[name].count
        # One function calls others in place of a return, and they are not in it.
        assert found[name].total == without_returns or name == "parse_packet", name
        assert found[name].total <= without_returns, name


def test_a_call_that_never_ends_is_followed_by_others_with_the_same_stack(monkeypatch):
    """The host leads each call out of the function, back to its caller: no instruction that returns is executed."""
    monkeypatch.setattr(UnicornTarget, "threads", property(SleepingTasks))
    demo = str(files("armprobe") / "demo" / "demo.elf")
    with emulate(demo, arguments=["demo", "50"], output=lambda _: None) as session:
        found, calls = session.latency("crc32"), session.count("crc32")
        left = []

        def leave(hit) -> bool:
            left.append(1)
            if len(left) % 2:
                return False
            hit.regs.pc, hit.regs.r0 = hit.regs.lr, 0
            return True

        session.probe("crc32", leave)
        session.run()
        assert len(left) == calls.hits > 10
        assert (found.count, found.missed) == (-(-len(left) // 2), 0)


def test_each_call_of_a_recursion_has_a_time_of_its_own():
    with returning() as session:
        times = []
        session.retprobe(FACT, lambda hit: times.append(hit.time - hit.entry), entry=lambda hit: hit.time)
        session.run(until=RETURNING_END)
    with returning() as session:
        found = session.latency(FACT)
        session.run(until=RETURNING_END)
        assert len(times) == found.count > 3
        assert (found.least, found.greatest, found.total) == (min(times), max(times), sum(times))


def test_calls_beyond_the_pads_are_missed_and_not_measured():
    with returning() as session:
        found = session.latency(FACT, maxactive=1)
        session.run(until=RETURNING_END)
        assert (found.count, found.missed) == (1, session.probes[0].missed)
        assert found.missed >= 2


def test_clearing_starts_again():
    with start() as session:
        found = session.latency(DOUBLE)
        session.run(until=END)
        found.clear()
        assert (found.count, found.least, found.mean, found.greatest, found.buckets()) == (0, 0, 0, 0, [])
        assert str(found) == f"0x{DOUBLE:08x}: 0 calls, instructions: least 0, mean 0.0, greatest 0"


def test_the_histogram_has_a_line_for_each_power_of_two_between_the_extremes():
    demo = str(files("armprobe") / "demo" / "demo.elf")
    with emulate(demo, arguments=["demo", "200"], output=lambda _: None) as session:
        found = session.latency("parse_packet")
        session.run()
        lines = str(found).splitlines()
    assert re.fullmatch(r"parse_packet: \d+ calls, instructions: least \d+, mean [\d.]+, greatest [\d,]+", lines[0])
    ends = [
        tuple(int(end.replace(",", "")) for end in re.findall(r"([\d,]+) \.\. ([\d,]+)", line)[0]) for line in lines[1:]
    ]
    assert all(after[0] == before[1] == 2 * before[0] for before, after in pairwise(ends) if before[0])
    assert 1 <= len(ends) <= BUCKET_COUNT


def test_without_a_clock_or_a_compiler_latency_is_refused(monkeypatch):
    with start() as session:
        monkeypatch.setattr("armprobe.codegen.requirements.find_spec", lambda name: None)
        with pytest.raises(
            Refused, match=r"^latency is measured by code in the target, which can't be made for Unicorn"
        ):
            session.latency(DOUBLE)
        monkeypatch.undo()
        monkeypatch.setattr(type(session.target), "clock", None)
        monkeypatch.setattr(type(session.target), "no_clock", "it was taken away")
        with pytest.raises(Refused, match=r"has no clock: it was taken away$"):
            session.latency(DOUBLE)
        assert session.probes == ()
