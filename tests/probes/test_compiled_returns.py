"""Handlers in Python and definitions at returns, in the target: what they see of the return and of the entry."""

from __future__ import annotations

from importlib.resources import files

import pytest
from tests.probes.returning import BASE, CATCH, END, FACT, FUNCTIONS, OUTER, SWITCH, TAIL, WORDS

from armprobe import Image, Session, UsageError, emulate
from armprobe.targets.unicorn import UnicornTarget

DEMO = str(files("armprobe") / "demo" / "demo.elf")


def start() -> Session:
    return emulate(Image.from_words(WORDS, base=BASE))


def seen_on_host(function: int) -> list[dict[str, int]]:
    """What host handlers see of each call: of the return, and of its entry."""
    found: list[dict[str, int]] = []
    with start() as session:

        def returned(hit) -> None:
            entry, began = hit.entry
            found.append({
                "value": hit.retval, "r4": hit.regs.r4, "sp": hit.regs.sp, "pc": hit.regs.pc,
                "first": entry.r0, "stack": entry.sp, "took": hit.time - began,
            })  # fmt: skip

        session.retprobe(function, returned, entry=lambda hit: (hit.regs.copy(), hit.time))
        session.run(until=END)
    return found


@pytest.mark.parametrize("concurrent", [False, True])
@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("function", [function for function in FUNCTIONS if function not in (CATCH, SWITCH)])
def test_a_compiled_handler_sees_what_one_on_the_host_sees(function, optimize, concurrent, monkeypatch):
    monkeypatch.setattr(UnicornTarget, "concurrent", concurrent)
    expected = seen_on_host(function)
    with start() as session:
        session.optimization = optimize

        @session.retprobe(function, compiled=True)
        def returned(hit, r4, sp):
            emit(  # noqa: F821  a word of the language
                value=hit.retval, r4=r4, sp=sp, pc=hit.pc, first=hit.entry.r0, stack=hit.entry.sp,
                took=hit.time - hit.entry.time,
            )  # fmt: skip

        session.optimize_now()
        session.run(until=END)
        events = list(session.events())
        assert [event.values for event in events] == expected
        assert returned.hits == len(expected) > 0
        assert (returned.missed, returned.faults) == (0, 0)


@pytest.mark.parametrize("function", [FACT, OUTER, TAIL])
def test_arguments_of_the_entry_are_there_in_the_event_of_the_return(function):
    expected = seen_on_host(function)
    with start() as session:
        session.define(f"r:back {function:#x} value=$retval first=$arg1 if first < 1000")
        session.run(until=END)
        found = [(event.values["value"], event.values["first"]) for event in session.events()]
    assert found == [(call["value"], call["first"]) for call in expected if call["first"] < 1000]


def test_memory_is_found_by_an_argument_of_the_entry():
    seen = []
    with emulate(DEMO, arguments=["demo", "100"], output=lambda _: None) as session:
        session.retprobe(
            "parse_packet", lambda hit: seen.append((hit.entry, hit.u8(hit.entry))), entry=lambda hit: hit.regs.r0
        )
        session.run()
    with emulate(DEMO, arguments=["demo", "100"], output=lambda _: None) as session:
        session.define("r:parsed parse_packet buffer=$arg1:x32 kind=+0($arg1):u8")
        session.optimize_now()
        session.run()
        assert [(event.values["buffer"], event.values["kind"]) for event in session.events()] == seen
    assert len(seen) > 50


@pytest.mark.parametrize(
    ("where", "source", "message"),
    [
        ("return", "hit.entry.pc", "of the entry, 'pc' is not known"),
        ("return", "hit.entry.size", "of the entry, 'size' is not known"),
        ("entry", "hit.entry.r0", "only a handler at a return knows of an entry before"),
        ("entry", "hit.retval", "there is no result before a function has returned"),
    ],
)
def test_what_is_not_known_is_refused(where, source, message):
    from tests.codegen.python_functions import define

    handler = define(f"def handler(hit):\n    emit(x={source})\n")
    with start() as session, pytest.raises(UsageError) as caught:
        (session.retprobe if where == "return" else session.probe)(FACT, handler, compiled=True)
    assert str(caught.value) == message


def test_a_compiled_handler_takes_no_entry_handler():
    with start() as session, pytest.raises(UsageError, match=r"^a compiled handler takes no entry handler$"):
        session.retprobe(FACT, lambda hit: None, entry=lambda hit: 1, compiled=True)
