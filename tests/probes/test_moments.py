"""When a hit happens, and on which processor: what compiled and host handlers are told, and what records say."""

from __future__ import annotations

import pytest
from tests.probes.program import BASE, CONDITIONAL, DOUBLE, END, LOOP, PASSES, RETURN, start

from armprobe import Refused, UsageError

#: instructions before the first pass, in a pass that adds (odd r1), in one that does not, up to LOOP
BEFORE, PASS = 2, 11


def test_the_time_is_what_the_program_executed_before_the_instruction_at_the_site():
    with start() as session:
        times = []
        session.probe(LOOP, lambda hit: times.append(hit.time))
        session.run(until=END)
        assert session.clock.unit == "instructions"
    # Every instruction of a pass is fetched, also the conditional one that does nothing.
    assert times == [BEFORE + PASS * passed for passed in range(PASSES)]


@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("where", [LOOP, CONDITIONAL + 4, DOUBLE, DOUBLE + 4, RETURN])
def test_compiled_and_host_handlers_are_told_the_same(where, optimize):
    def handler(hit, r0):
        emit(time=hit.time, cpu=hit.cpu, later=hit.time + r0)  # noqa: F821  a word of the language

    def seen(**how: bool) -> list[tuple[int, dict[str, int]]]:
        with start() as session:
            session.optimization = optimize
            session.count(DOUBLE)
            session.probe(where, handler if how else session.on_host(handler), **how)
            session.optimize_now()
            session.run(until=END)
            return [(event.time, event.values) for event in session.events()]

    compiled = seen(compiled=True)
    assert compiled == seen()
    assert len(compiled) == PASSES
    assert all(time == values["time"] for time, values in compiled)
    assert [values["later"] - values["time"] for _, values in compiled][:3] != [0, 0, 0]


def test_a_post_handler_comes_after_the_instruction_and_a_return_handler_after_the_function():
    with start() as session:
        seen = []
        session.probe(DOUBLE, lambda hit: seen.append(hit.time), post_handler=lambda hit: seen.append(hit.time))
        session.retprobe(DOUBLE, lambda hit: seen.append((hit.time - hit.entry, hit.time)), entry=lambda hit: hit.time)
        session.run(until=END)
    first = BEFORE + 5  # add, tst, addne, push, bl
    assert seen[:3] == [first, first + 1, (3, first + 3)]
    assert len(seen) == 3 * PASSES


def test_records_without_time_are_as_they_were():
    with start() as session:
        session.timestamps = False
        session.define(f"p:e {LOOP:#x} %r0")
        session.run(until=LOOP + 4)
        event = next(session.events())
        assert (event.time, event.common, len(event.record)) == (None, {}, 8)
        assert str(event) == f"e: (0x{LOOP:08x}) arg1=0x0"


def test_without_a_clock_times_are_refused_with_the_reason(monkeypatch):
    def handler(hit):
        emit(time=hit.time)  # noqa: F821  a word of the language

    with start() as session:
        monkeypatch.setattr(type(session.target), "clock", None)
        monkeypatch.setattr(type(session.target), "no_clock", "it was taken away")
        assert session.clock is None
        with pytest.raises(UsageError) as caught:
            session.probe(LOOP, handler, compiled=True)
        assert str(caught.value) == "the target has no clock: it was taken away"
        *_, line, caret = caught.value.evidence.splitlines()
        assert caret.index("^") == line.index("hit.time")
        session.define(f"p:e {LOOP:#x} %r0")
        session.probe(BASE, lambda hit: hit.time)
        with pytest.raises(Refused, match=r"^Unicorn \(cortex-a15\) has no clock: it was taken away$"):
            session.run(until=END)


def test_a_condition_does_not_look_at_the_clock():
    with start() as session, pytest.raises(UsageError, match=r"^a condition does not know the time of the hit$"):
        session.probe(LOOP, lambda hit: None, when=lambda hit: hit.time > 5)
