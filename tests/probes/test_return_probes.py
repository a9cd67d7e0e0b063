"""Return probes with host handlers: what they see, how they end, and what they leave."""

from dataclasses import replace

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
from armprobe.symbols.image import Symbol
from armprobe.targets.base import Region
from armprobe.targets.unicorn import UnicornTarget

ENTRIES, NAMES = (None, lambda _: None), ("compiled entry", "entry on the host")


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


@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_handlers_see_every_return_as_the_emulator_does(observed, entry):
    seen, final = observed
    frames = {function: [] for function in FUNCTIONS}
    order = []

    def handler(hit):
        frames[hit.address].append(frame(hit.address, (*hit.regs.values, hit.regs.cpsr)))
        order.append(hit.address)

    with start() as session:
        probes = {function: session.retprobe(function, handler, entry=entry) for function in FUNCTIONS}
        session.optimize_now()
        assert {probe.state for probe in probes.values()} == {"trap" if entry else "branch"}
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


@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_calls_beyond_maxactive_are_missed(entry):
    results = []
    with start() as session:
        probe = session.retprobe(FACT, lambda hit: results.append(hit.retval), entry=entry, maxactive=2)
        session.run(until=END)
        assert (probe.hits, probe.missed, probe.active, session.regs.r4) == (2, 3, 0, 120)
    assert results == [24, 120]
    assert (probe.hits, probe.missed, probe.active) == (2, 3, 0)


def test_calls_left_by_longjmp_give_their_place_back():
    with start() as session:
        probe = session.retprobe(THROWER, lambda _: None, entry=lambda _: None, maxactive=2)
        session.run(until=END)
        assert (probe.hits, probe.missed) == (40 - THROWS, 0)


def test_where_the_entry_is_compiled_places_of_calls_left_are_looked_for_when_some_were_missed():
    with start() as session:
        probe = session.retprobe(THROWER, lambda _: None, maxactive=2)
        session.run(until=END)
        assert (probe.hits, probe.missed) == (23, 8)


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


@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_a_function_that_a_handler_skips_does_not_return(entry):
    def skip(hit):
        hit.regs.r0, hit.regs.pc = 77, hit.regs.lr
        return True

    with start() as session:
        probe = session.retprobe(LOOP, lambda _: None, entry=entry)
        session.probe(LOOP, skip)
        session.optimize_now()
        session.run(until=END)
        assert (session.regs.r6, probe.hits, probe.active, probe.missed) == (77, 0, 0, 0)


@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_a_handler_at_the_entry_changes_where_the_function_returns_to(entry):
    def longer(hit):
        hit.regs.lr += 4

    with start() as session:
        probe = session.retprobe(INNER, lambda hit: hit.regs.r0, entry=entry)
        session.probe(INNER, longer)
        session.run(until=TAIL)
        assert (session.regs.pc, probe.hits, session.regs.lr != OUTER + 8) == (TAIL, 1, True)


def test_a_call_made_by_a_handler_is_missed_and_returns():
    with start() as session:
        probe = session.retprobe(INNER, lambda _: None)
        session.retprobe(LOOP, lambda hit: results.append(hit.call(INNER, 41)))
        results = []
        session.run(until=END)
        assert (results, probe.hits, probe.missed, session.regs.r6) == ([42], 1, 1, 10)


@pytest.mark.parametrize("follow", ["define", "retprobe"])
@pytest.mark.parametrize("where", [FACT + 4, OUTER + 4, OUTER + 8, INNER, TAIL, THROWER + 4, BASE + 0x38, 0x80F0])
def test_closing_while_calls_are_in_progress_puts_their_return_addresses_back(observed, where, follow):
    session = start()
    for function in FUNCTIONS:
        if follow == "define":
            session.define(f"r 0x{function:x}")
        else:
            session.retprobe(function, lambda _: None)
    session.optimize_now()
    session.run(until=where)
    session.close()
    assert session.target.read_registers().pc == where
    assert not any(region.name == "slots" for region in session.target.regions)
    assert go_on(session) == observed[1]


def follow_by_definition(session):
    session.define_all(f"r:f{function:x} 0x{function:x} $retval" for function in FUNCTIONS)


def follow_on_host(session):
    for function in FUNCTIONS:
        session.retprobe(function, lambda _: None, entry=lambda _: None)


def follow_by_detour(session):
    for function in FUNCTIONS:
        session.retprobe(function, lambda _: None)


@pytest.mark.parametrize("follow", [follow_by_definition, follow_by_detour, follow_on_host])
@pytest.mark.parametrize("limit", range(3, 200, 13))
def test_closing_after_any_number_of_instructions_leaves_the_program_whole(observed, limit, follow):
    session = start()
    follow(session)
    session.optimize_now()
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


@pytest.mark.parametrize("known", [(), (Region(0, 1 << 32, readable=False),)])
def test_where_memory_is_not_known_the_pads_of_calls_in_progress_stay(monkeypatch, known):
    session = start()
    session.retprobe(FACT, lambda _: None)
    session.run(until=FACT + 0x10)
    regions = session.target.regions
    monkeypatch.setattr(type(session.target), "regions", known)
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


def test_functions_that_return_twice_are_refused_by_name():
    image = Image.from_words([0xE12FFF1E], base=BASE)  # bx lr
    image = replace(image, symbols=(Symbol("_setjmp", BASE, size=4, function=True),))
    with emulate(image) as session, pytest.raises(Refused) as caught:
        session.retprobe("_setjmp", lambda _: None)
    assert str(caught.value) == "no return probe at _setjmp: it returns more often than it is called"


def test_only_the_first_instruction_of_a_function_can_have_a_return_probe():
    image = Image.from_words([0xE1A00000, 0xE12FFF1E], base=BASE)  # nop; bx lr
    image = replace(image, symbols=(Symbol("f", BASE, size=8, function=True),))
    with emulate(image) as session, pytest.raises(Refused) as caught:
        session.retprobe("f+4", lambda _: None)
    assert str(caught.value) == "no return probe at f+0x4: that is not the first instruction of the function"
    with emulate(image) as session:
        assert session.retprobe("f", lambda _: None).hits == 0


@pytest.mark.parametrize("kind", ["event", *NAMES])
def test_a_caller_in_thumb_state_is_returned_to_in_thumb_state(kind):
    words = [
        0xE28F0011,  # 8000 add r0, pc, #17
        0xE12FFF1E & ~15,  # 8004 bx r0
        0xE320F000,  # 8008 nop
        0xE92D4010,  # 800c push {r4, lr}
        0xE2800001,  # 8010 add r0, r0, #1
        0xE8BD8010,  # 8014 pop {r4, pc}
        0xF7FF2005,  # 8018 movs r0, #5 (Thumb)
        0x300AEFF8,  # 801a blx 800c; 801e adds r0, #10
        0x47084900,  # 8020 ldr r1, [pc]; bx r1
        0x00008008,
    ]
    seen = []
    with start(words) as session:
        if kind == "event":
            session.define("r 0x800c $retval %cpsr")
        else:
            session.retprobe(
                0x800C, lambda hit: seen.append([hit.regs.pc, hit.retval]), entry=ENTRIES[NAMES.index(kind)]
            )
        session.optimize_now()
        session.run(until=0x8008)
        assert session.regs.r0 == 16
        seen += [list(event.values.values())[:2] for event in session.events()]
    assert seen == [[0x801E, 6]]


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


# --- definitions


@pytest.mark.parametrize("optimized", [True, False])
@pytest.mark.parametrize(("cpu", "concurrent"), [("arm926", False), ("cortex-a15", False), ("cortex-a15", True)])
def test_events_at_returns_hold_what_the_emulator_sees(observed, optimized, cpu, concurrent, monkeypatch):
    monkeypatch.setattr(UnicornTarget, "concurrent", concurrent)
    seen, final = observed
    with emulate(Image.from_words(WORDS, base=BASE), cpu=cpu) as session:
        probes = session.define_all(
            f"r:f{function:x} 0x{function:x} $retval %r4 %sp %lr:u32 flags=%cpsr" for function in FUNCTIONS
        )
        if optimized:
            session.optimize_now()
        assert {probe.state for probe in probes} == {"branch" if optimized else "trap"}
        session.run(until=END)
        assert session.regs.values[:14] == final[:14]
        events = {probe.address: [] for probe in probes}
        order = []
        for event in session.events():
            values = event.values
            events[event.probe.address].append(tuple(values.values()))
            order.append(event.probe.address)
        for probe in probes:
            assert (probe.missed, probe.hits) == (0, len(events[probe.address]))
    assert order == seen.order
    for function, frames in seen.frames.items():
        expected = [(pc, r[0], r[4], r[13], r[14], cpsr) for *r, pc, cpsr in frames]
        if function in (CATCH, SWITCH):
            assert [row[:4] for row in events[function]] == [row[:4] for row in expected]
        elif function == TAIL:  # comes back to the pad of `outer`
            assert [row[1:4] for row in events[function]] == [row[1:4] for row in expected]
        else:
            assert events[function] == expected


def test_an_event_at_a_return_reads_as_in_the_kernel_trace_file():
    with start() as session:
        session.define(f"r:back 0x{LOOP:x} v=$retval:s32 if v > 5")
        session.run(until=END)
        assert [str(event) for event in session.events()] == [f"81: back: (0x00008020 <- 0x{LOOP:08x}) v=10"]


def test_a_filter_of_a_return_event_looks_at_the_result():
    with start() as session:
        probe = session.define(f"r4:big 0x{FACT:x} v=$retval:u32 if v > 5")
        session.optimize_now()
        session.run(until=END)
        assert [event.values["v"] for event in session.events()] == [6, 24, 120]
        assert (probe.hits, probe.missed, probe.active) == (3, 1, 0)


def test_a_definition_that_is_removed_during_a_call_lets_it_come_back_unseen():
    with start() as session:
        probe = session.define(f"r:x 0x{FACT:x}")
        session.optimize_now()
        session.run(until=FACT + 0xC)
        session.remove("x")
        session.run(until=END)
        assert (session.regs.r4, probe.hits, list(session.events())) == (120, 0, [])
        session.optimize_now()
        assert session._engine.returns.retired == []


def test_compiled_returns_need_an_architecture_whose_loads_to_pc_change_the_instruction_set(monkeypatch):
    with start() as session:
        monkeypatch.setattr(type(session.target), "architecture", 4)
        with pytest.raises(Refused) as caught:
            session.define(f"r 0x{FACT:x}")
    assert str(caught.value) == (
        "a compiled return goes back by a load to PC, which is no BX before architecture 5; "
        "this target has architecture 4"
    )
