"""Functions that are skipped and results that are changed: by handlers in the target, by the same ones on the host."""

from __future__ import annotations

from importlib.resources import files

import pytest
from tests.codegen.python_functions import define
from tests.probes.returning import BASE, CATCH, END, FACT, FUNCTIONS, INNER, OUTER, SWITCH, WORDS

from armprobe import Image, Refused, Session, UsageError, emulate
from armprobe.probes import compiled, instruments
from armprobe.targets.unicorn import UnicornTarget

#: behind the call of `catch`, which is called 40 times with r7 from 40 to 1
BEHIND = BASE + 0x2C
CALLS = range(40, 0, -1)
MASK = 0xFFFFFFFF
DEMO = str(files("armprobe") / "demo" / "demo.elf")


def start() -> Session:
    return emulate(Image.from_words(WORDS, base=BASE))


def watch(session: Session) -> list[tuple[int, ...]]:
    """The list of all registers and flags behind each call."""
    seen: list[tuple[int, ...]] = []
    session.probe(BEHIND, lambda hit: seen.append((*hit.regs.values, hit.regs.cpsr)))
    return seen


def finish(session: Session) -> tuple[object, ...]:
    """Registers and memory of the program when it has ended."""
    session.run(until=END)
    return (*session.regs.values, session.regs.cpsr, session.read_memory(BASE, 4 * len(WORDS)))


def skipped_by_hand(wanted) -> tuple[list[tuple[int, ...]], tuple[object, ...]]:
    """What the program does where a host handler writes r0 and r1 itself; `wanted` gives them, None: do not skip."""
    with start() as session:

        def handler(hit) -> bool:
            words = wanted(hit.regs)
            if words is None:
                return False
            for name, word in zip(("r0", "r1"), words, strict=False):
                setattr(hit.regs, name, word)
            hit.regs.pc = hit.regs.lr
            return True

        session.probe(CATCH, handler)
        seen = watch(session)
        return seen, finish(session)


CASES = {
    "skip()": lambda regs: (),
    "skip(r7)": lambda regs: (regs.r7,),
    "skip(-12)": lambda regs: (-12 & MASK,),
    "skip(as_s32(r7) - 20)": lambda regs: (regs.r7 - 20 & MASK,),
    "skip(as_u64(r7) << 33 | 5)": lambda regs: (5, regs.r7 * 2),
    "if r7 % 3 == 0:\n        skip(r0 + r7)": lambda regs: (regs.r0 + regs.r7 & MASK,) if regs.r7 % 3 == 0 else None,
    "if r7 % 3 == 0:\n        skip(as_u64(7))\n    if r7 & 1:\n        skip()\n    x = 1": (
        lambda regs: (7, 0) if regs.r7 % 3 == 0 else () if regs.r7 & 1 else None
    ),
    "for i in range(8):\n        if i == r7:\n            skip(i)": lambda regs: (regs.r7,) if regs.r7 < 8 else None,
    "leave(r7)": lambda regs: (regs.r7 + 1,) if regs.r7 > 20 else None,
    "emit(a=r0 * r1 + r2, b=r3 ^ r7, c=lr, d=hit.time)\n    t[r7] += r0\n    skip(u32(r13 & 0) + r7)": lambda _: None,
    "emit(a=r0 * r1 + r2, b=r3 ^ r7, c=lr, d=hit.time)\n    t[r7] += r0\n    skip(r0 * r7 + r4 + sp)": (
        lambda regs: (regs.r0 * regs.r7 + regs.r4 + regs.sp & MASK,)
    ),
}


def source(body: str) -> str:
    return (
        "def leave(x):\n    if x > 20:\n        skip(x + 1)\n\n"
        f"def handler(hit, r0, r1, r2, r3, r4, r7, r13, lr, sp):\n    c.add()\n    {body}\n"
    )


@pytest.mark.parametrize(("optimize", "concurrent"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("body", CASES)
def test_a_handler_in_the_target_skips_as_one_on_the_host_does(body, optimize, concurrent, monkeypatch):
    monkeypatch.setattr(UnicornTarget, "concurrent", concurrent)
    expected = skipped_by_hand(CASES[body])
    sides = []
    for on_host in (False, True):
        with start() as session:
            session.optimization = optimize
            names = {"t": session.table("t", 128), "c": session.counter("c")}
            handler = define(source(body), **names)
            probe = session.probe(CATCH, session.on_host(handler) if on_host else handler, compiled=not on_host)
            seen = watch(session)
            session.optimize_now()
            left = finish(session)
            events = [event.values for event in session.events()]
            assert (seen, left) == expected, f"on the host: {on_host}"
            sides.append((probe.hits, probe.faults, names["c"].total, dict(names["t"].values()), events))
    assert sides[0] == sides[1]
    assert sides[0][0] == sides[0][2] == len(CALLS)


@pytest.mark.parametrize("on_host", [False, True])
def test_handlers_that_come_later_do_not_see_a_skipped_call(on_host):
    with start() as session:

        def third(r7):
            if r7 % 3 == 0:
                skip(r7)  # noqa: F821  a word of the language

        first = session.count(CATCH)
        if on_host:
            session.probe(CATCH, session.on_host(third))
        else:
            session.probe(CATCH, third, compiled=True)
        later = [session.probe(CATCH, lambda hit: None), session.probe(CATCH, post_handler=lambda hit: None)]
        last = session.count(CATCH)
        session.optimize_now()
        session.run(until=END)
        assert first.hits == 40
        assert [probe.hits for probe in later] == [27, 27]
        assert last.hits == (40 if on_host else 27)


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize(("host_return", "concurrent"), [(False, False), (False, True), (True, False)])
def test_a_call_that_is_skipped_is_not_followed_to_its_return(order, host_return, concurrent, monkeypatch):
    monkeypatch.setattr(UnicornTarget, "concurrent", concurrent)

    def third(r7):
        if r7 % 3 == 0:
            skip(as_u64(r7) << 33 | 5)  # noqa: F821

    def returned(hit):
        emit(r7=hit.regs.r7)  # noqa: F821

    expected = skipped_by_hand(lambda regs: (5, regs.r7 * 2) if regs.r7 % 3 == 0 else None)
    with start() as session:
        adding = [
            lambda: session.probe(CATCH, third, compiled=True),
            lambda: session.retprobe(CATCH, session.on_host(returned) if host_return else returned,
                                     compiled=not host_return),
            lambda: session.retprobe(CATCH, lambda hit: None, entry=lambda hit: hit.regs.r7),
        ]  # fmt: skip
        probes = [add() for add in (adding if order == "after" else reversed(adding))]
        seen = watch(session)
        session.optimize_now()
        assert (seen, finish(session)) == expected
        followed = [number for number in CALLS if number % 3]
        assert [event.values["r7"] for event in session.events()] == followed
        assert [probe.hits for probe in probes if probe.returning] == [len(followed)] * 2
        assert [probe.active for probe in probes] == [0, 0, 0]


@pytest.mark.parametrize("optimize", [False, True])
def test_no_record_is_lost_where_every_call_is_skipped(optimize, monkeypatch):
    for module in (compiled, instruments):
        monkeypatch.setattr(module, "RING_WORDS", 1024)
    expected = skipped_by_hand(lambda regs: (regs.r7,))
    with start() as session:
        session.optimization = optimize

        fields = ", ".join(f"f{number}=r7 + {number}" for number in range(30))
        handler = session.probe(CATCH, define(f"def handler(r7):\n    emit({fields})\n    skip(r7)\n"), compiled=True)
        seen = watch(session)
        session.optimize_now()
        assert session._engine.sites[CATCH].code.drain_and_skip is not None
        assert (seen, finish(session)) == expected
        assert [event.values["f0"] for event in session.events()] == list(CALLS)
        assert session.lost(handler) == 0


def test_a_condition_stands_in_front_of_a_skip():
    expected = skipped_by_hand(lambda regs: (regs.r7,) if regs.r7 > 30 else None)
    with start() as session:
        probe = session.probe(CATCH, define("def handler(r7):\n    skip(r7)\n"), compiled=True, when="%r7 > 30")
        seen = watch(session)
        session.optimize_now()
        assert (seen, finish(session)) == expected
        assert probe.hits == 10


def test_a_session_that_goes_leaves_a_function_that_runs_again():
    with start() as session:
        unprobed = finish(session)
    with start() as session:
        probe = session.probe(CATCH, define("def handler():\n    skip(1)\n"), compiled=True)
        session.optimize_now()
        probe.unregister()
        assert finish(session) == unprobed


@pytest.mark.parametrize("on_host", [False, True])
def test_a_caller_in_thumb_code_goes_on_in_thumb_code(on_host):
    words = (
        0xE28F3001,  # 8000 add r3, pc, #1
        0xE12FFF13,  # 8004 bx r3
        0xE80AF000,  # 8008 blx 8020
        0x46C04605,  # 800c mov r5, r0; nop
        0x46C04778,  # 8010 bx pc; nop
        0xE320F000,  # 8014 nop
        0xE320F000,  # 8018 nop
        0xE320F000,  # 801c nop
        0xE3A00001,  # 8020 mov r0, #1
        0xE12FFF1E,  # 8024 bx lr
    )
    with emulate(Image.from_words(words, base=BASE)) as session:
        handler = define("def handler(lr):\n    skip(lr)\n")
        session.probe(BASE + 0x20, session.on_host(handler) if on_host else handler, compiled=not on_host)
        session.optimize_now()
        session.run(until=BASE + 0x14)
        assert (session.regs.r5, session.regs.pc) == (BASE + 0xC | 1, BASE + 0x14)


def changed_by_hand(function: int, change) -> tuple[object, ...]:
    with start() as session:

        def returned(hit) -> None:
            hit.retval = change(hit.retval, hit.entry)

        session.retprobe(function, returned, entry=lambda hit: hit.regs.r0)
        return finish(session)


RESULTS = {
    "hit.retval = 1": lambda value, argument: 1,
    "hit.retval = -1": lambda value, argument: -1,
    "hit.retval = hit.retval + hit.entry.r0": lambda value, argument: value + argument,
    "if hit.entry.r0 & 1:\n        hit.retval = hit.retval + 7\n    hit.retval = hit.retval * 3": (
        lambda value, argument: (value + (7 if argument & 1 else 0)) * 3
    ),
    "hit.retval = hit.retval ^ 5\n    x = u8(0)": lambda value, argument: value ^ 5,
}


@pytest.mark.parametrize("concurrent", [False, True])
@pytest.mark.parametrize("function", [function for function in FUNCTIONS if function not in (CATCH, SWITCH)])
@pytest.mark.parametrize("body", RESULTS)
def test_a_result_is_changed_in_the_target_as_on_the_host(body, function, concurrent, monkeypatch):
    monkeypatch.setattr(UnicornTarget, "concurrent", concurrent)
    expected = changed_by_hand(function, RESULTS[body])
    text = f"def handler(hit, r0, r4, lr):\n    emit(was=r0, r4=r4, lr=lr, first=hit.entry.r0)\n    {body}\n"
    if "u8" not in body:
        text += "    emit(was=hit.retval, r4=hit.regs.r0, lr=0, first=0)\n"
    sides = []
    for on_host in (False, True):
        with start() as session:
            handler = define(text)
            probe = session.retprobe(function, session.on_host(handler) if on_host else handler, compiled=not on_host)
            session.optimize_now()
            assert finish(session) == expected, f"on the host: {on_host}"
            sides.append((probe.hits, probe.faults, [event.values for event in session.events()]))
    assert sides[0] == sides[1]
    assert sides[0][0] > 0


def test_the_time_of_the_entry_is_known_on_the_host_as_in_the_target():
    took = []
    for on_host in (False, True):
        with start() as session:
            handler = define("def handler(hit):\n    emit(took=hit.time - hit.entry.time)\n")
            session.retprobe(FACT, session.on_host(handler) if on_host else handler, compiled=not on_host)
            session.run(until=END)
            took.append([event.values["took"] for event in session.events()])
    assert took[0] == took[1]
    assert len(took[0]) == 5


SKIPS = "def handler(r0):\n    skip(r0)\n"


def test_a_skip_in_the_middle_of_a_function_is_refused():
    for wrap in (False, True):
        with emulate(DEMO) as session:
            handler = define(SKIPS)
            with pytest.raises(Refused) as caught:
                session.probe("malloc+4", session.on_host(handler) if wrap else handler, compiled=not wrap)
            message = "no skip() at malloc+0x4: that is not the first instruction of the function"
            assert (str(caught.value), caught.value.hint) == (message, "name the function alone")
            assert session.probes == ()


def test_a_skip_at_a_conditional_instruction_is_refused():
    words = (0xE3A00001, 0x03A00002, 0xE12FFF1E)  # mov r0, #1; moveq r0, #2; bx lr
    with emulate(Image.from_words(words, base=BASE)) as session, pytest.raises(Refused) as caught:
        session.probe(BASE + 4, define(SKIPS), compiled=True)
    assert str(caught.value) == (
        "no skip() at 0x00008004: its first instruction is conditional, and a call that does not execute it would not "
        "be seen"
    )


def test_a_skip_in_the_target_needs_architecture_5():
    with emulate(Image.from_words(WORDS, base=BASE), cpu="sa1110") as session, pytest.raises(Refused) as caught:
        session.probe(INNER, define(SKIPS), compiled=True)
    assert (str(caught.value), caught.value.hint) == (
        (
            "no probe at 0x00008074: a function is skipped by BX, which not every processor has before architecture 5; "
            "this target has architecture 4"
        ),
        "use session.on_host() with the same handler",
    )


@pytest.mark.parametrize("on_host", [False, True])
def test_a_skip_at_a_return_is_refused_with_its_line(on_host):
    handler = define(SKIPS)
    name = handler.__code__.co_filename
    with start() as session, pytest.raises(UsageError) as caught:
        session.retprobe(OUTER, session.on_host(handler) if on_host else handler, compiled=not on_host)
    assert (str(caught.value), caught.value.hint) == (
        "the function has run: it can't be skipped any more", "hit.retval = VALUE changes its result"
    )  # fmt: skip
    assert caught.value.evidence == f"{name}:2\n    skip(r0)\n    ^"


@pytest.mark.parametrize("on_host", [False, True])
def test_a_result_before_the_return_is_refused_with_its_line(on_host):
    handler = define("def handler(hit):\n    hit.retval = 3\n")
    name = handler.__code__.co_filename
    with start() as session, pytest.raises(UsageError) as caught:
        session.probe(OUTER, session.on_host(handler) if on_host else handler, compiled=not on_host)
    assert (str(caught.value), caught.value.hint) == (
        "there is no result before a function has returned",
        "skip(VALUE) leaves a function with a result before it runs",
    )
    assert caught.value.evidence == f"{name}:2\n    hit.retval = 3\n    ^"


def test_nothing_is_skipped_after_the_instruction():
    message = "handler() can't run after the instruction: it skips a function, or asks for names or for a result"
    with start() as session:
        handler = session.on_host(define(SKIPS))
        for add in (
            lambda: session.probe(OUTER, post_handler=handler),
            lambda: session.retprobe(OUTER, lambda hit: None, entry=handler),
        ):
            with pytest.raises(UsageError) as caught:
                add()
            assert str(caught.value) == message
