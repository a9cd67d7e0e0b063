"""Where no memory for a slot lies within reach of a branch: islands, two-word windows, and traps that say why."""

import pytest
from tests.probes.program import BASE, CONDITIONAL, DOUBLE, END, LITERAL_LOAD, LOOP, PASSES, WORDS, final_state, start

from armprobe import Image, Refused, Region, Session
from armprobe.patching.slots import SlotAllocator
from armprobe.symbols.image import Segment, Symbol
from armprobe.symbols.table import SymbolTable
from armprobe.targets.unicorn import UnicornTarget

FAR = 0x10000000


class FarMemory:
    """Executable memory only beyond the reach of a branch."""

    def __init__(self, target: UnicornTarget) -> None:
        self._memory = target.executable_memory

    def allocate(self, size: int, low: int, high: int) -> int:
        if high < FAR:
            raise Refused("there is no free memory so low")
        return self._memory.allocate(size, max(low, FAR), high)

    def free(self, address: int, size: int) -> None:
        self._memory.free(address, size)


def far_session(monkeypatch: pytest.MonkeyPatch, *, island: bool = False, sizes: bool = True) -> Session:
    """A session with slots only far away, with room for one island or none."""
    image = Image.from_words(WORDS, base=BASE)
    target = UnicornTarget.from_image(image)
    memory = FarMemory(target)
    monkeypatch.setattr(UnicornTarget, "executable_memory", property(lambda _: memory))
    functions = [Symbol("main", BASE, 0x2C), Symbol("double", DOUBLE, 12)] if sizes else []
    symbols = SymbolTable(functions, marks=[(BASE, "a"), (BASE + 0x38, "d")])
    slots = [Region(BASE + 0x800, BASE + 0x808)] if island else []
    return Session(target, symbols=symbols, slots=slots)


@pytest.fixture
def unprobed():
    with start() as session:
        return final_state(session)


@pytest.mark.parametrize("address", [LOOP, CONDITIONAL, BASE + 0x18, DOUBLE, LITERAL_LOAD])
def test_an_island_leads_to_a_far_detour(address: int, monkeypatch, unprobed):
    with far_session(monkeypatch, island=True) as session:
        before = session.target.read_memory(BASE, 0x1000)
        probe = session.count(address)
        assert session.optimize_now() == 1
        site = session._engine.sites[address]
        assert site.slot.address >= FAR
        assert site.island is not None
        assert final_state(session) == unprobed
        assert (probe.hits, probe.state) == (PASSES // 2 if address == CONDITIONAL else PASSES, "branch")
        probe.park()
        probe.unpark()
        session.close()
        assert session.target.read_memory(BASE, 0x1000) == before


@pytest.mark.parametrize("address", [LOOP, LOOP + 4, CONDITIONAL, DOUBLE, LITERAL_LOAD])
def test_a_window_of_two_words_leads_to_a_far_detour(address: int, monkeypatch, unprobed):
    with far_session(monkeypatch) as session:
        before = session.target.read_memory(BASE, 0x1000)
        probe = session.count(address)
        assert session.optimize_now() == 1
        explanation = session.explain(address)
        assert (explanation.window, explanation.state) == (8, "branch")
        assert final_state(session) == unprobed
        assert (probe.hits, probe.state) == (PASSES // 2 if address == CONDITIONAL else PASSES, "branch")
        session.close()
        assert session.target.read_memory(BASE, 0x1000) == before


def test_a_thread_at_the_second_word_of_a_window_is_moved_to_its_copy(monkeypatch, unprobed):
    with far_session(monkeypatch) as session:
        session.run(until=LOOP + 4)
        probe = session.count(LOOP)
        assert session.optimize_now() == 1
        assert session.target.read_registers().pc == session._engine.sites[LOOP].code.second
        assert final_state(session) == unprobed
        assert probe.hits == PASSES - 1


def test_a_branch_to_the_second_word_keeps_a_probe_a_trap(monkeypatch, unprobed):
    with far_session(monkeypatch) as session:
        probe = session.count(LOOP - 4)
        assert session.optimize_now() == 0
        assert probe.reason.endswith(
            f"two words can't be replaced: the branch at 0x{END - 4:08x} goes to the window's second word, 0x{LOOP:08x}"
        )
        assert final_state(session) == unprobed
        assert probe.hits == 1


def test_without_the_size_of_the_function_nothing_is_proven(monkeypatch):
    with far_session(monkeypatch, sizes=False) as session:
        probe = session.count(LOOP)
        assert session.optimize_now() == 0
        assert probe.reason.endswith("; and the bounds of the function are not known")


def test_the_second_word_of_a_window_can_have_no_probe(monkeypatch):
    with far_session(monkeypatch) as session:
        session.count(LOOP)
        session.optimize_now()
        with pytest.raises(Refused) as caught:
            session.count(LOOP + 4)
    assert str(caught.value) == "main+0xc is the second word of the two-word window at main+0x8"
    assert caught.value.hint == "unregister that probe first"


def test_a_slot_is_no_place_for_a_probe():
    with start() as session:
        session.count(LOOP)
        slot = session._engine.sites[LOOP].slot
        with pytest.raises(Refused) as caught:
            session.count(slot.address)
    assert str(caught.value) == f"0x{slot.address:08x} lies in a slot of armprobe: its own code is not probed"


def test_without_memory_for_slots_a_probe_is_refused(monkeypatch):
    monkeypatch.setattr(UnicornTarget, "executable_memory", property(lambda _: None))
    with start() as session:
        with pytest.raises(Refused) as caught:
            session.probe(LOOP, lambda _: None)
        assert isinstance(session._engine.slots, SlotAllocator)
    assert caught.value.hint.endswith("--slots START:END")


def test_a_second_probe_at_a_site_shares_its_island(monkeypatch, unprobed):
    with far_session(monkeypatch, island=True) as session:
        first = session.count(LOOP)
        session.optimize_now()
        second = session.define(f"p:loop {LOOP:#x} %r0")
        assert session.optimize_now() == 0
        assert final_state(session) == unprobed
        assert (first.hits, second.hits, first.state) == (PASSES, PASSES, "branch")
        second.unregister()
        session.optimize_now()
        third = session.count(LOOP)
        assert third.state == "branch"
        third.unregister()
        first.unregister()
        session.optimize_now()
        assert session.count(LOOP + 4).reason == ""


def test_a_second_probe_keeps_the_window(monkeypatch, unprobed):
    with far_session(monkeypatch) as session:
        first, second = session.count(LOOP), session.count(LOOP)
        session.optimize_now()
        third = session.define(f"p:loop {LOOP:#x} %r0")
        session.optimize_now()
        assert session.explain(LOOP).window == 8
        assert final_state(session) == unprobed
        assert {probe.hits for probe in (first, second, third)} == {PASSES}


def test_slot_that_does_not_reach_what_the_site_branches_to_gets_room_for_a_longer_way():
    site, callee, slots = 0x4000000, 0x5900000, 0x3000000
    words = {
        site: (0xEB000000 | (callee - site - 8) >> 2, 0xEAFFFFFE),  # bl callee; b .
        callee: (0xE2800001, 0xE12FFF1E),  # add r0, r0, #1; bx lr
        slots: (0,) * 64,
    }
    parts = [
        Segment(start, b"".join(word.to_bytes(4, "little") for word in code), 4 * len(code))
        for start, code in sorted(words.items())
    ]
    image = Image("far", site, tuple(parts))
    target = UnicornTarget.from_image(image)
    with Session(target, symbols=SymbolTable([]), slots=[Region(slots, slots + 256)]) as session:
        probe = session.count(site)
        assert session.optimize_now() == 1
        assert slots <= session._engine.sites[site].slot.address < slots + 256
        session.run(until=site + 4)
        assert (probe.hits, session.regs.r0) == (1, 1)
