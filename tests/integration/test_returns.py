"""Every function of the sample firmware with a return probe: each return is seen, with the values the emulator has."""

from __future__ import annotations

from importlib.resources import as_file, files

import pytest
from tests.integration.every_instruction import different_bytes, memory, stack_of
from tests.integration.observed_returns import observed_returns

import armprobe
from armprobe.session import Session
from armprobe.symbols.image import Image
from armprobe.targets.base import StopReason

STACK_SIZE = 16 << 10  # demo.ld
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def image() -> Image:
    with as_file(files("armprobe") / "demo" / "demo.elf") as elf:
        return Image.load(elf)


def start(image: Image, output: bytearray) -> Session:
    return armprobe.emulate(image, arguments=["demo", "200"], output=output.extend)


def functions(session: Session) -> list[int]:
    return sorted({symbol.address for symbol in session.symbols.symbols if symbol.function and symbol.size})


def program_memory(session: Session) -> dict[str, bytes]:
    """All memory but what lies below SP, on the program's own stack and on the one it had before it set SP."""
    top = session.symbols.named("stack_top")[0].address
    unused = [(top - STACK_SIZE, session.regs.sp), stack_of(session.target)]
    return memory(session.target, session.target.read_memory, unused=unused)


@pytest.fixture(scope="module")
def unprobed(image):
    output = bytearray()
    with start(image, output) as session:
        places = functions(session)
        low, high = min(start for start, _ in session.symbols.ranges), max(end for _, end in session.symbols.ranges)
        with observed_returns(session.target, low, high, places) as seen:
            assert session.run().reason is StopReason.EXIT
        assert sum(map(len, seen.frames.values())) > 3000
        return seen, bytes(output), program_memory(session)


@pytest.mark.parametrize("entry", [None, lambda _: None], ids=["compiled entry", "entry on the host"])
def test_handlers_see_all_returns_with_all_registers(image, unprobed, entry):
    seen, expected_output, expected_memory = unprobed
    output = bytearray()
    frames: dict[int, list[tuple[int, ...]]] = {}
    with start(image, output) as session:
        probes = [
            session.retprobe(
                place,
                lambda hit: frames.setdefault(hit.address, []).append((*hit.regs.values, hit.regs.cpsr)),
                entry=entry,
            )
            for place in functions(session)
        ]
        session.optimize_now()
        assert session.run().reason is StopReason.EXIT
        counts = {probe.address: (probe.hits, probe.active, probe.missed) for probe in probes}
    assert counts == {
        place: (len(seen.frames[place]), seen.calls[place] - len(seen.frames[place]), 0) for place in counts
    }
    assert [place for place in counts if frames.get(place, []) != seen.frames[place]] == []
    assert bytes(output) == expected_output
    assert different_bytes(expected_memory, program_memory(session)) == []


def test_events_at_all_returns_hold_the_results(image, unprobed):
    seen, expected_output, expected_memory = unprobed
    output = bytearray()
    with start(image, output) as session:
        probes = session.define_all(
            f"r:f{place:x} 0x{place:x} value=%r0 r1=%r1 r4=%r4 fp=%fp sp=%sp flags=%cpsr"
            for place in functions(session)
        )
        session.optimize_now()
        assert {probe.state for probe in probes} == {"branch"}
        assert session.run().reason is StopReason.EXIT
        found: dict[int, list[tuple[int, ...]]] = {probe.address: [] for probe in probes}
        order = []
        for event in session.events():
            order.append(event.probe.address)
            found[event.probe.address].append(tuple(event.values.values())[1:])
        counts = {probe.address: (probe.hits, probe.active, probe.missed) for probe in probes}
    assert counts == {
        place: (len(seen.frames[place]), seen.calls[place] - len(seen.frames[place]), 0) for place in counts
    }
    expected = {
        place: [(r[0], r[1], r[4], r[11], r[13], cpsr) for *r, _, cpsr in seen.frames[place]] for place in found
    }
    assert [place for place in found if found[place] != expected[place]] == []
    assert order == seen.order
    assert bytes(output) == expected_output
    assert different_bytes(expected_memory, program_memory(session)) == []


@pytest.mark.parametrize("instructions", [1_000, 7_777, 50_000, 123_456])
def test_a_session_that_is_closed_in_the_middle_leaves_a_program_that_ends_as_ever(image, unprobed, instructions):
    _, expected_output, expected_memory = unprobed
    output = bytearray()
    session = start(image, output)
    session.define_all(f"r:f{place:x} 0x{place:x} %r0" for place in functions(session))
    session.optimize_now()
    assert session.run(limit=instructions).reason is StopReason.LIMIT
    session.close()
    assert session.target.run(lambda _: False).reason is StopReason.EXIT
    assert bytes(output) == expected_output
    assert different_bytes(expected_memory, program_memory(session)) == []
