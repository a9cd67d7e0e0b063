"""Probes on a target that sets traps by itself, over a connection where every round trip counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from tests.targets.stub import HANG_UP, Stub, packet

from armprobe import Image, Region, Session
from armprobe.cli.explain import describe
from armprobe.errors import Refused, TargetError, TargetLost
from armprobe.symbols.table import SymbolTable
from armprobe.targets.base import StopReason
from armprobe.targets.fake import FakeTarget
from armprobe.targets.gdbremote import GdbRemoteTarget

BASE = 0x8000
NOP = 0xE1A00000  # mov r0, r0
WORDS = 2000
SITES = range(BASE + 4, BASE + 4 * (WORDS - 1), 4)
SLOTS = Region(0x100000, 0x200000, name="slots")
IMAGE = Image.from_words([NOP] * (WORDS - 1) + [0xEAFFFFFE], base=BASE)  # ...; b .
FLASH = range(BASE, BASE + 0x10000)


@contextmanager
def probing(slots: Region = SLOTS, **options) -> Iterator[tuple[Session, Stub]]:
    fake = FakeTarget([NOP] * (WORDS - 1) + [0xEAFFFFFE], base=BASE)
    fake.map_memory(slots)
    with Stub(fake, packet_size=0x1000, **options) as stub:
        target = GdbRemoteTarget.connect(stub.address)
        session = Session(target, symbols=SymbolTable.from_image(IMAGE), slots=[slots], detach=target.detach)
        stub.requests.clear()
        yield session, stub
        session.close()


def contents(stub: Stub) -> list[bytes]:
    return [stub.target.read_memory(region.start, region.end - region.start) for region in stub.target.regions]


def test_a_trap_is_the_targets_and_leaves_memory_alone():
    with probing() as (session, stub):
        code = stub.target.read_memory(BASE, 4 * WORDS)
        probe = session.probe(BASE + 4, lambda _: None)
        assert probe.state == "trap"
        assert stub.target.read_memory(BASE, 4 * WORDS) == code
        assert BASE + 4 in stub.breakpoints
        probe.disable()
        assert BASE + 4 not in stub.breakpoints
        probe.enable()
        assert BASE + 4 in stub.breakpoints


def test_a_branch_is_written_and_its_trap_taken_away():
    with probing() as (session, stub):
        probe = session.count(BASE + 4)
        assert stub.breakpoints == {BASE + 4}
        assert session.optimize_now() == 1
        assert stub.breakpoints == set()
        assert stub.target.fetch(BASE + 4) >> 24 == 0xEA
        session.optimization = False
        assert (probe.state, stub.target.fetch(BASE + 4), stub.breakpoints) == ("trap", NOP, {BASE + 4})


def test_traps_in_slots_are_the_targets_too_and_go_with_the_slot():
    with probing() as (session, stub):
        probe = session.probe(BASE + 4, post_handler=lambda _: None)
        in_slots = [address for address in stub.breakpoints if address in SLOTS]
        assert len(in_slots) == 1
        probe.unregister()
        assert stub.breakpoints == set(in_slots), "a thread may still be in the slot"
        session.optimize_now()
        assert stub.breakpoints == set()


def test_all_detours_stop_at_one_place_with_a_page_for_itself():
    with probing() as (session, stub):
        probes = [session.define(f"p:event{address:x} {address:#x} value=%r0") for address in SITES[:20]]
        probes += [session.probe(address, lambda _: None, when="%r0 == 1") for address in SITES[20:40]]
        assert session.optimize_now() == len(probes)
        (place,) = stub.breakpoints
        assert place % 4096 == 0
        assert place in SLOTS
        assert stub.target.fetch(place) == 0xE1A0F00E  # mov pc, lr
        slots = [site.slot.address // 4096 for site in session._engine.sites.values()]
        assert place // 4096 not in slots


@pytest.mark.parametrize("size", [0x800, 0x8000])
def test_detours_have_traps_of_their_own_where_there_is_no_page_to_spare(size: int):
    small = Region(0x100000, 0x100000 + size, name="slots")
    with probing(slots=small) as (session, stub):
        probes = [session.probe(address, lambda _: None, when="%r0 == 1") for address in SITES[:3]]
        assert session.optimize_now() == len(probes)
        assert len(stub.breakpoints) == len(probes)
        assert all(address in small for address in stub.breakpoints)


def test_a_session_leaves_neither_breakpoints_nor_bytes():
    fake = FakeTarget([NOP] * WORDS, base=BASE)
    fake.map_memory(SLOTS)
    with Stub(fake) as stub:
        before = contents(stub)
        target = GdbRemoteTarget.connect(stub.address)
        with Session(target, symbols=SymbolTable.from_image(IMAGE), slots=[SLOTS], detach=target.detach) as session:
            session.count_all(SITES[:50])
            session.optimize_now()
            session.define("p:event 0x8010 value=%r0")
            session.probe(BASE + 0x20, lambda _: None, post_handler=lambda _: None)
            assert contents(stub) != before
        assert contents(stub) == before
        assert stub.breakpoints == set()


def test_a_hit_runs_the_handler_and_goes_on_out_of_line():
    with probing() as (session, _):
        hits: list[int] = []
        session.probe(BASE + 8, lambda hit: hits.append(hit.regs.pc))
        stop = session.run(until=BASE + 16)
        assert (stop.reason, stop.pc, hits) == (StopReason.ADDRESS, BASE + 16, [BASE + 8])


# --- round trips


Act = Callable[[Session, Sequence[int]], object]
ACTS: dict[str, Act] = {
    "plant": lambda session, sites: session.count_all(sites),
    "optimize": lambda session, _: session.optimize_now(),
    "close": lambda session, _: session.close(),
}


def round_trips(number: int, name: str) -> int:
    """How many it takes to do something with `number` probes."""
    with probing() as (session, _):
        target = session.target
        assert isinstance(target, GdbRemoteTarget)
        sites = SITES[:number]
        if name != "plant":
            session.count_all(sites)
        before = target.round_trips
        ACTS[name](session, sites)
        return target.round_trips - before


@pytest.mark.parametrize("name", ACTS)
def test_many_probes_cost_few_round_trips(name):
    # Besides a handful, each goes with 32 KiB of packets, and the memory for slots is taken 16 KiB at a time.
    few, many = round_trips(10, name), round_trips(1000, name)
    assert few <= 20
    assert many - few <= 40, f"10 probes take {few} round trips, 1,000 take {many}"


def test_looking_at_many_places_reads_each_page_of_code_once():
    with probing() as (session, _):
        session.count(BASE + 4)
        session.optimize_now()
        target = session.target
        assert isinstance(target, GdbRemoteTarget)
        session.explain(BASE + 8)  # takes memory for data
        before = target.round_trips
        explanations = [session.explain(site) for site in SITES[:1000]]
        assert target.round_trips - before <= 4
        assert {explanation.original for explanation in explanations} == {NOP.to_bytes(4, "little")}
        session.run(until=BASE + 16)
        before = target.round_trips
        session.explain(BASE + 8)
        assert target.round_trips > before, "the program may have changed its code"


def test_an_explanation_shows_a_trap_as_the_targets():
    with probing() as (session, _):
        explanation = session.explain(BASE + 4)
        assert (explanation.trap, explanation.window) == (b"", 4)
        assert explanation.upgrading.rule == "the target changes its own traps only while stopped"
        assert "\n  trap        a breakpoint of the target: memory keeps the instruction\n" in describe(explanation, [])
        hook = session.probe(BASE + 8, lambda _: None)
        explanation = session.explain(BASE + 8)
        assert (explanation.trap, explanation.branch, explanation.reason) == (b"", b"", hook.reason)
        assert explanation.planting.rule == "the target changes its own traps only while stopped"


# --- trouble


def test_code_in_flash_keeps_its_trap_and_says_why():
    with probing(flash=FLASH) as (session, stub):
        before = contents(stub)[0]
        probes = session.count_all([BASE + 4, BASE + 8, BASE + 12])
        assert session.optimize_now() == 0
        for probe in probes:
            assert probe.state == "trap"
            assert probe.reason.startswith(f"its memory takes no branch: 0x{probe.address:08x} should hold 0xea")
            assert probe.reason.endswith(" after the write but holds 0xe1a00000")
        assert stub.breakpoints == {BASE + 4, BASE + 8, BASE + 12}
        assert contents(stub)[0] == before
        assert b"Z1,8004,4" in stub.requests


def test_flash_by_the_memory_map_of_the_stub_is_told_before_anything_is_tried():
    flash = (
        f'<memory type="flash" start="{BASE:#x}" length="0x10000"><property name="blocksize">4096</property></memory>'
    )
    ram = f'<memory type="ram" start="{SLOTS.start:#x}" length="{SLOTS.end - SLOTS.start:#x}"/>'
    offers = "QStartNoAckMode+;qXfer:features:read+;qXfer:memory-map:read+"
    with probing(flash=FLASH, offers=offers, memory_map=f"<memory-map>{flash}{ram}</memory-map>") as (session, stub):
        reason = "its memory takes no branch: it is flash by the target's memory map"
        explanation = session.explain(BASE + 4)
        assert (explanation.state, explanation.reason) == ("trap", reason)
        probe = session.count(BASE + 4)
        stub.requests.clear()
        assert session.optimize_now() == 0
        assert (probe.state, probe.reason) == ("trap", reason)
        assert not [request for request in stub.requests if request.startswith((b"M", b"X"))]


def test_a_stub_that_refuses_to_write_code_keeps_the_trap_with_its_reason():
    def refuse(request: bytes) -> bytes | None:
        return packet(b"E01") if request.startswith(b"M8004,") else None

    with probing(answer=refuse) as (session, stub):
        before = contents(stub)[0]
        probe = session.count(BASE + 4)
        assert session.optimize_now() == 0
        assert probe.state == "trap"
        reason = "its memory takes no branch: cannot write 4 bytes at 0x00008004: the stub answers E01"
        assert probe.reason == session.explain(BASE + 4).reason == reason
        assert contents(stub)[0] == before


def test_memory_for_slots_that_takes_no_writes_is_refused_by_its_name():
    def refuse(request: bytes) -> bytes | None:
        return packet(b"E01") if request.startswith((b"M100000,", b"M104000,")) else None

    with probing(answer=refuse) as (session, stub):
        with pytest.raises(TargetError, match=r"cannot write \d+ bytes at 0x0010[04]000: the stub answers E01"):
            session.count(BASE + 4)
        assert stub.breakpoints == set()


def test_flash_without_breakpoints_is_refused_with_nothing_changed():
    with probing(flash=FLASH, breakpoints=()) as (session, stub):
        before = contents(stub)[0]
        with pytest.raises(
            TargetError, match=r"after the write but holds 0xe1a00000; everything before it was undone$"
        ):
            session.count(BASE + 4)
        assert contents(stub)[0] == before


def test_a_breakpoint_that_the_stub_refuses_leaves_nothing_behind():
    def refuse(request: bytes) -> bytes | None:
        return packet(b"E0e") if request in (b"Z0,800c,4", b"Z1,800c,4") else None

    with probing(answer=refuse) as (session, stub):
        before = contents(stub)
        with pytest.raises(TargetError, match=r"sets no breakpoint at 0x0000800c, it answers 'E0e'"):
            session.count_all([BASE + 4, BASE + 8, BASE + 12])
        assert stub.breakpoints == set()
        assert contents(stub)[0] == before[0]
        assert session.probes == ()


def test_code_that_changed_meanwhile_is_not_overwritten_and_keeps_its_trap():
    with probing() as (session, stub):
        session.count(BASE + 4)
        stub.target.write_memory(BASE + 4, b"\x01\x00\xa0\xe1")  # mov r0, r1
        message = "0x00008004 (optimize) should hold 0xe1a00000 but holds 0xe1a00001; nothing was written"
        with pytest.raises(Refused, match=f"^{re.escape(message)}$"):
            session.optimize_now()
        assert stub.breakpoints == {BASE + 4}
        assert stub.target.read_memory(BASE + 4, 4) == b"\x01\x00\xa0\xe1"


def test_a_connection_cut_in_mid_batch_is_told_with_what_stays_changed():
    cut = []

    def cut_the_third_branch(request: bytes) -> bytes | None:
        cut.extend([1] if request.startswith(b"M800c,") else [])
        return HANG_UP if cut else None

    # Sites apart from each other: those that touch would share a packet.
    sites = [BASE + 4, BASE + 0xC, BASE + 0x14]
    with probing(answer=cut_the_third_branch) as (session, stub):
        session.count_all(sites)
        with pytest.raises(TargetLost) as caught:
            session.optimize_now()
        message = f"failed: the stub at {stub.address} closed the connection; not everything could be undone"
        assert str(caught.value).endswith(message)
        assert caught.value.evidence.splitlines()[:3] == [
            f"0x{site:08x} (optimize) held 0xe1a00000: the stub at {stub.address} closed the connection"
            for site in reversed(sites)
        ]
        stub.answer = lambda _: None
        with pytest.raises(TargetLost):
            session.close()
