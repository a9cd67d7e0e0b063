"""The hist trigger: what is refused, and what is summed up, against the events that a trace records."""

from __future__ import annotations

import re
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest
from tests.probes.program import DOUBLE, END, LOOP, PASSES, RETURN, start

from armprobe import Refused, UsageError, emulate
from armprobe.probes.event_histogram import Row
from armprobe.probes.hist_trigger import HistKey, parse_trigger
from armprobe.targets.base import NO_TASKS

DEMO = Path(str(files("armprobe") / "demo" / "demo.elf"))
EVENT = f"p:own {LOOP:#x} down=%r1:u32 low=%r1:s8 far=+0(%r1):u8 wide=+0(%sp):u64 name=+0(%r1):string"


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("hist:keys=down", 0, "a trigger is EVENT.hist:keys=FIELD, for example malloc.hist:keys=size.log2 if size > 4"),
        ("own.stacktrace", 4, "there is no trigger 'stacktrace' here"),
        ("own.hist", 8, "the keys are missing"),
        ("own.hist keys=down", 8, "expected :NAME=VALUE, not ' keys=down'"),
        ("own.hist:keys=down:pause=1", 19, "a hist trigger has no 'pause' here"),
        ("own.hist:keys=down:keys=low", 19, "keys is there twice"),
        ("own.hist:keys=down,down", 19, "down is there twice"),
        ("own.hist:keys=down,low,far,wide.log2", 27, "there are at most 3 keys"),
        ("own.hist:keys=name.hex", 14, ".hex is for numbers, and name is a string"),
        ("own.hist:keys=down.execname", 14, "execname is the name of the task that common_pid is the number of"),
        (
            "own.hist:keys=down,common_pid",
            19,
            f"common_pid is a field of tasks, and there are none here: {NO_TASKS}",
        ),
        ("own.hist:keys=down.usecs", 19, "there is no modifier 'usecs'"),
        ("own.hist:keys=down.buckets", 19, "buckets have a size, and nothing else has"),
        ("own.hist:keys=down.log2=4", 19, "buckets have a size, and nothing else has"),
        ("own.hist:keys=down:sort=low", 24, "nothing is sorted by 'low'"),
        ("own.hist:keys=down:size=0", 24, "a size is a number of entries, not '0'"),
        ("own.hist:keys=up", 14, "the event own has no field 'up'"),
        ("own.hist:keys=down:vals=hitcount,name", 33, "name is string, and numbers are summed up"),
        ("own.hist:keys=wide", 14, "a key has 32 bits, and wide is u64"),
        ("own.hist:keys=wide.buckets=10", 14, "64 bits are divided by powers of two only, and wide is u64"),
        ("own.hist:keys=low.log2", 14, "log2 is for unsigned numbers, and low is s8"),
        ("own.hist:keys=down if up > 3", 22, "there is no field 'up'"),
        ("other.hist:keys=down", None, "there is no event other"),
        ("back.hist:keys=up", 15, "the event back has no field 'up'"),
    ],
)
def test_a_trigger_that_makes_no_sense_is_refused_where_it_stands(text, column, message):
    with start() as session:
        session.define(EVENT)
        if text.startswith("back"):
            session.define(f"r:back {DOUBLE:#x} result=$retval")
        with pytest.raises(UsageError) as caught:
            session.trigger(text)
        assert str(caught.value) == message
        if column is not None:
            assert caught.value.evidence == text + "\n" + " " * column + "^"
        session.run(until=END)


def test_what_a_trigger_says():
    trigger = parse_trigger("g/own.hist:keys=a.buckets=16,d:values=b,hitcount,c:sort=b.descending:size=32 if a > 5")
    assert (trigger.event, trigger.keys) == ("g/own", (HistKey("a", "buckets", 16), HistKey("d")))
    assert (trigger.sums, trigger.sort, trigger.descending, trigger.size) == (("b", "c"), "b", True, 32)
    assert trigger.text[trigger.condition :].strip() == "a > 5"


@pytest.mark.parametrize("records", [True, False])
def test_hits_are_summed_up_by_key(records):
    with start() as session:
        (probe,) = session.define_all([EVENT], records=records)
        session.optimize_now()
        by = {
            name: session.trigger(f"own.hist:keys={name}")
            for name in (
                "down.log2",
                "down.buckets=7",
                "low",
                "down:vals=down if down > 98",
                "far",
                "wide.buckets=8192",
            )
        }
        session.run(until=END)
        downs = range(1, PASSES + 1)
        rows = {name: {row.key: row.hitcount for row in found.rows()} for name, found in by.items()}
        assert rows["down.log2"] == Counter(down.bit_length() - 1 for down in downs)
        assert rows["down.buckets=7"] == Counter(down // 7 * 7 for down in downs)
        assert rows["low"] == dict.fromkeys(downs, 1)
        assert [(row.key, row.sums) for row in by["down:vals=down if down > 98"].rows()] == [
            (99, {"down": 99}), (100, {"down": 100}),
        ]  # fmt: skip
        assert (rows["far"], by["far"].dropped) == ({}, PASSES)  # there is no memory
        wide = by["wide.buckets=8192"]
        assert sum(rows["wide.buckets=8192"].values()) + wide.dropped == PASSES
        assert (probe.hits, probe.state) == (PASSES, "branch")
        assert len(list(session.events())) == (PASSES if records else 0)


def test_hits_are_summed_up_by_several_keys_and_by_strings():
    with emulate(DEMO, output=lambda _: None) as session:
        session.define(
            "p:packet parse_packet kind=+0(%r0):u8 length=%r1:u32 name=+0(@type_names):string bad=+4(\\0):string"
        )
        session.optimize_now()
        two = session.trigger("packet.hist:keys=kind,length.buckets=8:vals=length:sort=kind")
        three = session.trigger("packet.hist:keys=length.log2,name,common_cpu if CPU == 0")
        bad = session.trigger("packet.hist:keys=bad")
        session.run()
        events = [event.values for event in session.events()]
        expected = Counter((event["kind"], event["length"] // 8 * 8) for event in events)
        rows = two.rows()
        assert {row.key: row.hitcount for row in rows} == expected
        assert [row.key[0] for row in rows] == sorted(row.key[0] for row in rows)
        assert sum(row.sums["length"] for row in rows) == sum(event["length"] for event in events)
        assert {row.key: row.hitcount for row in three.rows()} == Counter(
            (event["length"].bit_length() - 1, event["name"], 0) for event in events
        )
        assert (bad.rows(), bad.dropped) == ([], len(events))
    kind, length = rows[0].key
    assert f"{{ kind: {kind:>10}, length: {f'~ {length}-{length + 7}':>10} }}  hitcount: " in str(two)
    (name,) = {event["name"] for event in events}
    assert f", name: {name:<16}, common_cpu:          0 }}  hitcount: " in str(three)


def test_rows_are_sorted_and_shown_as_in_the_kernels_file():
    text = "packet.hist:keys=kind:vals=hitcount,length:sort=hitcount.descending if length > 8"
    with emulate(DEMO, output=lambda _: None) as session:
        session.define("p:packet parse_packet kind=+0(%r0):u8 length=%r1:u32")
        session.optimize_now()
        found = session.trigger(text)
        session.run()
        expected: dict[int, list[int]] = {}
        for event in session.events():
            if event.values["length"] > 8:
                expected.setdefault(event.values["kind"], []).append(event.values["length"])
        rows = {row.key: (row.hitcount, row.sums["length"]) for row in found.rows()}
        assert rows == {kind: (len(lengths), sum(lengths)) for kind, lengths in expected.items()}
        counts = [row.hitcount for row in found.rows()]
        assert counts == sorted(counts, reverse=True)
        first = found.rows()[0]
    lines = str(found).splitlines()
    assert lines[2] == f"# trigger info: {text} [active]"
    assert re.split(r"\s+", lines[5].strip()) == [
        "{", "kind:", str(first.key), "}", "hitcount:", str(first.hitcount), "length:", str(first.sums["length"]),
    ]  # fmt: skip
    assert lines[-4:] == ["Totals:", f"    Hits: {sum(counts)}", f"    Entries: {len(counts)}", "    Dropped: 0"]


def test_an_event_of_several_probes_is_summed_up_as_one():
    with start() as session:
        session.define_all([f"p:own {LOOP:#x} down=%r1", f"p:own {DOUBLE:#x} down=%r1"])
        found = session.trigger("own.hist:keys=down.hex:size=200")
        session.optimize_now()
        session.run(until=END)
        assert {row.key: row.hitcount for row in found.rows()} == dict.fromkeys(range(1, PASSES + 1), 2)
        assert "{ down:         64 }  hitcount:          2" in str(found)


@pytest.mark.parametrize("records", [True, False])
def test_returns_are_summed_up_by_results_and_by_what_the_entry_had(records):
    with start() as session:
        (probe,) = session.define_all([f"r:back {DOUBLE:#x} before=$arg1:u32 result=$retval:u32"], records=records)
        found = session.trigger("back.hist:keys=before:vals=result if result > 100")
        session.optimize_now()
        session.run(until=END)
        rows = {row.key: (row.hitcount, row.sums["result"]) for row in found.rows()}
        assert rows == {number: (1, 2 * number) for number in range(51, PASSES + 1)}
        assert (found.dropped, probe.hits, probe.missed, probe.active) == (0, PASSES, 0, 0)
        assert len(list(session.events())) == (PASSES if records else 0)


def test_a_call_in_progress_is_recorded_when_its_event_gets_a_trigger():
    with start() as session:
        probe = session.define(f"r:back {DOUBLE:#x} result=$retval:u32")
        session.optimize_now()
        session.run(until=RETURN)
        found = session.trigger("back.hist:keys=result")
        assert probe.active == 1
        session.run(until=END)
        assert [event.values["result"] for event in session.events()] == [2 * number for number in range(1, PASSES + 1)]
        assert {row.key: row.hitcount for row in found.rows()} == {2 * number: 1 for number in range(2, PASSES + 1)}
        assert (probe.active, probe.missed) == (0, 0)


def test_a_call_in_progress_is_not_recorded_once_its_event_is_disabled_whatever_it_got_meanwhile():
    with start() as session:
        probe = session.define(f"r:back {DOUBLE:#x} result=$retval:u32")
        session.optimize_now()
        session.run(until=RETURN)
        session.trigger("back.hist:keys=result")
        probe.disable()
        session.run(until=LOOP)
        assert (probe.hits, probe.active) == (0, 0)
        probe.enable()
        session.run(until=END)
        assert probe.hits == PASSES - 1


def test_a_trigger_that_finds_no_memory_leaves_an_event_of_returns_as_it_was(monkeypatch):
    with start() as session:
        probe = session.define(f"r:back {DOUBLE:#x} result=$retval:u32")
        session.optimize_now()
        session.run(until=RETURN)
        engine = probe.engine
        before = engine.returns.pads
        known, used = sorted(before), engine.instruments.calls[probe]

        def refuse(_changes):
            raise Refused("no memory")

        with monkeypatch.context() as patched:
            patched.setattr(engine, "_change", refuse)
            with pytest.raises(Refused):
                session.trigger("back.hist:keys=result")
        assert (sorted(engine.returns.pads), engine.instruments.calls[probe]) == (known, used)
        session.run(until=END)
        assert (probe.hits, probe.active) == (PASSES, 0)


def test_what_is_taken_of_a_trigger_is_what_came_since():
    with start() as session:
        session.define(EVENT)
        found = session.trigger("own.hist:keys=down:vals=down")
        session.run(until=END, limit=500)
        first = found.take()
        session.run(until=END)
        second = found.take()
        counts = [{row.key: (row.hitcount, row.sums["down"]) for row in part.rows()} for part in (first, second)]
        assert counts[0].keys().isdisjoint(counts[1])
        assert counts[0] | counts[1] == {number: (1, number) for number in range(1, PASSES + 1)}
        assert found.take().rows() == []
        found.maps[1].add(7, 5)
        assert found.take().rows() == [Row(5, 0, {"down": 7})]
