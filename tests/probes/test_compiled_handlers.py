"""Counters, records and compiled conditions: in detours, behind traps and behind branches alike."""

import pytest
from tests.probes.program import (
    BASE,
    CONDITIONAL,
    DOUBLE,
    END,
    INSTRUCTIONS,
    LOOP,
    PASSES,
    RETURN,
    WORDS,
    contents,
    final_state,
    start,
    word_at,
)

from armprobe import Hit, Session, StopReason
from armprobe.codegen.helpers import u32

#: a word that holds 0x12345678
LITERAL = BASE + 0x38
EXECUTIONS = {
    address: 1 if address < LOOP or address == END else PASSES // 2 if address == CONDITIONAL else PASSES
    for address in INSTRUCTIONS
}
EXECUTIONS[BASE + 0x24] = PASSES - 1  # the branch back is not taken at last


@pytest.fixture(scope="module")
def unprobed():
    with start() as session:
        return final_state(session)


@pytest.mark.parametrize("optimize", [False, True], ids=["trap", "branch"])
def test_counts_at_every_instruction_are_exact_and_change_nothing(optimize: bool, unprobed):
    with start() as session:
        before = contents(session)
        session.optimization = optimize
        probes = session.count_all(address for address in INSTRUCTIONS if address != END)
        assert session.optimize_now() == (len(probes) if optimize else 0)
        assert {probe.state for probe in probes} == {"branch" if optimize else "trap"}
        assert final_state(session) == unprobed
        assert {probe.address: probe.hits for probe in probes} == {p.address: EXECUTIONS[p.address] for p in probes}
        session.close()
        assert contents(session)[BASE] == before[BASE]
        assert {probe.address: probe.hits for probe in probes} == {p.address: EXECUTIONS[p.address] for p in probes}


@pytest.mark.parametrize("cpu", ["sa1110", "arm926", "arm1136", "cortex-a8", "cortex-a15"])
def test_counting_works_on_every_architecture(cpu: str):
    words = [word if word != 0xE12FFF1E else 0xE1A0F00E for word in WORDS]  # mov pc, lr: no BX in architecture 4
    with start(words, cpu=cpu) as session:
        probes = session.count_all(address for address in INSTRUCTIONS if address != END)
        session.optimize_now()
        session.run(until=END)
        assert {probe.address: probe.hits for probe in probes} == {p.address: EXECUTIONS[p.address] for p in probes}


def test_a_counter_adds_nine_instructions_where_flags_are_dead():
    with start() as session:
        assert session.explain(DOUBLE).code.added == 9


def test_a_probe_starts_as_a_trap_and_becomes_a_branch_after_five_stops():
    with start() as session:
        probe = session.count(LOOP)
        states = []
        session.probe(DOUBLE, lambda _: states.append(probe.state))
        assert word_at(session, LOOP) == session.target.trap
        session.run(until=END)
        assert states == ["trap"] * 2 + ["branch"] * (PASSES - 2)
        assert probe.hits == PASSES
        assert word_at(session, LOOP) >> 24 == 0xEA


def test_the_branch_carries_the_condition_of_the_displaced_instruction():
    with start() as session:
        probe = session.count(CONDITIONAL)
        session.optimize_now()
        assert word_at(session, CONDITIONAL) >> 24 == 0x1A
        session.run(until=END)
        assert probe.hits == PASSES // 2


def test_records_hold_the_registers_of_every_hit_in_order():
    with start() as session:
        probe = session.define(f"p:loop {LOOP:#x} %r0 left=%r1:u8 flags=%cpsr sp=%sp lr=%lr pc=%pc r7=%r7 r8=%r8")
        states = []
        session.probe(LOOP, lambda hit: states.append(hit.regs.copy()))
        session.optimize_now()
        session.run(until=END)
        events = list(session.events())
        assert (probe.hits, session.lost(probe)) == (PASSES, 0)
    assert [event.number for event in events] == list(range(PASSES))
    assert [event.values for event in events] == [
        {
            "arg1": regs.r0, "left": regs.r1, "flags": regs.cpsr, "sp": regs.sp, "lr": regs.lr, "pc": LOOP,
            "r7": regs.r7, "r8": regs.r8,
        }
        for regs in states
    ]  # fmt: skip
    assert str(events[3]).startswith(f"{events[3].time}: loop: (0x{LOOP:08x}) arg1=0x3 left=97 flags=")


FRAME = [*(f"r{n}" for n in range(13)), "sp", "lr", "pc", "cpsr"]


@pytest.mark.parametrize("address", [address for address in INSTRUCTIONS if address != END])
def test_the_frame_in_a_detour_equals_the_frame_of_a_trap_field_by_field(address: int):
    """One run with a trap, one with a branch whose handler asks for the host, one with a record in the detour."""

    def frames(session: Session, **how: str) -> list[Hit]:
        seen = []
        session.probe(
            address, lambda hit: seen.append([hit.regs.orig_r0, *(getattr(hit.regs, n) for n in FRAME)]), **how
        )
        if how:
            session.define(f"p {address:#x} " + " ".join(f"{name}=%{name}" for name in FRAME))
            assert session.optimize_now() == 1
        session.run(until=END)
        return seen

    with start() as session:
        trap = frames(session)
    with start() as session:
        branch = frames(session, when="%sp != 1")
        records = [[0xFFFFFFFF, *event.values.values()] for event in session.events()]
    assert len(trap) == EXECUTIONS[address]
    assert branch == trap
    assert records == trap


def test_registers_that_are_dead_for_the_program_are_saved_for_another_probe():
    """r2 is dead at `double`: its detour may use it, until a probe downstream shows r2."""
    with start() as session:
        session.count(DOUBLE)
        session.optimize_now()
        session.probe(DOUBLE + 4, lambda hit: seen.append(hit.regs.r2))
        session.optimize_now()
        seen: list[int] = []
        session.run(until=END)
    assert seen == [0] + [0x12345678] * (PASSES - 1)


def test_a_compiled_condition_stops_the_target_only_for_hits_that_pass():
    with start() as session:
        stops = []
        probe = session.probe(LOOP, lambda hit: stops.append(hit.regs.r1), when="%r1 < 5 || %r0 == 10")
        record = session.define(f"p {LOOP:#x} %r1 if %r1 > 97")
        assert session.optimize_now() == 1
        session.run(until=END)
        assert stops == [90, 4, 3, 2, 1]
        assert (probe.hits, record.hits, probe.state) == (5, 3, "branch")
        assert [event.values for event in session.events()] == [{"arg1": n} for n in (100, 99, 98)]


def test_a_condition_in_python_guards_host_and_compiled_handlers():
    with start() as session:
        stops, calls, last = [], session.counter("calls"), 3

        def odd(r1):
            return r1 & 1 == 1

        def count(r1):
            calls.add(r1)

        probe = session.probe(LOOP, lambda hit: stops.append(hit.regs.r1), when=lambda r1: r1 <= last)
        session.probe(CONDITIONAL, count, compiled=True, when=odd)
        assert session.optimize_now() == 2
        session.run(until=END)
        assert (stops, probe.hits, probe.state) == ([3, 2, 1], 3, "branch")
        assert calls.total == sum(range(1, 101, 2))


def test_each_of_several_handlers_at_a_place_runs_where_its_own_condition_holds():
    with start() as session:
        seen = {"low": [], "tenth": [], "word": [], "none": []}
        session.probe(LOOP, lambda hit: seen["low"].append(hit.regs.r1), when="%r1 < 3")
        session.probe(LOOP, lambda hit: seen["tenth"].append(hit.regs.r1), when=lambda r1: r1 % 50 == 0)
        session.probe(
            LOOP, lambda hit: seen["word"].append(hit.regs.r1), when=lambda r1: u32(LITERAL) == r1 + 0x12345677
        )
        session.probe(LOOP, lambda hit: seen["none"].append(hit.regs.r1), when=lambda: u32(0) == 5)
        some = session.count(LOOP)
        session.optimize_now()
        session.run(until=END)
        assert seen == {"low": [2, 1], "tenth": [100, 50], "word": [1], "none": []}
        assert (some.hits, some.state) == (PASSES, "branch")


def test_nothing_is_lost_when_the_ring_fills():
    with start() as session:
        arguments = " ".join(f"a{n}=%r{n % 8}" for n in range(100))
        probe = session.define(f"p:big {LOOP:#x} {arguments}")
        session.optimize_now()
        drained: list[int] = []
        session.on_event(lambda event: drained.append(event.values["a0"]))
        for _ in range(20):
            regs = session.regs
            regs.pc = BASE
            session.target.write_registers(regs)
            session.run(until=END)
        assert drained == list(range(PASSES)) * 20
        assert (probe.hits, session.lost(probe)) == (20 * PASSES, 0)


def test_a_host_handler_alone_stays_a_trap_and_says_why():
    with start() as session:
        probe = session.probe(LOOP, lambda _: None)
        assert session.optimize_now() == 0
        assert (probe.state, probe.reason) == ("trap", "its handlers run on the host, which stops the target anyway")


def test_false_conditions_are_counted_on_request():
    with start() as session:
        probe = session.count(CONDITIONAL, false_conditions=True)
        session.optimize_now()
        session.run(until=END)
        assert (probe.hits, probe.false_conditions, probe.state) == (PASSES // 2, PASSES // 2, "trap")
        assert probe.reason == "it counts false conditions, which a conditional branch never sees"


def test_a_return_from_a_probed_function_goes_to_the_program():
    with start() as session:
        lr = []
        session.count(BASE + 0x18)
        session.optimize_now()
        session.probe(RETURN, lambda hit: lr.append(hit.regs.lr))
        session.run(until=END)
        assert set(lr) == {BASE + 0x1C}


def test_a_detour_that_finds_no_stack_says_so():
    words = (0xE59FD000, 0xEAFFFFFE, 0x00009000)  # ldr sp, [pc]; b .; the stack
    with start(words) as session:
        registers = session.regs
        registers.sp = 0
        session.target.write_registers(registers)
        session.count(BASE)
        session.optimize_now()
        stop = session.run()
    assert (stop.reason, stop.pc) == (StopReason.FAULT, BASE)
    assert stop.message == (
        f"the probe at 0x{BASE:08x} saves registers on the stack, and there is no stack: sp is 0x00000000; "
        "probe where the program has set it up"
    )


def test_flags_are_kept_where_the_handlers_of_a_site_need_every_register():
    with start() as session:
        expected = final_state(session)
    for address in (CONDITIONAL, CONDITIONAL + 4):
        with start() as session:
            for number in range(6):
                session.define(f"p:e{number} {address:#x} %r0 %r12 %sp %cpsr")
            session.optimize_now()
            assert final_state(session) == expected
            rows = [event.values for event in session.events()]
            assert len(rows) == 6 * (PASSES // 2 if address == CONDITIONAL else PASSES)
            assert all(row["arg3"] == session.regs.sp for row in rows)
            # Of one hit, all six say the same.
            assert all(rows[n] == rows[n - n % 6] for n in range(len(rows)))
