"""Events of a session as arrays and tables, on the sample firmware."""

from __future__ import annotations

import random
from importlib.resources import files

import pytest
from tests.missing import hide

from armprobe import MissingDependency, UsageError, emulate

DEMO = str(files("armprobe") / "demo" / "demo.elf")
DEFINITIONS = (
    "p:net/packet parse_packet buffer=%r0 length=%r1:u8 first=+0(%r0):x8",
    "p:alloc malloc size=%r0:s16 from=%lr:x32",
    "p:alloc free size=+4(%r0):s16 from=%lr:x32",
    "p:clock scheduler_tick",
)


@pytest.fixture
def session():
    with emulate(DEMO, arguments=["demo.elf", "300"], output=lambda _data: None) as session:
        session.define_all(DEFINITIONS)
        session.optimize_now()
        yield session


def by_name(session):
    return {probe.location: probe for probe in session.probes}


def test_arrays_and_tables_hold_what_events_would_give(session):
    session.run()
    arrays = {place: session.to_numpy(probe) for place, probe in by_name(session).items()}
    rows = session.to_arrow().to_pylist()
    assert session.to_arrow().to_pylist() == rows  # looking takes nothing
    events = list(session.events())
    assert len(events) > 400
    for place, array in arrays.items():
        of_place = [event for event in events if event.probe.location == place]
        assert len(array) == len(of_place)
        for name in array.dtype.names or ():
            wanted = [event.time if name == "common_time" else event.values[name] for event in of_place]
            assert array[name].tolist() == wanted
    assert [
        (
            row["number"],
            row["time"],
            row["group"],
            row["event"],
            row["address"],
            row["symbol"],
            {"packet": row["packet"], "alloc": row["alloc"], "clock": {}}[row["event"]],
        )
        for row in rows
    ] == [
        (
            event.number,
            event.time,
            event.probe.definition.group,
            event.probe.definition.event,
            event.probe.address,
            event.place,
            event.values,
        )
        for event in events
    ]


def test_events_that_were_taken_are_not_in_arrays_and_keep_their_numbers(session):
    session.run()
    total = session.to_arrow().num_rows
    taken = [event.number for _, event in zip(range(100), session.events(), strict=False)]
    assert taken == list(range(100))
    assert session.to_arrow()["number"].to_pylist() == list(range(100, total))
    first, batches = session.take_records()
    assert (first, sum(map(len, batches))) == (100, total - 100)
    assert list(session.events()) == []


def test_events_come_once_and_in_order_however_they_are_taken(session):
    rng = random.Random(3)
    numbers = []
    for _ in range(40):
        session.run(limit=20_000)
        match rng.randrange(3):
            case 0:
                numbers += [event.number for event in session.events()]
            case 1:
                numbers += [event.number for _, event in zip(range(3), session.events(), strict=False)]
            case _:
                first, batches = session.take_records()
                numbers += range(first, first + sum(map(len, batches)))
    numbers += [event.number for event in session.events()]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) == sum(probe.hits for probe in session.probes) > 50


def test_events_of_a_probe_that_was_removed_are_still_there(session):
    session.run()
    probe = by_name(session)["parse_packet"]
    rows = session.to_arrow().num_rows
    probe.unregister()
    assert len(session.to_numpy(probe)) > 300
    session.close()
    assert session.to_arrow().num_rows == rows


def test_what_a_compiled_function_emits_is_an_event_named_after_its_place(session):
    @session.probe("parse_packet", compiled=True)
    def lengths(r1):
        if r1 > 70:
            emit(length=r1, odd=r1 & 1)  # noqa: F821  a word of the language

    session.run()
    array = session.to_numpy(lengths)
    assert array["length"].min() > 70
    rows = [row for row in session.to_arrow().to_pylist() if row["event"] == "parse_packet"]
    assert [row["parse_packet"]["length"] for row in rows] == array["length"].tolist()
    assert [row["group"] for row in rows] == ["kprobes"] * len(array)


def test_a_probe_that_records_nothing_has_no_array(session):
    counter = session.count("memcpy")
    with pytest.raises(UsageError) as error:
        session.to_numpy(counter)
    assert error.value.message == "memcpy records no events"
    assert error.value.hint == "session.define('p:EVENT LOCATION ...') does"


@pytest.mark.parametrize("at_the_end", [False, True])
def test_session_is_restored_and_keeps_what_it_could_not_hand_over_when_on_event_raises(session, at_the_end):
    place = session.locate("parse_packet")
    given = []

    def take(event):
        given.append(event.number)
        if len(given) == 10:
            raise ValueError("enough")

    if at_the_end:
        session.run()
    session.on_event(take)
    with pytest.raises(ValueError, match=r"^enough$"):
        (session.close if at_the_end else session.run)()
    session.close()
    with emulate(DEMO) as unprobed:
        assert session.target.read_memory(place, 4) == unprobed.read_memory(place, 4)
    kept = [event.number for event in session.events()]
    assert given == list(range(10))
    assert kept == list(range(10, 10 + len(kept)))
    assert len(kept) > 10


@pytest.mark.parametrize(
    ("library", "call", "message", "extra"),
    [
        ("numpy", lambda session: session.to_numpy(session.probes[0]), "to_numpy() needs numpy", "events"),
        ("pyarrow", lambda session: session.to_arrow(), "to_arrow() needs pyarrow", "arrow"),
    ],
)
def test_a_missing_library_is_named_with_the_command(session, monkeypatch, library, call, message, extra):
    hide(monkeypatch, library)
    with pytest.raises(MissingDependency) as error:
        call(session)
    assert (error.value.message, error.value.hint) == (message, f"pip install 'armprobe[{extra}]'")
