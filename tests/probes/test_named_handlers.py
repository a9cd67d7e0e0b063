"""Handlers that name arguments and variables: compiled and on the host they see the same, at any instruction."""

from __future__ import annotations

from collections import Counter
from enum import IntEnum

import pytest
from tests.symbols.dwarf.programs import DEMO, image

from armprobe import Session, UsageError, emulate
from armprobe.codegen.helpers import as_u32, cast, emit


class Color(IntEnum):
    RED = -1
    GREEN = 0
    BLUE = 7


def start(level: str, calls: int) -> Session:
    return emulate(image(level), arguments=["variables", str(calls)], output=lambda _: None)


def narrow(a, b, c, d):
    emit(a=a, b=b, c=c, d=d, sum=a + c)


def wide(a, b, c, d):
    emit(a=a, b=b, c=c, d=d, high=b >> 32, less=c < 0)


def by_value(p, s, t, last):
    emit(first=p.first, second=p.second, a=s.a, b=s.b, x=t.x, y=t.y, z=t.z, last=last)


def addressed(a, b, c):
    emit(a=a, b=b, c=c)


def follow(m, wanted, tiny):
    length = 0
    at = m
    for _ in range(4):
        if at:
            length += at.hdr.length
            at = at.next
    matches = wanted == Color.BLUE and m.color == Color.BLUE
    emit(
        length=length, matches=matches, wanted=wanted, tiny=tiny, level=m.hdr.level, low=m.low, middle=m.middle,
        far=m.far, flag=m.flag, letter=m.name[0], title=m.title[1], cell=m.table[1][2],
        row=m.table[tiny & 1][m.low & 3], byte=m.bytes[as_u32(m.hdr.type)], stamp=m.stamp, after=m.next.hdr.type,
    )  # fmt: skip


def stacked(b, c, d, e, f, g):
    emit(b=b, c=c, d=d, e=e, f=f, g=g)


def recursive(depth, seed):
    emit(depth=depth, seed=seed)


HANDLERS = {function.__name__: function for function in (narrow, wide, by_value, addressed, follow, stacked, recursive)}


def run(level: str, calls: int, *, host: bool) -> tuple[dict[int, list], dict[int, int], Counter[str]]:
    """(records, faults) by place, for each handler at every instruction where its names have values; and how many."""
    with start(level, calls) as session:
        probes = []
        planted: Counter[str] = Counter()
        reasons = set()
        for name, function in HANDLERS.items():
            (symbol,) = session.symbols.named(name)
            for place in range(symbol.address, symbol.address + symbol.size, 4):
                if session.explain(place).refused:
                    continue
                handler = session.on_host(function) if host else function
                try:
                    probes.append(session.probe(place, handler, compiled=not host))
                except UsageError as problem:
                    reasons.add(str(problem))
                else:
                    planted[name] += 1
        assert [reason for reason in reasons if " is " not in reason] == []
        events: dict[int, list] = {probe.address: [] for probe in probes}
        session.on_event(lambda event: events[event.probe.address].append(event.values))
        session.optimize_now()
        session.run()
        assert not any(session.lost(probe) for probe in probes)
        return events, {probe.address: probe.faults for probe in probes}, planted


@pytest.mark.slow
@pytest.mark.parametrize(("level", "calls"), [("-O0", 6), ("-O2", 40)])
def test_compiled_handlers_record_what_the_host_records_at_every_instruction(level, calls):
    compiled, faults, planted = run(level, calls, host=False)
    on_host, host_faults, _ = run(level, calls, host=True)
    assert compiled == on_host
    assert faults == host_faults
    hits = sum(map(len, compiled.values()))
    assert hits > 5_000
    assert set(planted) == set(HANDLERS)
    followed = [event for events in compiled.values() for event in events if "matches" in event]
    assert {event["matches"] for event in followed} == {0, 1}
    assert {event["byte"] for event in followed} == {None}  # bytes has 4 elements, and types begin at 10
    assert {event["row"] is None for event in followed} == {False, True}
    assert {event["after"] is None for event in followed} == {False, True}


def test_a_handler_on_the_sample_firmware_counts_by_the_names_of_its_source():
    def measure(buffer, length, hit):
        if buffer[0] < 8:
            kinds[buffer[0]] += 1
        sizes[length >> 4] += 1
        if hit.vars.packet_statistics.errors:
            late.add()

    totals = []
    for host in (False, True):
        with emulate(DEMO / "demo.elf", arguments=["demo", "200"], output=lambda _: None) as session:
            kinds, sizes, late = session.table("kinds", 16), session.histogram("sizes"), session.counter("late")
            probe = session.probe("parse_packet", session.on_host(measure) if host else measure, compiled=not host)
            session.run()
            totals.append((kinds.values(), sizes.values(), late.total, probe.hits))
            assert probe.state == ("trap" if host else "branch")
    assert totals[0] == totals[1]
    assert totals[0][3] > 200
    assert sum(totals[0][0].values()) > 190


def test_functions_that_are_called_take_pointers_and_structures():
    def length_of(message):
        return message.hdr.length

    def sum_of(header, pointer):
        return header.length + header.type + length_of(pointer)

    def handler(m):
        emit(sum=sum_of(m.hdr, m), twice=length_of(cast("struct message *", m + 0)) * 2)

    found = []
    for host in (False, True):
        with start("-O2", 5) as session:
            session.probe("follow", session.on_host(handler) if host else handler, compiled=not host)
            session.run()
            found.append([event.values for event in session.events()])
    assert found[0] == found[1]
    first = found[0][0]["twice"] // 2
    assert first % 100 == 0
    assert found[0][0]["sum"] == 2 * first + 10 + first // 100


def test_one_compilation_serves_places_where_the_same_is_true():
    with start("-O2", 2) as session:
        probes = session.probe_all(["narrow", "narrow+4"], narrow, compiled=True)
        assert probes[0].actions[0].program == probes[1].actions[0].program


def handler_with(names: str, *lines: str):
    """A handler, from source that inspection can find."""
    import linecache

    source = f"def handler({names}):\n" + "".join(f"    {line}\n" for line in lines)
    filename = f"<{abs(hash(source))}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    space: dict = {}
    exec(compile(source, filename, "exec", dont_inherit=True), space)  # noqa: S102
    return space["handler"]


@pytest.mark.parametrize(
    ("names", "lines", "spot", "message", "hint"),
    [
        ("mm", ["emit(x=1)"], "def", "follow has no argument or variable 'mm'; it has: m, wanted, tiny, at, found",
         "did you mean m?"),
        ("m", ["emit(x=m.hdr.lenght)"], "m.hdr.l",
         "struct header has no member 'lenght'; it has: type, version, urgent, level, length", "did you mean length?"),
        ("m", ["emit(x=m.hdr)"], "m.hdr", "m->hdr is a struct header, no number",
         "name a member: type, version, urgent, level, length"),
        ("m", ["emit(x=m.bytes[4])"], "m.bytes[4]", "m->bytes has 4 elements, [0] to [3], and no [4]", ""),
        ("m", ["emit(x=m.bytes[m.stamp])"], "m.stamp", "an index has 32 bits, and this is u64", "as_u32() converts"),
        ("wanted", ["emit(x=wanted.x)"], "wanted.x", "wanted is an enum color, which has no members", ""),
        ("m", ["m += 1", "emit(x=m)"], "m += 1", "'m' is a struct message *, which is not computed with",
         "m[1] is what comes behind it"),
        ("m", ["p = m", "p = m.title"], "m.title", "'p' is a struct message *, and this is a char *",
         'use another variable, or cast("struct message *", ...)'),
        ("m", ["p = m", "p = m + 4"], "m + 4", "'p' is a struct message *, and this is a number, u32",
         'use another variable, or cast("struct message *", ...)'),
        ("m", ["if m.flag:", "    p = m", "emit(x=p.low)"], "p.low", "'p' may have no value here",
         "give it one on every way that leads here"),
        ("r0", ['emit(x=cast("struct nothing *", r0).x)'], "cast",
         "the source file of follow has no type 'struct nothing *'", ""),
        ("r0", ['emit(x=cast("struct message", r0).low)'], '"struct', "struct message is no pointer",
         'write cast("struct message *", ...)'),
        ("hit", ["emit(x=hit.args.found)"], "hit.args", "follow has no argument 'found'; it has: m, wanted, tiny",
         "'found' is a variable there"),
        ("hit", ["emit(x=hit.here)"], "hit.here", "a hit has no 'here' in a compiled handler",
         "it has pc, probe, time, cpu, pid, tgid, comm, regs, args and vars"),
    ],
)  # fmt: skip
def test_what_there_is_not_is_refused_with_the_line_and_a_caret(names, lines, spot, message, hint):
    handler = handler_with(names, *lines)
    with start("-O2", 1) as session, pytest.raises(UsageError) as caught:
        session.probe("follow", handler, compiled=True)
    assert (str(caught.value), caught.value.hint) == (message, hint)
    _, line, caret = caught.value.evidence.split("\n")
    assert line[len(caret) - 1 :].startswith(spot)
    with start("-O2", 1) as session, pytest.raises(UsageError) as again:
        session.probe("follow", session.on_host(handler))
    assert str(again.value) == message


def test_names_are_refused_where_there_is_no_debug_information():
    from dataclasses import replace

    with emulate(replace(image("-O2"), debug=()), output=lambda _: None) as session:
        with pytest.raises(UsageError, match="no debug information about follow, which would know the name 'm'"):
            session.probe("follow", handler_with("m", "emit(x=m)"), compiled=True)
        with pytest.raises(UsageError, match="no debug information about follow, which would know the name 'm'"):
            session.probe("follow", session.on_host(handler_with("m", "emit(x=m)")))


@pytest.mark.parametrize("compiled", [False, True])
def test_conditions_in_python_name_arguments_too(compiled):
    seen = []
    for when in (
        lambda m, wanted: wanted == Color.BLUE and m.hdr.length > 100,
        "wanted == BLUE && m->hdr.length > 100",
    ):
        with start("-O2", 40) as session:
            probe = session.probe("follow", follow if compiled else lambda _: None, compiled=compiled, when=when)
            # Of several handlers at one place, the host asks for whom the target stopped.
            others = [session.probe("follow", lambda _: None, when=when) for _ in range(2)]
            every = session.count("follow")
            session.run()
            seen.append((probe.hits, *(other.hits for other in others)))
            assert 0 < probe.hits < every.hits
    assert len(set(seen[0])) == 1
    assert seen[0] == seen[1]
