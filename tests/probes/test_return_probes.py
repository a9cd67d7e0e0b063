"""Return probes with host handlers: what they see, how they end, and what they leave."""

import pytest
from tests.integration.observed_returns import observed_returns
from tests.probes.returning import (
    BASE,
    CATCH,
    END,
    FACT,
    FUNCTIONS,
    INNER,
    LOOP,
    OUTER,
    SWITCH,
    TAIL,
    THROWER,
    THROWS,
    WORDS,
)

from armprobe import HandlerError, Image, Refused, Session, TargetError, UsageError, emulate


def start(words=WORDS) -> Session:
    return emulate(Image.from_words(words, base=BASE))


def go_on(session: Session) -> list[int]:
    """Run the target of a closed session to END; its registers there."""
    session.target.run(lambda _: False, until=END)
    return session.target.read_registers().values


def frame(function: int, values: tuple[int, ...]) -> tuple[int, ...]:
    """Without LR for functions that come back with the LR of a call that did not: a pad, as for who reads his LR."""
    return values[:14] + values[15:] if function in (CATCH, SWITCH) else values


@pytest.fixture(scope="module")
def observed():
    with start() as session, observed_returns(session.target, BASE, BASE + 4 * len(WORDS), FUNCTIONS) as seen:
        session.run(until=END)
        final = session.regs.values
        session.run(limit=1)  # END is where the last call comes back to
        return seen, final


def test_handlers_see_every_return_as_the_emulator_does(observed):
    seen, final = observed
    frames = {function: [] for function in FUNCTIONS}
    order = []

    def handler(hit):
        frames[hit.address].append(frame(hit.address, (*hit.regs.values, hit.regs.cpsr)))
        order.append(hit.address)

    with start() as session:
        probes = {function: session.retprobe(function, handler) for function in FUNCTIONS}
        session.run(until=END)
        assert session.regs.values == final
        assert {function: probe.missed for function, probe in probes.items()} == dict.fromkeys(FUNCTIONS, 0)
        assert {function: probe.hits for function, probe in probes.items()} == {
            function: len(seen.frames[function]) for function in FUNCTIONS
        }
    assert frames == {function: [frame(function, values) for values in seen.frames[function]] for function in FUNCTIONS}
    assert order == seen.order


@pytest.mark.parametrize(
    ("function", "results"),
    [
        (FACT, [1, 2, 6, 24, 120]),
        (OUTER, [64]),
        (INNER, [4]),
        (TAIL, [64]),
        (LOOP, [10]),
        (THROWER, [passes for passes in range(40, 0, -1) if passes % 4]),
    ],
)
def test_a_handler_sees_the_results(function, results):
    seen = []
    with start() as session:
        session.retprobe(function, lambda hit: seen.append(hit.retval))
        session.run(until=END)
    assert seen == results


def test_a_return_probe_without_a_handler_is_a_decorator():
    with start() as session:

        @session.retprobe(LOOP)
        def probe(hit):
            seen.append(hit.retval)

        seen = []
        session.run(until=END)
        assert (probe.address, probe.hits, seen) == (LOOP, 1, [10])


def test_what_the_entry_handler_returns_belongs_to_the_call():
    seen = []
    with start() as session:
        session.retprobe(FACT, lambda hit: seen.append((hit.entry, hit.retval)), entry=lambda hit: hit.regs.r0)
        session.run(until=END)
    assert seen == [(1, 1), (2, 2), (3, 6), (4, 24), (5, 120)]


def test_a_handler_changes_the_result():
    def wrong(hit):
        hit.regs.r0 = 7

    with start() as session:
        session.retprobe(LOOP, wrong)
        session.run(until=END)
        assert session.regs.r6 == 7


def test_a_handler_that_returns_true_goes_on_where_it_says():
    def skip(hit):
        hit.regs.pc += 4
        return True

    with start() as session:
        session.retprobe(LOOP, skip)
        session.run(until=END)
        assert session.regs.r6 == 0


def test_a_handler_that_changes_pc_must_say_so():
    def skip(hit):
        hit.regs.pc += 4

    session = start()
    session.retprobe(LOOP, skip)
    message = rf"^the return handler of 0x{LOOP:08x} changed pc to 0x00008024 but did not return True$"
    with pytest.raises(UsageError, match=message):
        session.run(until=END)


def test_calls_beyond_maxactive_are_missed():
    results = []
    with start() as session:
        probe = session.retprobe(FACT, lambda hit: results.append(hit.retval), maxactive=2)
        session.run(until=END)
        assert (probe.hits, probe.missed, probe.active, session.regs.r4) == (2, 3, 0, 120)
    assert results == [24, 120]


def test_calls_left_by_longjmp_give_their_place_back():
    with start() as session:
        probe = session.retprobe(THROWER, lambda _: None, maxactive=2)
        session.run(until=END)
        assert (probe.hits, probe.missed) == (40 - THROWS, 0)


def test_several_probes_at_one_function_all_see_its_return_the_last_one_first():
    seen = []
    with start() as session:
        for name in "abc":
            session.retprobe(INNER, lambda hit, name=name: seen.append((name, hit.retval, hit.regs.pc, hit.regs.lr)))
        session.probe(INNER, lambda hit: seen.append(("entry", hit.regs.lr)))
        session.run(until=END)
        assert session.regs.r5 == 64
    back = OUTER + 8
    assert seen == [("entry", back), ("c", 4, back, back), ("b", 4, back, back), ("a", 4, back, back)]


def test_a_call_made_by_a_handler_is_missed_and_returns():
    with start() as session:
        probe = session.retprobe(INNER, lambda _: None)
        session.retprobe(LOOP, lambda hit: results.append(hit.call(INNER, 41)))
        results = []
        session.run(until=END)
        assert (results, probe.hits, probe.missed, session.regs.r6) == ([42], 1, 1, 10)


@pytest.mark.parametrize("where", [FACT + 4, OUTER + 4, OUTER + 8, INNER, TAIL, THROWER + 4, BASE + 0x38, 0x80F0])
def test_closing_while_calls_are_in_progress_puts_their_return_addresses_back(observed, where):
    session = start()
    for function in FUNCTIONS:
        session.retprobe(function, lambda _: None)
    session.run(until=where)
    session.close()
    assert session.target.read_registers().pc == where
    assert not any(region.name == "slots" for region in session.target.regions)
    assert go_on(session) == observed[1]


@pytest.mark.parametrize("limit", range(3, 60, 4))
def test_closing_after_any_number_of_instructions_leaves_the_program_whole(observed, limit):
    session = start()
    for function in FUNCTIONS:
        session.retprobe(function, lambda _: None)
    session.run(limit=limit)
    session.close()
    assert go_on(session) == observed[1]


@pytest.mark.parametrize("fails", ["entry", "handler"])
def test_a_handler_that_raises_ends_the_run_with_the_target_whole(observed, fails):
    def broken(hit):
        raise ValueError("no")

    session = start()
    session.retprobe(FACT, broken if fails == "handler" else lambda _: None, entry=broken if fails == "entry" else None)
    session.retprobe(OUTER, lambda _: None)
    with pytest.raises(HandlerError, match=rf"^the handler at 0x{FACT:08x} raised ValueError: no$"):
        session.run(until=END)
    assert session.target.read_registers().pc == (FACT if fails == "entry" else FACT + 0x18)
    assert go_on(session) == observed[1]


def test_a_probe_that_is_unregistered_during_a_call_lets_it_come_back():
    seen = []
    with start() as session:
        probe = session.retprobe(FACT, lambda hit: seen.append(hit.retval))
        session.run(until=FACT + 0xC)
        assert probe.active == 1
        probe.unregister()
        session.optimize_now()
        session.run(until=END)
        assert (session.regs.r4, probe.state, probe.hits, seen) == (120, "unregistered", 0, [])
        assert session.optimize_now() == 0
        assert session._engine.returns.retired == []


def test_a_disabled_probe_follows_no_calls_and_handles_no_returns():
    with start() as session:
        probe = session.retprobe(FACT, lambda _: None)
        session.run(until=FACT + 0x10)
        probe.disable()
        session.run(until=END)
        assert (probe.hits, probe.active, session.regs.r4) == (0, 0, 120)


def test_compiled_counts_at_the_entry_stay_exact():
    with start() as session:
        calls = session.count(FACT)
        probe = session.retprobe(FACT, lambda _: None)
        session.optimize_now()
        session.run(until=END)
        assert (calls.hits, probe.hits, session.regs.r4) == (5, 5, 120)


def test_where_memory_is_not_known_the_pads_of_calls_in_progress_stay(monkeypatch):
    session = start()
    session.retprobe(FACT, lambda _: None)
    session.run(until=FACT + 0x10)
    regions = session.target.regions
    monkeypatch.setattr(type(session.target), "regions", ())
    with pytest.raises(TargetError, match=r"^1 change could not be undone$") as caught:
        session.close()
    assert caught.value.evidence == (
        "1 call is in progress that a return probe follows, and it is not known where the stacks are"
    )
    monkeypatch.undo()
    assert session.target.regions == regions


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([0xE5DE0000], "the instruction at 0x00008000 accesses memory relative to lr"),  # ldrb r0, [lr]
        ([0xE1A00000, 0xE25EF004], "the instruction at 0x00008004 returns from an exception"),  # subs pc, lr, #4
        ([0xE08EF000], "the instruction at 0x00008000 computes with lr"),  # add pc, lr, r0
        ([0xE12FFF3E], "the instruction at 0x00008000 calls through lr"),  # blx lr
    ],
)
def test_a_function_that_looks_at_its_return_address_is_refused(words, reason):
    with start(words) as session, pytest.raises(Refused) as caught:
        session.retprobe(BASE, lambda _: None)
    assert str(caught.value) == f"no return probe at 0x{BASE:08x}: the function looks at its return address: {reason}"


def test_a_conditional_first_instruction_is_refused():
    with start([0x03A00001, 0xE12FFF1E]) as session, pytest.raises(Refused) as caught:  # moveq r0, #1; bx lr
        session.retprobe(BASE, lambda _: None)
    assert str(caught.value) == (
        f"no return probe at 0x{BASE:08x}: its first instruction is conditional, "
        "and a call that does not execute it would not be seen"
    )


def test_arguments_that_make_no_sense_are_refused():
    with start() as session:
        with pytest.raises(UsageError, match=r"^maxactive is 1 to 4096 calls, not 0$"):
            session.retprobe(FACT, lambda _: None, maxactive=0)
        with pytest.raises(UsageError, match=r"^entry must be a function that takes the hit, not 5$"):
            session.retprobe(FACT, lambda _: None, entry=5)
        with pytest.raises(UsageError, match=r"^handler must be a function that takes the hit, not 5$"):
            session.retprobe(FACT, 5)
