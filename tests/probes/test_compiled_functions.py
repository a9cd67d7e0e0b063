"""Handlers written in Python, compiled: through a session, behind traps and behind branches, and on the host."""

# ruff: noqa: F821 - handlers know helpers that Python does not

from __future__ import annotations

import random
import struct

import pytest
from tests.probes.program import BASE, CONDITIONAL, DOUBLE, END, LOOP, PASSES, WORDS, contents, final_state, start

from armprobe import Image, Refused, Session, UsageError, emulate

LIMIT = 90


def clamp(x, most):
    if x > most:
        return most
    return x


@pytest.mark.parametrize("optimize", [False, True], ids=["trap", "branch"])
def test_a_compiled_function_counts_records_and_changes_nothing(optimize: bool):
    with start() as session:
        unprobed = final_state(session)
    with start() as session:
        before = contents(session)
        session.optimization = optimize
        sizes = session.histogram("sizes")

        @session.probe(LOOP, compiled=True)
        def measure(r0, r1):
            sizes[log2(r0)] += 1
            if r1 > LIMIT:
                emit(left=r1, clamped=clamp(r0, 3), signed=-as_s32(r0))

        assert session.optimize_now() == optimize
        assert measure.state == ("branch" if optimize else "trap")
        assert final_state(session) == unprobed
        assert sizes.values() == {0: 2, 1: 2, 2: 4, 3: 8, 4: 16, 5: 32, 6: 36}
        assert (measure.hits, measure.faults, session.lost(measure)) == (PASSES, 0, 0)
        events = list(session.events())
        assert [event.values for event in events] == [
            {"left": PASSES - n, "clamped": min(n, 3), "signed": -n} for n in range(10)
        ]
        assert str(events[2]) == f"{events[2].time}: 0x00008008: (0x00008008) left=98 clamped=2 signed=-2"
        session.close()
        assert contents(session)[BASE] == before[BASE]
    assert sizes.total == PASSES


def test_the_hit_is_known_to_the_handler():
    with start() as session:
        session.count(DOUBLE)

        @session.probe(DOUBLE, compiled=True)
        def first(hit, lr, cpsr):
            emit(pc=hit.pc, probe=hit.probe, lr=lr, sp=hit.regs.sp, cpsr=cpsr)

        sp = session.regs.sp
        session.optimize_now()
        session.run(until=END)
        event = next(session.events())
    flags = event.values.pop("cpsr")
    assert event.values == {"pc": DOUBLE, "probe": 2, "lr": 0x801C, "sp": sp - 12, "cpsr": flags}
    assert flags & 0x1F == 0x13


def test_a_read_that_can_not_be_done_is_a_fault():
    with start() as session:

        @session.probe(LOOP, compiled=True)
        def read(r0):
            emit(good=u32(0x8038), bad=u8(r0))
            emit(good=u32(r0), bad=0)

        session.optimize_now()
        session.run(until=END)
        events = list(session.events())
        assert (read.hits, read.faults, len(events)) == (PASSES, 0, 2 * PASSES)
    assert [event.values for event in events[:2]] == [{"good": 0x12345678, "bad": None}, {"good": None, "bad": 0}]
    assert str(events[0]) == "2: 0x00008008: (0x00008008) good=305419896 bad=(fault)"


def test_faults_outside_of_records_end_the_handler_and_are_counted():
    with start() as session:
        after = session.counter("after")

        def read(r0, r1):
            if u8(0x8000 + r0 if r1 & 1 else r0) < 256:
                after.add()

        probe = session.probe(LOOP, read, compiled=True)
        host = session.probe(LOOP, session.on_host(read))
        session.run(until=END)
        assert (probe.hits, probe.faults) == (host.hits, host.faults) == (PASSES, PASSES // 2)
        assert after.total == PASSES


def test_a_condition_of_definitions_guards_a_compiled_function():
    with start() as session:
        calls = session.counter("calls")

        def count(r1):
            calls.add(r1)

        probe = session.probe(LOOP, count, compiled=True, when="%r1 < 4")
        session.optimize_now()
        session.run(until=END)
        assert (calls.total, probe.hits, probe.state) == (6, 3, "branch")


def test_strings_are_compared_and_recorded_on_both_sides_alike():
    words = (*WORDS, *struct.unpack("<3I", b"eth0\0lo\0rest"))
    place = BASE + 4 * len(WORDS)
    with start(words) as session:
        calls = session.counter("calls")

        def names(r1):
            if string(place).startswith("eth") and "o" not in string(place):
                calls.add()
            if r1 > 98:
                emit(first=string(place), second=string(place + r1 - 95), nowhere=string(r1 - r1))

        session.probe(LOOP, names, compiled=True)
        session.optimize_now()
        session.probe(LOOP, session.on_host(names))
        session.run(until=END)
        expected = [{"first": "eth0", "second": second, "nowhere": None} for second in ("lo", "")]
        assert calls.total == 2 * PASSES
        events = list(session.events())
        assert sorted((event.values for event in events), key=str) == sorted(expected * 2, key=str)
        assert str(events[0]).endswith('first="eth0" second="lo" nowhere=(fault)')


def test_many_places_share_one_handler_and_one_compilation():
    with start() as session:
        calls = session.table("calls", 8)

        def count(hit):
            calls[hit.pc] += 1

        seen = []
        probes = session.probe_all([LOOP, CONDITIONAL, DOUBLE], count, compiled=True, when="%r1 < 4")
        on_host = session.probe_all([LOOP, DOUBLE], lambda hit: seen.append(hit.address), when="%r1 < 4")
        assert session.optimize_now() == 3
        session.run(until=END)
        assert calls.values() == {probe.address: probe.hits for probe in probes if probe.hits}
        assert {address: seen.count(address) for address in seen} == {p.address: p.hits for p in on_host if p.hits}
        assert calls[LOOP] == 3


def test_handlers_at_many_places_are_planted_together_or_not_at_all():
    with start() as session:
        with pytest.raises(UsageError):
            session.probe_all([LOOP, "nowhere"], lambda _: None)
        with pytest.raises(UsageError, match=r"^handler must be a function that takes the hit, not None$"):
            session.probe_all([LOOP], None)
        assert session.probes == ()


def test_several_functions_and_other_handlers_share_a_site():
    with start() as session:
        evens, odds = session.counter("evens"), session.counter("odds")
        seen = []

        @session.probe(CONDITIONAL, compiled=True)
        def one(r1):
            evens.add(1 - (r1 & 1))

        @session.probe(CONDITIONAL, compiled=True)
        def two(r1):
            odds.add(r1 & 1)
            emit(r1=r1)

        count = session.count(CONDITIONAL)
        session.probe(CONDITIONAL, lambda hit: seen.append(hit.regs.r1))
        assert session.optimize_now() == 1
        session.run(until=END)
        assert (evens.total, odds.total, count.hits, len(seen)) == (0, 50, 50, 50)
        assert [event.values["r1"] for event in session.events()] == seen
        assert {probe.state for probe in (one, two, count)} == {"branch"}


def test_explain_names_the_function_and_shows_its_code():
    with start() as session:

        @session.probe(DOUBLE, compiled=True)
        def nothing():
            pass

        session.probe(DOUBLE, test_explain_names_the_function_and_shows_its_code)
        line = test_explain_names_the_function_and_shows_its_code.__code__.co_firstlineno + 4
        explanation = session.explain(DOUBLE)
        assert explanation.handlers == (
            f"compiled nothing() at {__file__}:{line}",
            "host test_explain_names_the_function_and_shows_its_code()",
        )
        assert any(row.comment == "handler" for row in explanation.code.code.lines)


def test_one_compilation_serves_all_sites():
    from armprobe.codegen.handlers import compile_actions

    with start() as session:
        sizes = session.table("sites", 16)

        def count(pc):
            sizes[pc] += 1

        before = compile_actions.cache_info()
        probes = [session.probe(place, count, compiled=True) for place in (LOOP, CONDITIONAL, DOUBLE)]
        assert compile_actions.cache_info().misses - before.misses <= 1
        session.optimize_now()
        session.run(until=END)
        assert sizes.values() == {LOOP: 100, CONDITIONAL: 50, DOUBLE: 100}
        assert [probe.hits for probe in probes] == [100, 50, 100]


def test_a_map_belongs_to_its_session():
    with start() as other:
        calls = other.counter("calls")
    with start() as session, pytest.raises(UsageError) as caught:

        @session.probe(LOOP, compiled=True)
        def count():
            calls.add()

    assert (str(caught.value), caught.value.hint) == (
        "the map 'calls' belongs to another session",
        "make maps with this session",
    )


def test_a_handler_that_is_refused_leaves_no_probe():
    with start() as session:
        before = contents(session)
        with pytest.raises(UsageError) as caught:

            @session.probe(LOOP, compiled=True)
            def wrong(r0):
                emit(half=r0 / 2)

        assert session.probes == ()
        assert contents(session) == before
    place, line, mark = caught.value.evidence.splitlines()
    assert place.startswith(f"{__file__}:")
    assert line[mark.index("^") :] == "r0 / 2)"


def test_reads_are_refused_where_no_memory_is_known():
    with start() as session:
        session._engine.instruments.memory._lasting = ()
        with pytest.raises(Refused) as caught:

            @session.probe(LOOP, compiled=True)
            def read(r0):
                emit(v=u8(r0))

    assert str(caught.value) == (
        "no probe at 0x00008008: handlers read only memory that is known, and here is none: Unicorn (cortex-a15) "
        "does not say what it has"
    )


def test_without_a_handler_there_is_nothing_to_compile():
    with start() as session, pytest.raises(UsageError) as caught:
        session.probe(LOOP, post_handler=print, compiled=True)
    assert str(caught.value) == "there is no handler to compile"


# --- both sides on the same hits

CODE, DATA = 0x8000, 0x8800
ROUNDS = 25_600
#: Shakes r0 (xorshift) and makes of it r1 to r4; r4 points to memory, or 4 KiB below it. Four sites in each round.
SHAKER = (
    0xE59F0044,  # 8000 ldr r0, [pc, #68]
    0xE3A0CC64,  # 8004 mov r12, #25600
    0xE0200680,  # 8008 eor r0, r0, r0, lsl #13      FIRST
    0xE02008A0,  # 800c eor r0, r0, r0, lsr #17
    0xE0200280,  # 8010 eor r0, r0, r0, lsl #5
    0xE0811800,  # 8014 add r1, r1, r0, lsl #16      SECOND
    0xE02120E0,  # 8018 eor r2, r1, r0, ror #1
    0xE20230FF,  # 801c and r3, r2, #255
    0xE7EB4050,  # 8020 ubfx r4, r0, #0, #12
    0xE2844A07,  # 8024 add r4, r4, #0x7000
    0xE3110801,  # 8028 tst r1, #0x10000             FOURTH
    0x12844B06,  # 802c addne r4, r4, #0x1800
    0xE25CC001,  # 8030 subs r12, r12, #1            THIRD
    0x1AFFFFF3,  # 8034 bne FIRST
    0xE1A00000,  # 8038 nop
    0xE1A00000,  # 803c nop
    0xE1A00000,  # 8040 nop
    0xE1A00000,  # 8044 nop
    0xE1A00000,  # 8048 nop
    0x2545F491,  # 804c
)
FIRST, SECOND, THIRD, FOURTH, DONE = 0x8008, 0x8014, 0x8030, 0x8028, 0x8038


def shaker() -> Session:
    generator = random.Random(5)
    words = [*SHAKER, *[0] * ((DATA - CODE) // 4 - len(SHAKER)), *(generator.getrandbits(32) for _ in range(512))]
    return emulate(Image.from_words(words, base=CODE))


def outcome(*, compiled: bool):
    """Run four handlers on every round; return all that they left."""
    with shaker() as session:
        sizes, bytes_ = session.histogram("sizes"), session.histogram("bytes", log2=False, buckets=200)
        total, places = session.counter("total"), session.table("places", 100)

        def measure(r0, r1):
            sizes[log2(r0)] += 1
            total.add(as_u64(r0) * (r1 & 0xFFFF))
            if r0 % 1000 == 7 or 10 < r1 >> 8 < 100000:
                emit(number=r0 // 1000, mixed=as_s64(as_s32(r0)) * 5 - 3, flag=r0 < r1)

        def scan(hit, r2, r3):
            best = 0
            for i in range(4):
                byte = r2 >> 8 * i & 0xFF
                if byte == r3:
                    continue
                best = max(best, byte)
                if best > 250:
                    break
            bytes_[best] += clamp(r3, 200)
            places[hit.pc + (r2 & 127)] += 1

        def follow(r1, r4, cpsr):
            if r1 & 0xFF == 0:
                emit(byte=u8(r4), half=s16(r4 + 1), word=u32(r4 + 3), double=u64(r4 - 2), flags=cpsr >> 28)
            places[u16(r4) & 1023] += u8(r4 + 1)

        def jump(r0, r3, r12):
            x = as_s32(r0)
            if (x < 0 and not (r3 & 3)) or r12 == 77:
                return
            y = -x // 3 if x % 7 < 3 else ~x >> (r3 & 63)
            sizes[40 + (as_u32(y) & 31)] += 1

        probes = [
            session.probe(place, function, compiled=True)
            if compiled
            else session.probe(place, session.on_host(function))
            for place, function in ((FIRST, measure), (SECOND, scan), (THIRD, follow), (FOURTH, jump))
        ]
        assert session.optimize_now() == (4 if compiled else 0)
        session.run(until=DONE)
        maps = [(known.values(), known.overflow) for known in (sizes, bytes_, total, places)]
        records = [(event.probe.address, event.values) for event in session.events()]
        return maps, records, [(probe.hits, probe.faults) for probe in probes]


@pytest.mark.slow
def test_both_sides_do_the_same_on_a_hundred_thousand_hits():
    on_target, on_host = outcome(compiled=True), outcome(compiled=False)
    hits = [count for count, _ in on_target[2]]
    assert hits == [ROUNDS] * 4
    assert sum(hits) >= 100_000
    assert on_target == on_host
    maps, records, counts = on_target
    assert maps[1][1], "bytes never overflowed"
    assert maps[3][1], "places never overflowed"
    assert len(records) > 200
    assert counts[2][1] > ROUNDS // 4, "reads hardly ever faulted"
    assert any(None in values.values() for _, values in records)
    assert any(None not in values.values() for place, values in records if place == THIRD)
