"""Memory for slots on a target that does not show all of its threads: it is used again once those have settled."""

from __future__ import annotations

import pytest
from tests.targets.stub import Stub

from armprobe import Image, Region, Session
from armprobe.errors import NoMemory
from armprobe.symbols.table import SymbolTable
from armprobe.targets.fake import FakeTarget
from armprobe.targets.gdbremote import GdbRemoteTarget

BASE = 0x8000
WORDS = [0xE1A00000] * 1000  # mov r0, r0
SITES = range(BASE, BASE + 400, 4)
#: enough for the counters of SITES, twice
SLOTS = Region(0x100000, 0x106000, name="slots")


class Live:
    """A target that has settled as soon as `settle` was called."""

    known_code = 0, b""

    def __init__(self, settle):
        self.settle = settle


@pytest.fixture
def start():
    fake = FakeTarget(WORDS, base=BASE)
    fake.map_memory(SLOTS)
    sessions = []

    def start(**options):
        target = GdbRemoteTarget.connect(stub.address)
        target.threads.complete = False  # there may be some that sleep
        symbols = SymbolTable.from_image(Image.from_words(WORDS, base=BASE))
        sessions.append(Session(target, symbols=symbols, slots=[SLOTS], detach=target.detach, **options))
        return sessions[-1]

    with Stub(fake, packet_size=0x1000) as stub:
        yield start
        for session in sessions:
            session.close()


def test_slots_and_counters_are_used_again_after_the_tasks_have_settled(start):
    waits = []
    session = start(live=Live(waits.append))
    for _ in range(20):
        probes = session.count_all(SITES)
        session.optimize_now()
        session.unregister_all(probes)
        assert [probe.hits for probe in probes] == [0] * len(SITES)
    assert 3 <= len(waits) <= 10


def test_probe_in_the_way_of_the_wait_is_not_handled_and_counts_as_missed(start):
    session = start(live=Live(lambda on_trap: on_trap(host.address)))
    called = []
    host = session.probe(BASE + 800, called.append)
    for _ in range(8):
        session.unregister_all(session.count_all(SITES))
    assert called == []
    assert host.missed > 0
    assert host.hits == 0


def test_without_a_way_to_wait_memory_comes_to_an_end_and_the_session_goes_on(start):
    session = start()
    with pytest.raises(NoMemory):  # noqa: PT012
        for _ in range(20):
            session.unregister_all(session.count_all(SITES))
    assert session.probes == ()
    assert session.probes == ()
