"""Conditions that look at maps: decided in the target and on the host."""

from __future__ import annotations

import random

import pytest
from tests.codegen.python_functions import MAPS, PAGE, TEXT, Condition, define
from tests.codegen.test_handlers import state
from tests.probes.program import END, LOOP, start

from armprobe.codegen.map_layout import KeyPart, MapKind, MapShape
from armprobe.errors import Refused, UsageError
from armprobe.probes.maps import Map


@pytest.mark.parametrize(("architecture", "atomic"), [(7, False), (7, True), (6, False), (4, False)])
@pytest.mark.parametrize(
    ("shape", "condition"),
    [
        (MapShape(MapKind.COUNTER), "known.total > r1"),
        (MapShape(MapKind.HISTOGRAM, 6), "known[r0] == r1 or known[r1 & 7] > 2"),
        (MapShape(MapKind.TABLE, 6), "known[r0] == r1 or known[r1] > 2"),
        (MapShape(MapKind.TABLE, 6, removable=True), "known[r0] == r1 or known[r1] > 2"),
        (MapShape(MapKind.TABLE, 6, key=(KeyPart(2, text=True), KeyPart())), "known[string(r2), r0] > 1"),
    ],
)
def test_target_and_host_decide_the_same(architecture, atomic, shape, condition):
    known = Map("known", shape, MAPS)
    both = Condition(
        define(f"f = lambda r0, r1, r2: {condition}\n", known=known), architecture=architecture, atomic=atomic
    )
    both.write_memory(MAPS, bytes(PAGE - 0x800))
    stored, generator, decided = Map("known", shape, MAPS, _memory=both), random.Random(1), set()
    for _ in range(60):
        key = generator.randrange(6)
        stored.add(generator.randrange(3), ("eth0", key) if shape.key else 0 if shape.kind is MapKind.COUNTER else key)
        registers = state(r0=generator.randrange(7), r1=generator.randrange(80), r2=generator.choice([TEXT, TEXT, 0]))
        decided.add(both.target(registers))
        assert both.target(registers) is both.host(registers)
    assert decided == {False, True}


@pytest.mark.parametrize("how", ["compiled", "host", "both ways"])
def test_hits_are_those_where_another_probe_has_kept_something(how):
    with start() as session:
        calls, odd = session.counter("calls"), session.table("odd", 256, removable=True)

        @session.probe(LOOP, compiled=True)
        def keep(r1):
            calls.add()
            if r1 & 1:
                odd[r1] = 1

        def handler(r1):
            seen.add(r1)

        seen = session.counter("seen")
        condition = lambda r1: odd[r1] and calls.total <= 50  # noqa: E731
        if how == "compiled":
            probe = session.probe(LOOP, handler, when=condition, compiled=True)
        else:
            probe = session.probe(LOOP, session.on_host(handler), when=condition)
        if how == "both ways":
            session.optimization = False
        session.run(until=END)
        expected = [number for number in range(51, 101) if number & 1]
        assert (probe.hits, seen.total) == (len(expected), sum(expected))


def test_the_next_probe_sees_what_the_one_before_did_to_a_map():
    with start() as session:
        counter = session.counter("counter")
        probes = [
            session.probe(LOOP, define("def f():\n    c.add()\n", c=counter), compiled=True,
                          when=define("f = lambda: c.total % 2 == 0\n", c=counter))
            for _ in range(2)
        ]  # fmt: skip
        session.run(until=END)
        # The first one makes it odd, so that the second has no turn; then the first has none, and the second neither.
        assert ([probe.hits for probe in probes], counter.total) == ([1, 0], 1)


def test_maps_of_other_sessions_and_old_cores_are_refused():
    counter = Map("counter", MapShape(MapKind.COUNTER), MAPS)
    condition = define("f = lambda: c.total > 1\n", c=counter)
    with start() as session, pytest.raises(UsageError, match=r"^the map 'counter' belongs to another session$"):
        session.probe(LOOP, print, when=condition)
    with pytest.raises(Refused, match=r"^using a map exactly on several CPUs"):
        Condition(condition, architecture=6, atomic=True)
