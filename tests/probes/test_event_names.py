"""Events by name: what probes may share one, and how they are removed."""

from __future__ import annotations

import pytest
from tests.probes.program import BASE, DOUBLE, END, LOOP, PASSES, start

from armprobe import UsageError
from armprobe.probes.definition import parse_removal


def test_several_probes_share_an_event():
    with start() as session:
        probes = session.define_all([f"p:g/e {LOOP:#x} n=%r0:u32", f"p:g/e {DOUBLE:#x} n=%r0:u32"])
        session.run(until=END)
        assert [probe.hits for probe in probes] == [PASSES, PASSES]
        lines = [str(event) for event in session.events()][:2]
        assert lines == [f"2: e: (0x{LOOP:08x}) n=0", f"7: e: (0x{DOUBLE:08x}) n=1"]


@pytest.mark.parametrize(
    ("line", "caret", "message", "hint"),
    [
        (
            f"p:g/e {DOUBLE:#x} n=%r0 m=%r1",
            13,
            "the event g/e was defined with n:u32 m:x32, and all its probes must have the same",
            "give this one another name, or remove the other first: -:g/e",
        ),
        (
            f"p:g/e {DOUBLE:#x} n=%r0:u32 k=%r1",
            23,
            "the event g/e was defined with n:u32 m:x32, and all its probes must have the same",
            "give this one another name, or remove the other first: -:g/e",
        ),
        (
            f"p:g/e {DOUBLE:#x} n=%r0:u32 ",
            22,
            "the event g/e was defined with n:u32 m:x32, and all its probes must have the same",
            "give this one another name, or remove the other first: -:g/e",
        ),
        (
            f"p:g/e {LOOP:#x} n=%r0:u32 m=%r1",
            0,
            "the event g/e has this very probe already",
            "give this one another name",
        ),
    ],
)
def test_probes_of_one_event_have_the_same_arguments_and_differ_otherwise(line, caret, message, hint):
    with start() as session:
        session.define(f"p:g/e {LOOP:#x} n=%r0:u32 m=%r1")
        with pytest.raises(UsageError) as caught:
            session.define(line)
        assert (str(caught.value), caught.value.hint) == (message, hint)
        assert caught.value.evidence == line + "\n" + " " * caret + "^"
        assert len(session.probes) == 1


def test_calls_and_returns_do_not_share_an_event():
    with start() as session:
        session.define(f"p:g/e {LOOP:#x}")
        with pytest.raises(UsageError) as caught:
            session.define(f"r:g/e {DOUBLE:#x}")
        assert str(caught.value) == "the event g/e belongs to probes of another kind: p"
        assert caught.value.hint == "give this one another name, or remove the other first: -:g/e"


def test_the_same_place_may_be_recorded_twice_under_two_names_or_with_two_filters():
    with start() as session:
        session.define_all([
            f"p:a {LOOP:#x} %r0", f"p:b {LOOP:#x} %r0", f"p:b {LOOP:#x} %r0 if arg1 < 3", f"p:x/b {LOOP:#x}",
        ])  # fmt: skip
        session.run(until=END)
        assert [probe.hits for probe in session.probes] == [PASSES, PASSES, 3, PASSES]


@pytest.mark.parametrize(
    ("removal", "left"),
    [("a", ["b", "c"]), ("g/b", ["a", "c"]), ("h/", ["a", "b"]), ("g.a", ["b", "c"]), ("g/", ["c"])],
)
def test_events_are_removed_by_name_or_by_group(removal, left):
    with start() as session:
        session.define_all([f"p:g/a {LOOP:#x}", f"p:g/b {LOOP:#x}", f"p:h/c {DOUBLE:#x}"])
        session.count(LOOP)
        session.remove(removal)
        assert [probe.name for probe in session.probes if probe.definition] == left
        assert sum(probe.definition is None for probe in session.probes) == 1
        session.run(until=END)
        assert {event.probe.name for event in session.events()} == set(left)


def test_lines_are_carried_out_in_order():
    with start() as session:
        old = session.define(f"p:e {LOOP:#x} %r1")
        fresh = session.define_all([f"p:f {LOOP:#x}", "-:f", "-:kprobes/e", f"p:e {DOUBLE:#x} %r0"])
        assert old.state == "unregistered"
        assert session.probes == tuple(fresh)
        assert [probe.address for probe in fresh] == [DOUBLE]


def test_nothing_is_removed_when_a_line_is_wrong():
    with start() as session:
        session.define(f"p:e {LOOP:#x}")
        with pytest.raises(UsageError, match=r"^there is no register %r99$"):
            session.define_all(["-:e", f"p:f {LOOP:#x} %r99"])
        assert [probe.name for probe in session.probes] == ["e"]


@pytest.mark.parametrize(
    ("lines", "hint"),
    [
        (["-:e"], ""),
        ([f"p:g/f {BASE:#x}", "-:e"], "there are g/f"),
        ([f"p:g/e {BASE:#x}", "-:e", "-:e"], ""),
    ],
)
def test_an_event_that_is_not_there_cannot_be_removed(lines, hint):
    with start() as session:
        with pytest.raises(UsageError) as caught:
            session.define_all(lines)
        assert (str(caught.value), caught.value.hint) == ("there is no event e", hint)
        assert session.probes == ()


@pytest.mark.parametrize("line", ["-:", "-:/e", "-:a/b/c", "-:a b", " -: "])
def test_a_malformed_removal_is_shown_with_a_caret(line):
    with pytest.raises(UsageError) as caught:
        parse_removal(line)
    assert str(caught.value) == "a removal is -:EVENT, -:GROUP/EVENT or -:GROUP/"
    assert caught.value.evidence == line + "\n" + " " * (line.index(":") + 1) + "^"


def test_define_adds_and_never_removes():
    with start() as session, pytest.raises(UsageError) as caught:
        session.define("-:e")
    assert str(caught.value) == "'-:e' removes events, and define() adds one"
    assert caught.value.hint == "session.remove(EVENT)"


def test_the_location_of_a_definition_that_is_nowhere_is_pointed_at():
    with start() as session, pytest.raises(UsageError) as caught:
        session.define("p:own nowhere a=%r0")
    assert caught.value.evidence == "p:own nowhere a=%r0\n      ^"


def test_a_removal_of_nothing_is_pointed_at():
    with start() as session, pytest.raises(UsageError) as caught:
        session.remove("own")
    assert caught.value.evidence == "-:own\n  ^"
