"""Enable, park, unregister, the optimizer's switch, closing: and what stands in memory meanwhile."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.probes.program import (
    BASE,
    CONDITIONAL,
    DOUBLE,
    END,
    LOOP,
    PASSES,
    WORDS,
    contents,
    final_state,
    start,
    word_at,
)

from armprobe import Probe, Refused, Session, TargetError, UsageError
from armprobe.patching.slots import Pool


def test_disable_puts_the_original_back_and_enable_the_trap():
    with start() as session:
        probe = session.count(LOOP)
        probe.disable()
        assert (probe.state, word_at(session, LOOP)) == ("disabled", WORDS[2])
        probe.enable()
        assert (probe.state, word_at(session, LOOP)) == ("trap", session.target.trap)


def test_a_parked_probe_runs_no_handler_and_changes_nothing():
    with start() as session:
        unprobed = final_state(session)
    with start() as session:
        probe = session.count(LOOP)
        session.optimize_now()
        probe.park()
        assert probe.state == "parked"
        assert word_at(session, LOOP) >> 24 == 0xEA
        session.run(until=END - 4)
        assert probe.hits == 0
        probe.unpark()
        assert final_state(session) == unprobed
        assert probe.hits == PASSES - 1


def test_only_a_branch_can_be_parked():
    with start() as session:
        probe = session.count(LOOP)
        with pytest.raises(UsageError, match=rf"^only a branch can be parked, and 0x{LOOP:08x} is a trap$"):
            probe.park()
        with pytest.raises(UsageError, match=rf"^0x{LOOP:08x} is not parked$"):
            probe.unpark()


def test_a_probe_that_was_unregistered_is_gone_but_keeps_its_hits():
    with start() as session:
        probe = session.count(LOOP)
        session.optimize_now()
        session.run(until=END)
        probe.unregister()
        assert (probe.state, probe.hits, word_at(session, LOOP)) == ("unregistered", PASSES, WORDS[2])
        with pytest.raises(UsageError, match=rf"^the probe at 0x{LOOP:08x} is not registered any more$"):
            probe.enable()


def test_the_global_switch_makes_every_branch_a_trap_at_once_and_back():
    with start() as session:
        probes = session.count_all([LOOP, CONDITIONAL, DOUBLE])
        assert session.optimize_now() == 3
        session.optimization = False
        assert {probe.state for probe in probes} == {"trap"}
        assert session.optimize_now() == 0
        session.optimization = True
        assert session.optimize_now() == 3


def test_a_slot_is_freed_only_when_nothing_points_into_it():
    with start() as session:
        engine = session._engine
        probe = session.count(LOOP)
        slot = engine.sites[LOOP].slot
        session.optimize_now()
        regs = session.regs
        regs.lr = slot.address + 4
        session.target.write_registers(regs)
        probe.unregister()
        session.optimize_now()
        assert [site.slot for site in engine.leaving.retired] == [slot]
        regs.lr = 0
        regs.sp -= 8
        session.target.write_memory(regs.sp + 4, slot.address.to_bytes(4, "little"))
        session.target.write_registers(regs)
        session.optimize_now()
        assert [site.slot for site in engine.leaving.retired] == [slot]
        session.target.write_memory(regs.sp + 4, bytes(4))
        session.optimize_now()
        assert engine.leaving.retired == []
        assert engine.slots.statistics()[Pool.CODE].used == 0


def test_closing_leads_a_thread_out_of_a_slot_first():
    with start() as session:
        unprobed = final_state(session)
    session = start()
    before = contents(session)
    probe = session.count(LOOP)
    session.optimize_now()
    engine = session._engine
    # Past the program's second instruction, on the way through the detour.
    session.target.run(engine.dispatcher.on_trap, limit=5)
    slot = engine.sites[LOOP].slot
    assert slot.address <= session.target.read_registers().pc < slot.end
    session.close()
    assert session.target.read_registers().pc == LOOP + 4
    assert contents(session).keys() == before.keys()
    assert contents(session)[BASE] == before[BASE]
    assert probe.hits == 1
    session.target.run(lambda _: False, until=END)
    regs = session.target.read_registers()
    assert (regs.values, regs.cpsr) == unprobed


def test_a_run_that_is_limited_never_stops_in_a_slot():
    with start() as session:
        session.count(LOOP)
        session.optimize_now()
        for _ in range(40):
            session.run(limit=1)
            assert BASE <= session.regs.pc < BASE + 4 * len(WORDS)


def test_code_that_changed_under_a_probe_is_left_alone_and_reported():
    session = start()
    first, second = session.count_all([LOOP, DOUBLE])
    session.target.write_memory(DOUBLE, (0xE1A00000).to_bytes(4, "little"))
    with pytest.raises(Refused) as caught:
        second.disable()
    assert str(caught.value) == (
        f"0x{DOUBLE:08x} (disarm) should hold 0x{session.target.trap:08x} but holds 0xe1a00000; nothing was written"
    )
    with pytest.raises(TargetError) as lost:
        session.close()
    assert str(lost.value) == "1 change could not be undone"
    assert lost.value.evidence == f"0x{DOUBLE:08x}: {caught.value}"
    assert word_at(session, LOOP) == WORDS[2]
    assert word_at(session, DOUBLE) == 0xE1A00000
    assert first.state == "unregistered"


def test_registering_is_all_or_none():
    with start() as session:
        session.target.write_memory(BASE + 0x3C, b"\xff" * 4)
        before = contents(session)[BASE]
        with pytest.raises(Refused, match=rf"^no probe at 0x{BASE + 0x3C:08x}: 0xffffffff matches no A32 instruction$"):
            session.count_all([LOOP, DOUBLE, BASE + 0x3C])
        assert (contents(session)[BASE], session.probes) == (before, ())


class LifeCycle(RuleBasedStateMachine):
    """Any order of verbs, with the program running in between: counts stay exact and the program unharmed."""

    @initialize()
    def begin(self) -> None:
        self.session: Session = start()
        self.original = self.session.read_memory(BASE, 4 * len(WORDS))
        self.expected: dict[Probe, int] = {}
        self.passes = 0

    places = st.sampled_from([LOOP, LOOP + 4, BASE + 0x14, BASE + 0x18, DOUBLE, DOUBLE + 4, DOUBLE + 8])

    @rule(address=places)
    def count(self, address: int) -> None:
        self.expected[self.session.count(address)] = 0

    @rule(address=places)
    def record(self, address: int) -> None:
        self.expected[self.session.define(f"p:e{len(self.expected)} {address:#x} %r0 %r12 %sp")] = 0

    @rule(address=places)
    def handle(self, address: int) -> None:
        self.expected[self.session.probe(address, lambda _: None)] = 0

    @precondition(lambda self: self.expected)
    @rule(data=st.data(), verb=st.sampled_from(["enable", "disable", "park", "unpark", "unregister"]))
    def change(self, data: st.DataObject, verb: str) -> None:
        probe = data.draw(st.sampled_from(list(self.expected)), label="probe")
        allowed = {"park": "branch", "unpark": "parked"}.get(verb)
        if allowed is None or probe.state == allowed:
            getattr(probe, verb)()
        if verb == "unregister":
            assert probe.hits == self.expected.pop(probe)

    @rule(switch=st.booleans())
    def optimize(self, switch: bool) -> None:
        self.session.optimization = switch
        self.session.optimize_now()

    @rule()
    def run(self) -> None:
        regs = self.session.regs
        regs.pc = BASE
        self.session.target.write_registers(regs)
        active = [probe for probe in self.expected if probe.state in ("trap", "branch")]
        self.session.run(until=END)
        for probe in active:
            self.expected[probe] += PASSES
        assert self.session.regs.r0 == PASSES
        assert self.session.regs.r1 == 0

    @invariant()
    def counts_are_exact(self) -> None:
        assert {probe: probe.hits for probe in self.expected} == self.expected

    def teardown(self) -> None:
        self.session.close()
        assert self.session.target.read_memory(BASE, 4 * len(WORDS)) == self.original


TestLifeCycle = LifeCycle.TestCase
TestLifeCycle.settings = settings(max_examples=60, stateful_step_count=25)


def test_a_thread_that_stopped_at_a_trap_that_is_gone_executes_what_is_there_now():
    with start() as session:
        probe = session.count(LOOP)
        engine = session._engine
        slot = engine.sites[LOOP].slot
        probe.unregister()
        session.run(until=LOOP)
        assert engine.dispatcher.on_trap(LOOP)  # not freed yet: the copy is executed
        assert slot.address < session.regs.pc < slot.end
        session.run(until=LOOP)
        session.optimize_now()
        assert engine.leaving.retired == []
        assert engine.dispatcher.on_trap(LOOP)
        assert session.regs.pc == LOOP
        assert not engine.dispatcher.on_trap(DOUBLE)


def test_words_read_before_a_patch_are_not_taken_for_the_programs_later():
    with start() as session:
        probe = session.count(LOOP)
        session.optimize_now()
        probe.disable()
        probe.enable()
        session.optimize_now()
        assert session._engine.placement.read_word(LOOP) == WORDS[2]
        session.count(LOOP + 4)
        probe.unregister()
        assert session._engine.placement.read_word(LOOP) == WORDS[2]


def test_probes_and_hits_say_what_they_are():
    seen: list[str] = []
    with start() as session:
        probe = session.probe(LOOP, lambda hit: seen.append(repr(hit)))
        assert repr(probe) == f"<probe 0x{LOOP:08x} at 0x{LOOP:08x}>"
        session.define(f"p:passes {LOOP + 4:#x} a=%r0")
        session.run(until=END)
        event = next(session.events())
    assert seen[0] == f"<hit of 0x{LOOP:08x} at 0x{LOOP:08x}>"
    assert repr(event) == f"<event 0: {event}>"
