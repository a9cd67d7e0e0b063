"""Debian's U-Boot, which moves itself to the top of RAM, boots with probes as it does without, and counts are exact."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tests.integration.libraries import fetch
from tests.targets import uboot

from armprobe.isa.decoder import decode
from armprobe.session import Session
from armprobe.symbols.image import Image, Symbol
from armprobe.symbols.table import SymbolTable
from armprobe.targets.base import StopReason
from armprobe.targets.counting import count_executions
from armprobe.targets.unicorn import UnicornTarget
from armprobe.targets.virt import RAM, RAM_SIZE, virt

TYPED = b" \nversion\nbdinfo\necho hello\ncrc32 40000000 1000\nsetexpr b 5 + 7\necho $b\npoweroff\n"
_HOOK_CODE, _HOOK_BLOCK = 4, 8  # UC_HOOK_CODE, UC_HOOK_BLOCK
#: bytes at the place it moved to that name the place: an address changes when code is moved, these words do not
_PATTERN = 32
_BL, _MRRC = 0xEB, 0x0C50  # the top byte of BL; bits 27:16 of MRRC without Rt2: how the timer is read

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class Unprobed:
    """A boot without probes: the image with names for all functions that are called after it moved by `bias`."""

    image: Image
    bias: int
    names: list[str]
    counts: dict[str, int]
    output: bytes


def power_on(image: Image) -> tuple[UnicornTarget, bytearray]:
    output = bytearray()
    return UnicornTarget.from_image(image, machine=virt(output.extend, console_input=TYPED)), output


def run_until_moved(target: UnicornTarget) -> int:
    """Run to the first instruction in RAM; return how far it is from where it was linked for."""
    linked = target.read_memory(0, 1 << 20)
    found = []

    def on_code(_engine, address, _size, _data):
        found.append(address)
        target.stop()

    hook = target.engine.hook_add(_HOOK_CODE, on_code, begin=RAM, end=RAM + RAM_SIZE - 1)
    assert target.run(lambda _: False).reason is StopReason.INTERRUPT
    target.engine.hook_del(hook)
    words = target.read_memory(found[0], _PATTERN)
    assert linked.count(words) == 1
    return found[0] - linked.index(words)


def called_functions(code: bytes) -> set[int]:
    """Where the words lead that would be BL: functions, if they are instructions."""
    words = enumerate(memoryview(code[: len(code) & ~3]).cast("I"))
    targets = (decode(word).target(4 * index) for index, word in words if word >> 24 == _BL)
    return {target for target in targets if target is not None and target < len(code)}


@pytest.fixture(scope="module")
def unprobed() -> Unprobed:
    fetch("u-boot-qemu:all")
    image = uboot.load()
    target, _ = power_on(image)
    bias = run_until_moved(target)
    end = image.segments[0].end
    blocks = set()
    target.engine.hook_add(
        _HOOK_BLOCK, lambda _engine, at, _size, _data: blocks.add(at - bias), begin=bias, end=bias + end - 1
    )
    assert target.run(lambda _: False).reason is StopReason.EXIT
    table = {symbol.address: symbol.name for symbol in reversed(image.symbols) if symbol.address in blocks}
    called = {place: f"sub_{place:08x}" for place in called_functions(image.segments[0].data) & blocks}
    names = {name: place for place, name in (called | table).items()}
    image = Image(image.name, image.entry, image.segments, tuple(Symbol(name, at) for name, at in names.items()))
    target, output = power_on(image)
    assert run_until_moved(target) == bias
    with count_executions(target, (place + bias for place in names.values())) as counts:
        assert target.run(lambda _: False).reason is StopReason.EXIT
    totals = {name: counts[place + bias] for name, place in names.items()}
    return Unprobed(image, bias, list(names), totals, bytes(output))


def reads_clock(session: Session, address: int) -> bool:
    """Whether one of the first instructions reads the timer: how often that is done depends on the time it takes."""
    words = memoryview(session.read_memory(address, 64)).cast("I")
    return any(word >> 16 & 0xFF0 == _MRRC for word in words)


def test_functions_are_counted_by_name_after_u_boot_moved_itself(unprobed):
    target, output = power_on(unprobed.image)
    bias = run_until_moved(target)
    code = target.read_memory(bias, unprobed.image.segments[0].end)
    with Session(target, symbols=SymbolTable.from_image(unprobed.image).rebased(bias)) as session:
        probes = session.count_all(unprobed.names)
        assert len(probes) >= 200
        assert session.optimize_now() == len(probes)
        with count_executions(target, (probe.address for probe in probes)) as counts:
            assert session.run().reason is StopReason.EXIT
        hits = {probe.location: probe.hits for probe in probes}
        assert hits == {probe.location: counts[probe.address] for probe in probes}
        timed = {probe.location for probe in probes if reads_clock(session, probe.address)}
        assert len(timed) <= 2
        assert {name: hits[name] for name in hits if name not in timed} == {
            name: number for name, number in unprobed.counts.items() if name not in timed
        }
        assert hits["do_version"] == 1
        assert hits["do_echo"] == 2
        before = session.read_memory(bias, len(code))
    assert bytes(output) == unprobed.output
    assert target.read_memory(bias, len(code)) == before
    assert "slots" not in {region.name for region in target.regions}


def test_functions_are_followed_to_their_returns(unprobed):
    target, output = power_on(unprobed.image)
    bias = run_until_moved(target)
    called = called_functions(unprobed.image.segments[0].data)
    with Session(target, symbols=SymbolTable.from_image(unprobed.image).rebased(bias)) as session:
        probes = {}
        for name in unprobed.names:
            place = session.locate(name)
            if place - bias in called and not reads_clock(session, place):
                probes[name] = session.define(f"r32:f{place:x} 0x{place:x} $retval")
        assert len(probes) > 300
        session.optimize_now()
        assert session.run().reason is StopReason.EXIT
        assert {name: probe.hits + probe.active for name, probe in probes.items()} == {
            name: unprobed.counts[name] for name in probes
        }
        assert {probe.missed for probe in probes.values()} == {0}
        assert 5 < sum(probe.active for probe in probes.values()) < 20  # what waits for commands, and what powers off
    assert bytes(output) == unprobed.output
    assert "slots" not in {region.name for region in target.regions}


@pytest.mark.parametrize("optimized", [True, False], ids=["branch", "trap"])
def test_events_of_the_function_that_prints_are_what_was_printed(unprobed, optimized):
    target, output = power_on(unprobed.image)
    bias = run_until_moved(target)
    already = len(output)
    with Session(target, symbols=SymbolTable.from_image(unprobed.image).rebased(bias)) as session:
        session.optimization = optimized
        printed = session.define("p:console serial_pl01x.putc byte=%r1:u8")
        session.optimize_now()
        assert printed.state == ("branch" if optimized else "trap")
        assert session.run().reason is StopReason.EXIT
        events = bytes(event.values["byte"] for event in session.events())
    assert bytes(output) == unprobed.output
    assert bytes(output).endswith(events)
    assert len(events) > len(output) - already - 100


@pytest.mark.parametrize("kind", ["branch", "trap"])
def test_u_boot_that_is_probed_before_it_moves_runs_on_without_probes_where_it_moved_to(unprobed, kind):
    target, output = power_on(unprobed.image)
    flash = target.read_memory(0, unprobed.image.segments[0].end)
    with Session(target, symbols=SymbolTable.from_image(unprobed.image)) as session:
        session.optimization = kind == "branch"
        probes = session.count_all(unprobed.names)
        session.optimize_now()
        assert session.run().reason is StopReason.EXIT
        assert {copy - site for site, copy in session.copies} == {unprobed.bias}
        assert {site for site, _ in session.copies} <= {probe.address for probe in probes}
        assert len(session.copies) > 100
        assert sum(probe.hits for probe in probes) > 100
    assert bytes(output) == unprobed.output
    assert b"DRAM:" in output
    assert target.read_memory(0, len(flash)) == flash
