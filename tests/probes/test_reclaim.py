"""Memory of slots that nobody wants any more: used again once no thread, shown or not, can be in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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


# --- tasks of the program itself, whose PCs are in its memory only

DATA = Region(0x200000, 0x201000, name="data")
BOARD = [Region(BASE, BASE + 4 * len(WORDS)), SLOTS, DATA]


@contextmanager
def on_board(regions: Sequence[Region]) -> Iterator[tuple[Session, Stub]]:
    fake = FakeTarget(WORDS, base=BASE)
    fake.map_memory(SLOTS)
    fake.map_memory(DATA)
    image = Image.from_words(WORDS, base=BASE)
    with Stub(fake, packet_size=0x1000) as stub:
        target = GdbRemoteTarget.connect(stub.address, memory=regions)
        symbols = SymbolTable.from_image(image)
        with Session(target, symbols=symbols, slots=[SLOTS], detach=target.detach, image=image) as session:
            yield session, stub


@pytest.mark.slow
def test_a_search_of_memory_comes_before_slots_are_used_again_and_serves_many():
    with on_board(BOARD) as (session, stub):
        stub.requests.clear()
        for _ in range(10):
            probes = session.count_all(SITES)
            session.optimize_now()
            session.unregister_all(probes)
        searches = [request for request in stub.requests if request.startswith(b"m%x," % DATA.start)]
        assert 2 <= len(searches) <= 5


@pytest.mark.slow
def test_a_slot_that_a_word_of_memory_points_into_is_not_used_again():
    with on_board(BOARD) as (session, stub):
        probe = session.count(SITES[0])
        code = session.explain(SITES[0]).code
        before = stub.target.read_memory(code.base, code.end - code.base)
        stub.target.write_memory(DATA.start + 8, (code.base + 8).to_bytes(4, "little"))
        probe.unregister()
        others = range(SITES.stop, SITES.stop + 400, 4)
        for _ in range(6):
            session.unregister_all(session.count_all(others))
            assert stub.target.read_memory(code.base, code.end - code.base) == before
        stub.target.write_memory(DATA.start + 8, bytes(4))
        for _ in range(6):
            session.unregister_all(session.count_all(others))
        assert stub.target.read_memory(code.base, code.end - code.base) != before


def test_where_not_all_memory_is_known_slots_are_used_once_and_the_error_says_why():
    with on_board([]) as (session, stub):
        with pytest.raises(NoMemory) as error:  # noqa: PT012
            for _ in range(20):
                session.unregister_all(session.count_all(SITES))
        assert error.value.evidence == (
            "memory of 400 probes that are gone stays in use up to the end of the session: a task may sleep there, and "
            f"the target at {stub.address} does not tell all the memory in which its PC may be, or has more than can "
            "be searched"
        )
        assert session.probes == ()
