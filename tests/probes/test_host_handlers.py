import traceback

import pytest
from tests.probes.program import (
    BASE,
    CONDITIONAL,
    DOUBLE,
    END,
    INSTRUCTIONS,
    LITERAL_LOAD,
    LOOP,
    PASSES,
    RETURN,
    WORDS,
    contents,
    final_state,
    start,
    word_at,
)

from armprobe import HandlerError, Hit, Refused, Session, StopReason, UsageError


@pytest.fixture(scope="module")
def unprobed():
    with start() as session:
        return final_state(session)


def test_a_handler_sees_the_state_before_the_instruction(unprobed):
    seen = []
    with start() as session:
        probe = session.probe(LOOP, lambda hit: seen.append((hit.regs.r0, hit.regs.r1, hit.regs.pc, hit.address)))
        assert final_state(session) == unprobed
        assert (probe.hits, probe.missed, probe.state) == (PASSES, 0, "trap")
    assert seen == [(n, PASSES - n, LOOP, LOOP) for n in range(PASSES)]


def test_a_post_handler_sees_the_state_after_the_instruction(unprobed):
    seen = []
    with start() as session:
        session.probe(LOOP, post_handler=lambda hit: seen.append((hit.regs.r0, hit.regs.pc)))
        assert final_state(session) == unprobed
    assert seen == [(n + 1, LOOP + 4) for n in range(PASSES)]


def test_a_pre_and_a_post_handler_of_one_probe_are_one_hit():
    with start() as session:
        order = []
        probe = session.probe(LOOP, lambda _: order.append("pre"), post_handler=lambda _: order.append("post"))
        session.run(until=LOOP + 4)
        assert (order, probe.hits) == (["pre", "post"], 1)


def test_a_post_handler_on_an_instruction_that_writes_pc_is_refused():
    with start() as session:
        before = contents(session)
        with pytest.raises(Refused) as caught:
            session.probe(RETURN, post_handler=lambda _: None)
        assert str(caught.value) == (
            f"a post handler at 0x{RETURN:08x} would never run: the instruction there writes PC"
        )
        assert contents(session).items() >= before.items()


def test_a_false_condition_is_neither_hit_nor_missed(unprobed):
    with start() as session:
        probe = session.probe(CONDITIONAL, lambda _: None)
        assert final_state(session) == unprobed
        assert (probe.hits, probe.missed, probe.false_conditions) == (PASSES // 2, 0, PASSES // 2)


def test_registers_and_memory_that_a_handler_sets_are_the_programs():
    with start() as session:

        def handler(hit: Hit) -> None:
            hit.regs.r2 = 0xDEADBEEF
            hit.regs.cpsr |= 1 << 28
            hit.write(hit.regs.sp - 64, b"text\0")
            assert hit.string(hit.regs.sp - 64) == "text"
            assert hit.u32(hit.regs.sp - 64) == int.from_bytes(b"text", "little")

        session.probe(LOOP, handler)
        session.run(until=LOOP + 4)
        assert session.regs.r2 == 0xDEADBEEF
        assert session.regs.cpsr >> 28 & 1


def test_a_handler_that_returns_true_has_diverted_control():
    with start() as session:

        def skip(hit: Hit) -> bool:
            hit.regs.r0 = 7
            hit.regs.pc = hit.regs.lr
            return True

        probe = session.probe(DOUBLE, skip)
        session.run(until=BASE + 0x1C)
        assert (session.regs.r0, session.regs.r2, probe.hits) == (7, 0, 1)


def test_a_handler_that_changes_pc_without_returning_true_is_told_so():
    with start() as session:
        session.probe(DOUBLE, lambda hit: setattr(hit.regs, "pc", hit.regs.lr))
        with pytest.raises(UsageError) as caught:
            session.run(until=END)
    assert str(caught.value) == f"a handler at 0x{DOUBLE:08x} changed pc to 0x0000801c but did not return True"
    assert caught.value.hint == "return True to divert control, or leave pc alone"


def test_an_exception_in_a_handler_ends_the_run_and_restores_the_target():
    session = start()
    before = contents(session)

    def handler(hit: Hit) -> None:
        if hit.regs.r0 == 3:
            raise ValueError("three")

    session.probe(LOOP, handler)
    session.count(DOUBLE)
    with pytest.raises(HandlerError) as caught:
        session.run(until=END)
    assert str(caught.value) == f"the handler at 0x{LOOP:08x} raised ValueError: three"
    assert caught.value.evidence.endswith('raise ValueError("three")')
    assert __file__ in caught.value.evidence
    assert isinstance(caught.value.__cause__, ValueError)
    assert [frame.name for frame in traceback.extract_tb(caught.value.__cause__.__traceback__)][-1] == "handler"
    after = contents(session)
    assert after.keys() == before.keys()
    assert after[BASE] == before[BASE]
    with pytest.raises(UsageError, match=r"^the session is closed: its target is restored$"):
        session.run()


def test_several_probes_at_one_address_run_in_the_order_of_registration(unprobed):
    order = []
    with start() as session:
        first = session.probe(LOOP, lambda _: order.append(1))
        second = session.probe(LOOP, lambda _: order.append(2))
        counter = session.count(LOOP)
        assert final_state(session) == unprobed
        assert (first.hits, second.hits, counter.hits) == (PASSES, PASSES, PASSES)
        first.unregister()
        second.disable()
        assert (first.state, second.state, counter.state) == ("unregistered", "disabled", "branch")
    assert order == [1, 2] * PASSES


def test_the_first_handler_that_diverts_stops_the_rest():
    with start() as session:

        def divert(hit: Hit) -> bool:
            hit.regs.pc = END
            return True

        session.probe(LOOP, divert)
        second = session.probe(LOOP, lambda _: None)
        session.run(until=END)
        assert (second.hits, session.regs.r0) == (0, 0)


def test_a_hit_within_a_handler_is_missed_and_counted():
    with start() as session:
        inner = session.probe(LITERAL_LOAD, lambda _: None)
        results = []
        session.probe(LOOP, lambda hit: results.append(hit.call(DOUBLE, hit.regs.r0)))
        session.run(until=END)
        assert results == [2 * n for n in range(PASSES)]
        assert (inner.hits, inner.missed) == (PASSES, PASSES)


@pytest.mark.parametrize("address", INSTRUCTIONS)
def test_every_instruction_can_be_probed_and_changes_nothing(address: int, unprobed):
    with start() as session:
        hits = []
        session.probe(address, lambda hit: hits.append(hit.regs.pc))
        if address != END:
            assert final_state(session) == unprobed
            assert set(hits) == {address}


def test_the_memory_a_user_sees_is_the_programs(unprobed):
    del unprobed
    with start() as session:
        plain = session.read_memory(BASE, 64)
        session.probe(LOOP, lambda _: None)
        assert word_at(session, LOOP) == session.target.trap
        assert session.read_memory(BASE, 64) == plain
        assert session.read_memory(LOOP + 1, 2) == plain[9:11]
        with pytest.raises(Refused) as caught:
            session.write_memory(LOOP + 2, b"x")
    assert str(caught.value) == f"0x{LOOP + 2:08x} to 0x{LOOP + 2:08x} holds a probe at 0x{LOOP:08x}"


@pytest.mark.parametrize("handler", [3, "name"])
def test_a_handler_that_is_no_function_is_told_so(handler):
    with start() as session, pytest.raises(UsageError) as caught:
        session.probe(LOOP, handler)
    assert str(caught.value) == f"handler must be a function that takes the hit, not {handler!r}"


def test_the_decorator_returns_the_probe():
    session: Session
    with start() as session:

        @session.probe(LOOP)
        def loop(hit: Hit) -> None:
            del hit

        session.run(until=END)
        assert loop.hits == PASSES


def test_a_handler_may_remove_its_own_probe_and_free_its_slot(unprobed):
    with start() as session:

        def once(hit: Hit) -> None:
            hit.probe.unregister()
            session.optimize_now()
            session.count(DOUBLE + 4)  # takes the memory if it was given back
            session.optimize_now()

        probe = session.probe(LOOP, once)
        assert final_state(session) == unprobed
        assert (probe.hits, probe.state) == (1, "unregistered")


def test_a_handler_may_add_a_probe_at_its_own_place(unprobed):
    with start() as session:
        added = []

        def add(hit: Hit) -> None:
            if not added:
                added.append(session.count(hit.address))

        session.probe(LOOP, add)
        assert final_state(session) == unprobed
        assert added[0].hits == PASSES - 1


def test_a_handler_can_not_close_its_session():
    with start() as session:
        session.probe(LOOP, lambda _: session.close())
        with pytest.raises(UsageError, match=r"^a handler can't close its session$"):
            session.run(until=END)


def test_a_handler_can_stop_the_run_and_the_next_one_goes_on(unprobed):
    with start() as session:
        probe = session.probe(LOOP, lambda hit: session.stop() if hit.regs.r0 == 7 else None)
        assert session.run(until=END).reason is StopReason.INTERRUPT
        assert (session.regs.r0, BASE <= session.regs.pc < END) == (8, True)
        assert final_state(session) == unprobed
        assert probe.hits == PASSES


def test_a_post_handler_alone_runs_where_hits_are_counted_as_well():
    with start() as session:
        counter = session.count(LOOP)
        session.optimize_now()
        seen: list[int] = []
        probe = session.probe(LOOP, post_handler=lambda hit: seen.append(hit.regs.pc))
        session.optimize_now()
        session.run(until=END)
        assert seen == [LOOP + 4] * PASSES
        assert (counter.hits, probe.hits) == (PASSES, PASSES)


def test_traps_of_a_processor_without_bkpt_are_undefined_instructions():
    words = [0xE1A0F00E if word == 0xE12FFF1E else word for word in WORDS]  # mov pc, lr for bx lr, which is as young
    with start(words, cpu="sa1110") as session:
        expected = final_state(session)
    seen = []
    with start(words, cpu="sa1110") as session:
        probes = [session.probe(place, lambda hit: seen.append(hit.address)) for place in (LOOP, CONDITIONAL, DOUBLE)]
        after = session.probe(LITERAL_LOAD, post_handler=lambda hit: seen.append(hit.regs.r2))
        assert word_at(session, LOOP) == 0xE7F5BEF0  # udf #0x5be0
        assert final_state(session) == expected
        assert [probe.hits for probe in (*probes, after)] == [PASSES, PASSES // 2, PASSES, PASSES]
        assert seen.count(0x12345678) == PASSES
        session.close()
        assert [word_at(session, BASE + 4 * at) for at in range(len(words))] == words
    with start([0xE7F5BEF0], cpu="sa1110") as session:
        assert session.run().reason is StopReason.TRAP
    with start([0xE7F000F0], cpu="sa1110") as session:
        assert session.run().access == "undefined"
